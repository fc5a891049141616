"""Tests of the flaws that a caption's words show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.flaws import has_dangling_ending, has_repeats


@pytest.mark.parametrize(
    ("caption", "repeats"),
    [
        ("a dog runs on the grass", False),
        ("a dog and a dog in a park", False),
        ("dog", False),
        ("a dog dog runs", True),
        ("a man in a red hat and a man in the snow", True),
        ("two men two men", False),
        ("a b c a b c", True),
        ("", False),
    ],
)
def test_repeats(caption: str, repeats: bool) -> None:
    assert has_repeats(caption.split()) == repeats


@pytest.mark.parametrize(
    ("caption", "dangling"),
    [("a dog with", True), ("a dog on the", True), ("a dog", False), ("within", False), ("", True)],
)
def test_dangling_endings(caption: str, dangling: bool) -> None:
    assert has_dangling_ending(caption.split()) == dangling


@pytest.mark.parametrize(
    "caption",
    [
        "ein mann zieht eine jacke an",
        "der hund l\u00e4uft hinter einem ball her",
        "een vrouw steekt de straat over",
        "et billede af en by",
        "k\u0131rda ko\u015fan bir at",
    ],
)
def test_other_languages_end_with_words_that_english_does_not(caption: str) -> None:
    assert not has_dangling_ending(caption.split())


@pytest.mark.parametrize("caption", ["a dog jumps over", "two men wait at", "the man looks at her"])
def test_words_of_several_languages_dangle_in_english(caption: str) -> None:
    assert has_dangling_ending(caption.split())


words = st.lists(st.sampled_from("dog cat hat runs red".split()), min_size=1, max_size=8)


@given(words)
def test_repeats_are_a_word_or_three_words_said_again(said: list[str]) -> None:
    twice = any(said[i] == said[i - 1] for i in range(1, len(said)))
    three = any(
        said[i : i + 3] == said[j : j + 3]
        for i in range(len(said) - 2)
        for j in range(i + 1, len(said) - 2)
    )
    assert has_repeats(said) == (twice or three)
