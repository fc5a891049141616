"""Tests of references of other languages, in the form in which captions are written."""

from __future__ import annotations

import pytest

from model.metrics import score_captions
from model.other_writing import adapt
from model.tokenisers import tokenise

# As people write them, and as the captions of a model have it (`model.text`, then joined again).
PAIRS = {
    # French: typographic apostrophes, quotes with spaces.
    "un chien pr\u00e8s de l\u2019eau": "un chien pr\u00e8s de l'eau",
    "\u00ab l\u2019\u00e9t\u00e9 \u00bb, aujourd\u2019hui !": "l'\u00e9t\u00e9 aujourd'hui",
    # German: low quotes, an umlaut in two parts, the apostrophe that its keyboards have.
    "ein \u201eHund\u201c und ein Ma\u0308dchen": "ein hund und ein m\u00e4dchen",
    "hier gibt\u00b4s Hunde": "hier gibt's hunde",
    # Hyphens of word processors: one where a line may break, one where it may not.
    "Donau\u00addampf\u00adschiff in K\u00f6ln\u2011M\u00fclheim": (
        "donaudampfschiff in k\u00f6ln-m\u00fclheim"
    ),
    # Spanish.
    "\u00bfun perro?": "un perro",
    # Chinese and Japanese: their own punctuation, full and half width.
    "\u56fe\u4e2d\u6709\uff13\u53ea\u72d7\uff0c\u5f88\u5927\u3002": (
        "\u56fe\u4e2d\u6709 3 \u53ea\u72d7\u5f88\u5927"
    ),
    "\u300c\u72ac\u300d\u304c\uff8e\uff9e\uff70\uff99\u3067\u904a\u3076\u3002": (
        "\u72ac\u304c\u30dc\u30fc\u30eb\u3067\u904a\u3076"
    ),
    # Arabic with its comma and question mark, and a mark of direction.
    "\u200f\u0643\u0644\u0628\u060c \u064a\u062c\u0631\u064a\u061f": (
        "\u0643\u0644\u0628 \u064a\u062c\u0631\u064a"
    ),
    # Hindi ends a sentence with a danda.
    "\u0915\u0941\u0924\u094d\u0924\u093e \u0939\u0948\u0964": (
        "\u0915\u0941\u0924\u094d\u0924\u093e \u0939\u0948"
    ),
}
ENGLISH = [
    "A caf\u00e9 \u2014 it\u2019s \u201copen\u201d, don\u2019t run\u2026",
    "\u00bd of the dogs\u2019 bones at 90\u00b0",
    "a dog (on the left)",
]


@pytest.mark.parametrize("tokeniser", ["python", "auto"])
@pytest.mark.parametrize(("reference", "caption"), PAIRS.items())
def test_a_caption_that_is_its_reference_has_its_words(
    reference: str, caption: str, tokeniser: str
) -> None:
    (references, captions), name, _ = tokenise([[reference], [caption]], tokeniser)
    assert references == captions
    assert name.endswith(", after adapting writing other than English")


def test_english_is_left_as_it_is() -> None:
    assert adapt(ENGLISH) == ENGLISH


def test_marks_inside_words_of_hebrew_stay() -> None:
    assert adapt(["\u05e6\u05d4\u05f4\u05dc"]) == ["\u05e6\u05d4\u05f4\u05dc"]


def test_styled_letters_are_plain_ones() -> None:
    assert adapt(["\U0001d5ee \U0001d600\U0001d5fe\U0001d602are"]) == ["a square"]


def test_captions_without_the_marks_of_their_references_score_in_full() -> None:
    (french, written_french), *_, (hindi, written_hindi) = PAIRS.items()
    scores = score_captions(
        {"dog": written_french, "other": written_hindi},
        {"dog": [french], "other": [hindi]},
        "python",
    )
    assert scores.values()["bleu_1"] == pytest.approx(1)
    assert scores.values()["rouge_l"] == pytest.approx(1)
