"""Tests of what is said of a set of captions."""

from __future__ import annotations

import pytest

from model.caption_statistics import caption_statistics
from model.vocabulary import SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_TOKENS, "a", "dog", "'s", "ball", "with", "cat"))


def test_statistics_of_captions() -> None:
    captions = ["a dog's ball", "a dog dog", "a dog dog", "a zebra with", ""]
    tokens = [line.replace("'s", " 's").split() for line in captions]
    assert caption_statistics(captions, tokens, VOCABULARY) == {
        "distinct": 4,
        "distinct_share": 4 / 5,
        "vocabulary_words_used": 5,
        "vocabulary_words": 6,
        "mean_words": pytest.approx(13 / 5),
        "repeats_share": 2 / 5,
        "dangling_ending_share": 2 / 5,
        "unknown_word_rate": 1 / 13,
    }


def test_special_tokens_are_no_words() -> None:
    found = caption_statistics(["<unk>"], [["<unk>"]], VOCABULARY)
    assert found["vocabulary_words_used"] == 0
    assert found["unknown_word_rate"] == 1


def test_captions_without_a_word() -> None:
    found = caption_statistics([""], [[]], VOCABULARY)
    assert found["mean_words"] == found["unknown_word_rate"] == 0
    assert found["dangling_ending_share"] == 1
