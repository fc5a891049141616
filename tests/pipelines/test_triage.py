"""Tests of the flags that tell a person where to look first."""

from __future__ import annotations

import pytest

from pipelines.triage import DANGLING_ENDING, LOW_SCORE, REPEATS, UNK, flags_of


@pytest.mark.parametrize(
    ("caption", "flags"),
    [
        ("a dog runs on the grass", []),
        ("a dog dog runs", [REPEATS]),
        ("a dog with", [DANGLING_ENDING]),
        ("a dog on the the", [REPEATS, DANGLING_ENDING]),
        ("", [DANGLING_ENDING]),
        ("a <unk> runs", [UNK]),
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
    assert flags_of("<unk> with with", -2.0, -1.0) == [
        LOW_SCORE,
        REPEATS,
        DANGLING_ENDING,
        UNK,
    ]
