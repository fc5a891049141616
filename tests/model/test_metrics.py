"""Tests of the caption scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from model.metrics import JAVA_TOKENISER, PYTHON_TOKENISER, score_captions

REFERENCES = {
    "dog": ["A black dog runs through the snow.", "The dog is running in deep snow"],
    "cat": ["A cat sleeps on a red sofa.", "The cat's asleep on its owner's couch"],
    "bus": ["A yellow school bus is parked by the road", "A bus waits at the side of a street"],
    "surf": ["A surfer rides a big wave", "A man in a wetsuit is surfing in the ocean."],
}
CANDIDATES = {
    "dog": "a dog is running through the snow",
    "cat": "a cat sleeps on the couch",
    "bus": "a yellow bus is parked by the street",
    "surf": "a man rides a big wave in the ocean",
}


@pytest.fixture(params=["python", "java"])
def tokeniser(request: pytest.FixtureRequest) -> str:
    """Each tokeniser by name; Java's is skipped where there is no java."""
    if request.param == "java" and shutil.which("java") is None:
        pytest.skip("no java on this machine")
    return str(request.param)


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which no program is found."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_published_scores(development_data: Path, tokeniser: str) -> None:
    folder = development_data / "metrics"
    references = json.loads((folder / "fakecap_refs_1000.json").read_text())
    results = json.loads((folder / "captions_val2014_fakecap_results.json").read_text())
    published = json.loads((folder / "fakecap_scores_pycocoevalcap_1.2.json").read_text())
    candidates = {str(result["image_id"]): result["caption"] for result in results}
    scores, _ = score_captions(candidates, references, tokeniser)
    measured = asdict(scores)
    expected = {name.lower(): score for name, score in published["scores"].items()}
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"):
        assert measured[name] == pytest.approx(expected[name], abs=5e-5), name
    rounded = [round(measured[name], 4) for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4")]
    assert rounded == [0.5794, 0.4044, 0.2785, 0.1908]
    assert [round(scores.rouge_l, 4), round(scores.cider, 4)] == [0.3963, 0.5998]
    assert scores.images == 1000


def test_tokeniser_is_named(tokeniser: str) -> None:
    scores, _ = score_captions(CANDIDATES, REFERENCES, tokeniser)
    assert scores.tokeniser == {"python": PYTHON_TOKENISER, "java": JAVA_TOKENISER}[tokeniser]
    assert scores.images == 4


def test_both_tokenisers_give_the_same_scores(tokeniser: str) -> None:
    scores, by_image = score_captions(CANDIDATES, REFERENCES, tokeniser)
    expected, expected_by_image = score_captions(CANDIDATES, REFERENCES, "python")
    assert replace(scores, tokeniser="") == replace(expected, tokeniser="")
    assert by_image == expected_by_image


def test_shuffled_captions_score_lower() -> None:
    ids = list(CANDIDATES)
    moved = dict(zip(ids, [CANDIDATES[image] for image in ids[1:] + ids[:1]], strict=True))
    right, _ = score_captions(CANDIDATES, REFERENCES, "python")
    wrong, _ = score_captions(moved, REFERENCES, "python")
    assert wrong.bleu_1 < right.bleu_1
    assert wrong.bleu_4 < right.bleu_4
    assert wrong.rouge_l < right.rouge_l
    assert wrong.cider < right.cider


def test_perfect_captions_score_one() -> None:
    perfect = {image: captions[0] for image, captions in REFERENCES.items()}
    scores, by_image = score_captions(perfect, REFERENCES, "python")
    assert scores.bleu_4 == pytest.approx(1)
    assert scores.rouge_l == pytest.approx(1)
    for image in perfect:
        assert by_image[image]["bleu_4"] == pytest.approx(1)


def test_one_reference_repeated_scores_ten_in_cider() -> None:
    captions = {image: refs[0] for image, refs in REFERENCES.items()}
    scores, _ = score_captions(captions, {image: [c] for image, c in captions.items()}, "python")
    assert scores.cider == pytest.approx(10)


def test_set_scores_are_means_over_images() -> None:
    scores, by_image = score_captions(CANDIDATES, REFERENCES, "python")
    for name, score in (("cider", scores.cider), ("rouge_l", scores.rouge_l)):
        assert sum(row[name] for row in by_image.values()) / 4 == pytest.approx(score)


@pytest.mark.parametrize("caption", ["", " ", "."])
def test_empty_caption_scores_zero(caption: str, tokeniser: str) -> None:
    references = {**REFERENCES, "dog": [*REFERENCES["dog"], "."]}
    scores, by_image = score_captions({**CANDIDATES, "dog": caption}, references, tokeniser)
    assert by_image["dog"] == {"bleu_4": 0, "rouge_l": 0, "cider": 0}
    assert by_image["cat"]["cider"] > 0
    assert scores.cider > 0
    nothing, _ = score_captions(dict.fromkeys(CANDIDATES, caption), references, tokeniser)
    assert nothing.bleu_1 == nothing.bleu_4 == nothing.rouge_l == nothing.cider == 0


def test_line_breaks_do_not_shift_captions(tokeniser: str) -> None:
    broken = {
        image: caption.replace(" ", "\n", 2) + "\r\n" for image, caption in CANDIDATES.items()
    }
    assert score_captions(broken, REFERENCES, tokeniser) == score_captions(
        CANDIDATES, REFERENCES, tokeniser
    )


def test_images_without_candidate_are_left_out() -> None:
    some = {image: CANDIDATES[image] for image in ("dog", "cat")}
    few = {image: REFERENCES[image] for image in some}
    assert score_captions(some, REFERENCES, "python") == score_captions(some, few, "python")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], tokeniser: str) -> None:
    score_captions(CANDIDATES, REFERENCES, tokeniser)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({}, REFERENCES, "no candidates"),
        ({"fox": "a fox", "dog": "a dog"}, REFERENCES, r"1 candidate.*'fox'.*all 2"),
        ({"dog": "a dog"}, {"dog": []}, r"got \[\].*'dog'.*at least one"),
        ({"dog": "a dog"}, {"dog": "a dog"}, "expected a sequence"),
        ({"dog": "a dog"}, {"dog": ["", "."]}, r"1 image.*'dog'.*at least one word"),
    ],
)
def test_refused_input(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_captions(candidates, references, "python")


def test_unknown_tokeniser_is_refused() -> None:
    with pytest.raises(ValueError, match="got tokeniser 'perl'; expected 'auto'"):
        score_captions(CANDIDATES, REFERENCES, "perl")


@pytest.mark.usefixtures("without_java")
def test_without_java_auto_takes_ours(caplog: pytest.LogCaptureFixture) -> None:
    scores, _ = score_captions(CANDIDATES, REFERENCES)
    assert scores.tokeniser == PYTHON_TOKENISER
    assert "Java" in caplog.text


@pytest.mark.usefixtures("without_java")
def test_without_java_demanding_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="install a Java runtime"):
        score_captions(CANDIDATES, REFERENCES, "java")


def test_java_that_does_not_work_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub = tmp_path / "java"
    stub.write_text("#!/bin/sh\nexit 0\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    scores, _ = score_captions(CANDIDATES, REFERENCES)
    assert scores.tokeniser == PYTHON_TOKENISER
