"""Tests of the words that a recogniser learns."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.concepts import (
    ENGLISH_STOP_WORDS,
    Frequency,
    choose_concepts,
    concept_shares,
    read_frequencies,
    read_stop_words,
)
from model.errors import CaptionerError
from model.vocabulary import SPECIAL_TOKENS

COUNTED = [
    Frequency(*pair)
    for pair in (
        ("a", 900),
        ("dog", 50),
        ("in", 40),
        ("two", 30),
        ("2", 20),
        ("Ball", 10),
        ("red", 10),
    )
]
NONE: frozenset[str] = frozenset()

tokens = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
frequencies = st.dictionaries(tokens | st.sampled_from(SPECIAL_TOKENS), st.integers(0, 50)).map(
    lambda counts: [Frequency(*pair) for pair in counts.items()]
)


def test_the_most_frequent_content_words_come_first() -> None:
    assert choose_concepts(COUNTED, 2) == ("dog", "two")
    assert choose_concepts(COUNTED, 99) == ("dog", "two", "Ball", "red")


def test_the_order_given_does_not_matter() -> None:
    assert choose_concepts(COUNTED[::-1], 99) == choose_concepts(COUNTED, 99)


def test_stop_words_are_the_callers_in_any_case() -> None:
    assert choose_concepts(COUNTED, 99, frozenset({"ball", "dog"})) == ("a", "in", "two", "red")


@pytest.mark.parametrize("token", ["2", "3.5", "½", *SPECIAL_TOKENS])
def test_numbers_and_special_tokens_are_no_concepts(token: str) -> None:
    assert choose_concepts([Frequency(token, 9), Frequency("dog", 1)], 2, NONE) == ("dog",)


@pytest.mark.parametrize("token", ["t-shirt", "dog's", "犬", "собака", "कुत्ता", "4x4"])
def test_tokens_with_letters_of_any_script_are_concepts(token: str) -> None:
    assert choose_concepts([Frequency(token, 9)], 1, NONE) == (token,)


@given(frequencies, st.integers(0, 20), st.frozensets(tokens.map(str.lower)))
def test_concepts_are_a_ranking_of_what_is_allowed(
    counted: list[Frequency], count: int, stop_words: frozenset[str]
) -> None:
    chosen = choose_concepts(counted, count, stop_words)
    occurrences = {frequency.token: frequency.occurrences for frequency in counted}
    assert len(set(chosen)) == len(chosen) <= count
    assert not {token.lower() for token in chosen} & stop_words
    ranks = [occurrences[token] for token in chosen]
    assert ranks == sorted(ranks, reverse=True)
    everything = choose_concepts(counted, len(counted), stop_words)
    assert everything[:count] == chosen


def test_english_stop_words_are_words_in_lower_case_and_leave_content_alone() -> None:
    assert len(ENGLISH_STOP_WORDS) > 150
    assert all(word == word.lower() and word.isascii() for word in ENGLISH_STOP_WORDS)
    assert {"a", "the", "of", "is", "their", "and", "'s", "while"} <= ENGLISH_STOP_WORDS
    content = {"one", "two", "man", "red", "running", "outside", "top", "wearing", "young"}
    assert not content & ENGLISH_STOP_WORDS


def test_the_frequencies_of_a_dataset_are_read(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary_frequencies.tsv"
    path.write_bytes("a\t900\t80\nnaïve\u2028x\t7\t6\n".encode())
    assert read_frequencies(path) == [("a", 900, 80), ("naïve\u2028x", 7, 6)]
    path.write_text("a\t900\n")  # as datasets were made before
    assert read_frequencies(path) == [("a", 900, None)]


def test_shares_are_those_of_the_pictures_and_never_certain() -> None:
    counted = [Frequency("a", 9, 4), Frequency("dog", 4, 2), Frequency("red", 1, 0)]
    assert concept_shares(counted, ("dog", "a", "red"), 4) == (0.5, 0.9, 0.1)
    assert concept_shares([*counted, Frequency("cat", 1)], ("dog", "cat"), 4) == ()
    assert concept_shares(counted, ("bird",), 4) == ()
    assert concept_shares(counted, ("dog",), 6000) == (pytest.approx(2.5 / 6001, rel=1e-4),)


@pytest.mark.parametrize("line", ["dog", "dog 9", "dog\t-9", "dog\t9\t", "dog\t9\t9\t9", "\t9", ""])
def test_a_line_that_is_no_frequency_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "vocabulary_frequencies.tsv"
    path.write_text(f"a\t9\n{line}\nred\t1\n")
    with pytest.raises(CaptionerError, match=r"line 2: got .*, expected TOKEN<TAB>COUNT"):
        read_frequencies(path)


def test_stop_words_are_read_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffDer\r\n  die \n\nÜber\n".encode())
    assert read_stop_words(path) == {"der", "die", "über"}


def test_stop_words_are_those_that_tokens_are(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    # A typographic apostrophe, an accent in two parts; a mark that is no word.
    path.write_text("c\u2019est\ne\u0301t\u00e9\n\u3001\n", encoding="utf-8")
    words = read_stop_words(path)
    assert words == {"c'est", "\u00e9t\u00e9"}
    counted = [Frequency("c'est", 9), Frequency("eau", 2)]
    assert choose_concepts(counted, 5, words) == ("eau",)


def test_several_stop_words_in_a_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("the\nof a\n")
    with pytest.raises(CaptionerError, match=r"line 2: got 'of a', expected one word"):
        read_stop_words(path)


@pytest.mark.parametrize("read", [read_frequencies, read_stop_words])
def test_files_that_cannot_be_read_are_named(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(CaptionerError, match=r"words\.txt is missing; "):
        read(tmp_path / "words.txt")
    with pytest.raises(CaptionerError, match=r"cannot be read: .*Is a directory"):
        read(tmp_path)
    (tmp_path / "words.txt").write_bytes(b"na\xefve\n")
    with pytest.raises(CaptionerError, match=r"words\.txt: expected UTF-8"):
        read(tmp_path / "words.txt")
