"""Tests of the flags that tell a person where to look first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.triage import DANGLING_ENDING, LOW_SCORE, REPEATS, flags_of


@pytest.mark.parametrize(
    ("caption", "flags"),
    [
        ("a dog runs on the grass", []),
        ("a dog and a dog in a park", []),
        ("dog", []),
        ("a dog dog runs", [REPEATS]),
        ("a man in a red hat and a man in the snow", [REPEATS]),
        ("two men two men", []),
        ("a b c a b c", [REPEATS]),
        ("a dog with", [DANGLING_ENDING]),
        ("a dog on the the", [REPEATS, DANGLING_ENDING]),
        ("", [DANGLING_ENDING]),
        ("within", []),
    ],
)
def test_a_caption_has_its_flags(caption: str, flags: list[str]) -> None:
    assert flags_of(caption, -1.0, None) == flags


@pytest.mark.parametrize(
    ("score", "low_score", "flagged"),
    [(-2.0, -1.5, True), (-1.5, -1.5, False), (-1.0, -1.5, False), (-99.0, None, False)],
)
def test_a_score_below_the_mark_is_low(
    score: float, low_score: float | None, flagged: bool
) -> None:
    assert (LOW_SCORE in flags_of("a dog", score, low_score)) == flagged


def test_flags_come_in_one_order() -> None:
    assert flags_of("a dog with with", -2.0, -1.0) == [LOW_SCORE, REPEATS, DANGLING_ENDING]


words = st.lists(st.sampled_from("dog cat hat runs red".split()), min_size=1, max_size=8)


@given(words)
def test_repeats_are_a_word_or_three_words_said_again(said: list[str]) -> None:
    twice = any(said[i] == said[i - 1] for i in range(1, len(said)))
    three = any(
        said[i : i + 3] == said[j : j + 3]
        for i in range(len(said) - 2)
        for j in range(i + 1, len(said) - 2)
    )
    assert (REPEATS in flags_of(" ".join(said), 0.0, None)) == (twice or three)
