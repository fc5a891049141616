"""Tests of the choice between Java's tokeniser and ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.errors import CaptionerError
from model.tokenisers import ADAPTED, JAVA_TOKENISER, PYTHON_TOKENISER, tokenise

CAPTIONS = [["A cat's on a red sofa.", "", "Two dogs , running"], ["."]]
WORDS = [["a cat 's on a red sofa", "", "two dogs running"], [""]]


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which no program is found."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_both_tokenise_alike_and_are_named() -> None:
    batches, name, without_java = tokenise(CAPTIONS, "python")
    assert (batches, name) == (WORDS, PYTHON_TOKENISER)
    assert without_java == "tokeniser 'python' was asked for, with which no Java is run"
    if shutil.which("java") is None:
        pytest.skip("no java on this machine")
    for tokeniser in ("java", "auto"):
        assert tokenise(CAPTIONS, tokeniser) == (WORDS, JAVA_TOKENISER, None)


@pytest.mark.parametrize("tokeniser", ["python", "auto"])
def test_writing_without_spaces_is_separated_and_the_name_says_so(tokeniser: str) -> None:
    captions = [["一只狗", "犬がソファーで寝る", "개가 뛰고 있다"], ["a dog"]]
    batches, name, _ = tokenise(captions, tokeniser)
    assert batches == [["一 只 狗", "犬 が ソファー で 寝 る", "개가 뛰고 있다"], ["a dog"]]
    assert name.endswith(ADAPTED)
    # Hangul has spaces, as Latin letters have.
    batches, name, _ = tokenise([["개가 뛰고 있다"], ["a dog"]], tokeniser)
    assert batches == [["개가 뛰고 있다"], ["a dog"]]
    assert name in (JAVA_TOKENISER, PYTHON_TOKENISER)


@pytest.mark.parametrize("tokeniser", ["python", "auto"])
def test_line_breaks_do_not_shift_captions(tokeniser: str) -> None:
    broken = [[caption.replace(" ", "\n", 2) + "\r\n" for caption in CAPTIONS[0]]]
    assert tokenise(broken, tokeniser).batches == [WORDS[0]]


def test_unknown_tokeniser_is_refused() -> None:
    with pytest.raises(ValueError, match="got tokeniser 'perl'; expected 'auto'"):
        tokenise(CAPTIONS, "perl")


@pytest.mark.usefixtures("without_java")
def test_without_java_auto_takes_ours(caplog: pytest.LogCaptureFixture) -> None:
    batches, name, without_java = tokenise(CAPTIONS, "auto")
    assert (batches, name) == (WORDS, PYTHON_TOKENISER)
    assert without_java == "there is no Java that runs: No such file or directory"
    assert without_java in caplog.text


@pytest.mark.usefixtures("without_java")
def test_without_java_demanding_it_says_what_to_do() -> None:
    with pytest.raises(CaptionerError, match="install a Java runtime"):
        tokenise(CAPTIONS, "java")


def test_java_that_gives_too_few_lines_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub = tmp_path / "java"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, name, without_java = tokenise(CAPTIONS, "auto")
    assert (name, without_java) == (PYTHON_TOKENISER, "got 1 tokenised lines, expected 3")
