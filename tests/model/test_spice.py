"""Tests of SPICE: left out without its parser; a program that writes what the real one would."""

from __future__ import annotations

import json
from pathlib import Path

import pycocoevalcap.spice
import pytest

from model.java import JavaError
from model.spice import spice

TRUTH = {"dog": ["a black dog", "a dog runs"], "cat": ["a cat"]}
GUESS = {"dog": ["a dog"], "cat": ["two birds"]}
JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """pycocoevalcap's folder of SPICE as it is once the parser was put there."""
    folder = tmp_path / "spice"
    (folder / "lib").mkdir(parents=True)
    for name in JARS:
        (folder / "lib" / name).touch()
    monkeypatch.setattr(pycocoevalcap.spice, "__file__", str(folder / "__init__.py"))
    return folder


def install_program(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: str) -> None:
    """A `java` that keeps what it is asked and answers into the file named after -out."""
    (folder / "answer").write_text(answer)
    script = f"""#!/bin/sh
echo "$@" > {folder}/arguments
/bin/cp "$4" {folder}/asked
/bin/cp {folder}/answer "$6"
"""
    (folder / "java").write_text(script)
    (folder / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def answer(*scores: float | None) -> str:
    rows = [{"image_id": n, "scores": {"All": {"f": f}}} for n, f in enumerate(scores)]
    return json.dumps(rows[::-1])  # in whatever order


@pytest.mark.parametrize("name", JARS)
def test_without_its_parser_it_says_which_file_is_missing(package: Path, name: str) -> None:
    (package / "lib" / name).unlink()
    with pytest.raises(JavaError, match=f"comes without {name}; put them into its spice/lib"):
        spice(TRUTH, GUESS)
    assert not (package / "lib" / name).exists()


def test_the_score_is_the_mean_of_the_programs(
    monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path
) -> None:
    install_program(monkeypatch, tmp_path, answer(0.5, 0.0))
    found = spice(TRUTH, GUESS)
    assert found.scores() == {"spice": 0.25}
    assert found.by_image() == [{"spice": 0.5}, {"spice": 0.0}]
    assert json.loads((tmp_path / "asked").read_text()) == [
        {"image_id": 0, "test": "a dog", "refs": ["a black dog", "a dog runs"]},
        {"image_id": 1, "test": "two birds", "refs": ["a cat"]},
    ]
    assert f"-jar {package}/spice-1.0.jar" in (tmp_path / "arguments").read_text()
    assert {path.name for path in package.rglob("*")} == {"lib", *JARS}


@pytest.mark.parametrize("text", ["", "[]", answer(0.5), answer(0.5, None), "null"])
def test_an_answer_without_all_scores_is_no_score(
    monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path, text: str
) -> None:
    install_program(monkeypatch, tmp_path, text)
    with pytest.raises(JavaError, match="no score for each of 2 images"):
        spice(TRUTH, GUESS)
