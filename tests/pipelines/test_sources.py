"""Tests of reading split lists: every name counts once, every flaw is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import CaptionerError
from pipelines.records import SplitEntry
from pipelines.sources import read_split_lists


def write_lists(folder: Path, **lists: str) -> dict[str, str]:
    for split, text in lists.items():
        (folder / split).write_bytes(text.encode())
    return {split: str(folder / split) for split in lists}


def test_split_lists_give_every_name_once(tmp_path: Path) -> None:
    uris = write_lists(tmp_path, train="\ufeffa b.jpg\r\n\r\nc.jpg\na b.jpg\n", test=" d.jpg")
    names = [("a b.jpg", "train"), ("c.jpg", "train"), ("d.jpg", "test")]
    assert list(read_split_lists(uris)) == [SplitEntry(*entry) for entry in names]


def test_no_lists_give_no_entries() -> None:
    assert list(read_split_lists({})) == []


def test_an_image_in_two_lists_is_an_error_that_names_both(tmp_path: Path) -> None:
    uris = write_lists(tmp_path, train="a.jpg\nb.jpg\n", validation="c.jpg\n", test="b.jpg\n")
    with pytest.raises(CaptionerError) as error:
        list(read_split_lists(uris))
    assert all(word in str(error.value) for word in (uris["test"], "'b.jpg'", "the train list"))


@pytest.mark.parametrize("text", ["", " \n\r\n"])
def test_an_empty_list_is_an_error(tmp_path: Path, text: str) -> None:
    uris = write_lists(tmp_path, train="a.jpg\n", test=text)
    with pytest.raises(CaptionerError, match=r"test list .* is empty"):
        list(read_split_lists(uris))


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"train list .*absent\.txt cannot be read"):
        list(read_split_lists({"train": str(tmp_path / "absent.txt")}))


def test_a_name_may_hold_what_unicode_counts_as_a_line_break(tmp_path: Path) -> None:
    uris = write_lists(tmp_path, train="a\u2028b\x85c.jpg\n")
    assert list(read_split_lists(uris)) == [SplitEntry("a\u2028b\x85c.jpg", "train")]


def test_a_list_that_is_no_utf8_is_an_error_that_names_the_byte(tmp_path: Path) -> None:
    (tmp_path / "train").write_bytes("a.jpg\nna\u00efve.jpg".encode("latin-1"))
    with pytest.raises(CaptionerError, match="byte 0xef at position 8; convert the file to UTF-8"):
        list(read_split_lists({"train": str(tmp_path / "train")}))
