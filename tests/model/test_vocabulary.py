"""Tests of the vocabulary file."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import CaptionerError
from model.vocabulary import (
    END,
    OOV,
    PAD,
    SPECIAL_TOKENS,
    START,
    UNWRITABLE,
    Vocabulary,
    read_vocabulary,
)

WORDS = Vocabulary((*SPECIAL_TOKENS, "a", "dog", "'s"))


def test_special_tokens_have_the_first_ids() -> None:
    assert [SPECIAL_TOKENS[i] for i in (PAD, START, END, OOV)] == list(SPECIAL_TOKENS)
    assert set(UNWRITABLE) == {PAD, START, OOV}


def test_words_end_at_the_end_mark_and_leave_special_tokens_out() -> None:
    assert WORDS.words([START, 4, OOV, 5, PAD, 6, END, 4, 4]) == ["a", "dog", "'s"]


def test_words_without_an_end_mark_are_all_there() -> None:
    assert WORDS.words([5, 4]) == ["dog", "a"]


def test_a_token_id_is_its_line_number(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_text("\n".join(WORDS.tokens) + "\n", encoding="utf-8")
    assert read_vocabulary(path) == WORDS
    assert len(read_vocabulary(path)) == 7


@pytest.mark.parametrize("odd", ["a\u2028b", "x\x85", "\x1cy", "fl\u00fc\u00dfchen"])
def test_a_word_may_hold_what_unicode_takes_for_a_line_break(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes("\n".join([*WORDS.tokens, odd, "last"]).encode() + b"\n")
    assert read_vocabulary(path).tokens == (*WORDS.tokens, odd, "last")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"vocabulary\.txt is missing; put it back, or"):
        read_vocabulary(tmp_path / "vocabulary.txt")


@pytest.mark.parametrize("text", ["", "a\ndog\n", "<pad>\n<start>\n<unk>\n<end>\n"])
def test_a_file_without_the_special_tokens_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_text(text)
    with pytest.raises(CaptionerError, match=r"expected \('<pad>', '<start>', '<end>', '<unk>'\)"):
        read_vocabulary(path)
