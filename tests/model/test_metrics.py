"""Tests of the caption scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from model.errors import CaptionerError
from model.metrics import score_captions
from model.tokenisers import JAVA_TOKENISER, PYTHON_TOKENISER

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


def test_published_scores(development_data: Path, tokeniser: str) -> None:
    folder = development_data / "metrics"
    references = json.loads((folder / "fakecap_refs_1000.json").read_text())
    results = json.loads((folder / "captions_val2014_fakecap_results.json").read_text())
    published = json.loads((folder / "fakecap_scores_pycocoevalcap_1.2.json").read_text())
    candidates = {str(result["image_id"]): result["caption"] for result in results}
    scores = score_captions(candidates, references, tokeniser)
    measured = scores.values()
    expected = {name.lower(): score for name, score in published["scores"].items()}
    rounded = {name: round(measured[name], 4) for name in expected if name in measured}
    assert rounded == {
        "bleu_1": 0.5794,
        "bleu_2": 0.4044,
        "bleu_3": 0.2785,
        "bleu_4": 0.1908,
        "rouge_l": 0.3963,
        "cider": 0.5998,
        **({"meteor": 0.1953} if tokeniser == "java" else {}),
    }
    for name in rounded:
        assert measured[name] == pytest.approx(expected[name], abs=5e-5), name
    assert ("meteor" in scores.left_out) == (tokeniser == "python")
    assert len(scores.image_ids) == 1000


def test_tokeniser_and_what_is_left_out_are_named() -> None:
    scores = score_captions(CANDIDATES, REFERENCES, "python")
    assert scores.tokeniser == PYTHON_TOKENISER
    assert scores.image_ids == ("dog", "cat", "bus", "surf")
    reason = "tokeniser 'python' was asked for, with which no Java is run"
    assert scores.left_out == {"meteor": reason, "spice": reason}
    assert set(scores.values()) == {*(f"bleu_{n}" for n in (1, 2, 3, 4)), "rouge_l", "cider"}


def test_without_java_what_needs_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    scores = score_captions(CANDIDATES, REFERENCES)
    assert scores.tokeniser == PYTHON_TOKENISER
    assert set(scores.left_out) == {"meteor", "spice"}
    for reason in scores.left_out.values():
        assert "no Java that runs" in reason


def test_a_java_program_that_fails_is_left_out_and_the_others_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A tokeniser that works, for lines that are words already; a METEOR that fails.
    stub = tmp_path / "java"
    stub.write_text(
        '#!/bin/sh\ncase "$*" in *PTBTokenizer*) exec /bin/cat;; esac\necho broken >&2\nexit 1\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    scores = score_captions({"dog": "a dog"}, {"dog": ["a dog"]})
    assert scores.tokeniser == JAVA_TOKENISER
    assert scores.left_out["meteor"] == "the Java program ended with status 1: broken"
    assert set(scores.left_out) == {"meteor", "spice"}
    assert scores.values()["bleu_2"] == pytest.approx(1)


def test_intervals_hold_their_scores() -> None:
    scores = score_captions(CANDIDATES, REFERENCES, "python")
    values, intervals = scores.values(), scores.intervals()
    assert list(intervals) == list(values)
    for name, value in values.items():
        low, high = intervals[name]
        assert low < value < high
    assert scores.intervals() == intervals


def test_shuffled_captions_score_lower() -> None:
    ids = list(CANDIDATES)
    moved = dict(zip(ids, [CANDIDATES[image] for image in ids[1:] + ids[:1]], strict=True))
    right = score_captions(CANDIDATES, REFERENCES, "python").values()
    wrong = score_captions(moved, REFERENCES, "python").values()
    for name, value in right.items():
        assert wrong[name] < value


def test_perfect_captions_score_one() -> None:
    perfect = {image: captions[0] for image, captions in REFERENCES.items()}
    scores = score_captions(perfect, REFERENCES, "python")
    assert scores.values()["bleu_4"] == pytest.approx(1)
    assert scores.values()["rouge_l"] == pytest.approx(1)
    by_image = scores.by_image()
    for image in perfect:
        assert by_image[image]["bleu_4"] == pytest.approx(1)


def test_one_reference_repeated_scores_ten_in_cider() -> None:
    captions = {image: refs[0] for image, refs in REFERENCES.items()}
    scores = score_captions(captions, {image: [c] for image, c in captions.items()}, "python")
    assert scores.values()["cider"] == pytest.approx(10)


def test_set_scores_are_means_over_images() -> None:
    scores = score_captions(CANDIDATES, REFERENCES, "python")
    for name in ("cider", "rouge_l"):
        mean = sum(row[name] for row in scores.by_image().values()) / 4
        assert mean == pytest.approx(scores.values()[name])


@pytest.mark.parametrize("caption", ["", " ", "."])
def test_empty_caption_scores_zero(caption: str) -> None:
    references = {**REFERENCES, "dog": [*REFERENCES["dog"], "."]}
    scores = score_captions({**CANDIDATES, "dog": caption}, references, "python")
    by_image = scores.by_image()
    assert set(by_image["dog"].values()) == {0}
    assert by_image["cat"]["cider"] > 0
    assert scores.values()["cider"] > 0
    nothing = score_captions(dict.fromkeys(CANDIDATES, caption), references, "python")
    assert set(nothing.values().values()) == {0}


def test_images_without_candidate_are_left_out() -> None:
    some = {image: CANDIDATES[image] for image in ("dog", "cat")}
    few = {image: REFERENCES[image] for image in some}
    scores = score_captions(some, REFERENCES, "python")
    assert scores.by_image() == score_captions(some, few, "python").by_image()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    score_captions(CANDIDATES, REFERENCES, "python").intervals()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({}, REFERENCES, "no candidates"),
        ({"fox": "a fox", "dog": "a dog"}, REFERENCES, r"1 candidate.*'fox'.*all 2"),
        ({"dog": "a dog"}, {"dog": []}, r"got \[\].*'dog'.*at least one"),
        ({"dog": "a dog"}, {"dog": "a dog"}, "expected a sequence"),
    ],
)
def test_refused_input(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_captions(candidates, references, "python")


def test_a_picture_whose_captions_have_no_word_is_told() -> None:
    with pytest.raises(CaptionerError, match=r"1 image.*hold no word.*'dog'; correct them"):
        score_captions({"dog": "a dog"}, {"dog": ["", "."]}, "python")


def test_chinese_captions_are_scored_by_their_characters(
    tokeniser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = {
        "dog": ["一只狗在草地上跑", "一只棕色的狗在草地上奔跑"],
        "men": ["两个男人在踢足球"],
        "girl": ["女孩坐在红色的椅子上"],
    }
    near = {"dog": "一只狗在草地上奔跑", "men": "两个男人踢足球", "girl": "女孩坐在椅子上"}
    scores = score_captions(near, references, tokeniser)
    assert scores.tokeniser.endswith(", after adapting writing other than English")
    values = scores.values()
    assert 0.8 < values["bleu_1"] < 1
    assert values["bleu_4"] > 0.5
    assert values["cider"] > 3
    assert ("meteor" in values) == (tokeniser == "java")
    monkeypatch.setattr("model.metrics._JAVA_MEASURES", {})  # whose program takes long to start
    copies = {image: captions[0] for image, captions in references.items()}
    values = score_captions(copies, references, tokeniser).values()
    assert values["bleu_1"] == pytest.approx(1)
    assert values["rouge_l"] == pytest.approx(1)
