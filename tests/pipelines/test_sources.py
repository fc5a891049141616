"""Tests of reading split lists: every name counts once, every flaw is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from model.errors import CaptionerError
from pipelines.records import SplitEntry
from pipelines.sources import normalise_uri, read_split_lists


def write_lists(folder: Path, **lists: str) -> dict[str, str]:
    for split, text in lists.items():
        (folder / split).write_bytes(text.encode())
    return {split: str(folder / split) for split in lists}


def test_split_lists_give_every_name_once(tmp_path: Path) -> None:
    uris = write_lists(tmp_path, train="\ufeffa b.jpg\r\n\r\nc.jpg\na b.jpg\n", test=" d.jpg")
    names = [("a b.jpg", "train"), ("c.jpg", "train"), ("d.jpg", "test")]
    assert list(read_split_lists(uris)) == [SplitEntry(*entry) for entry in names]


def test_names_are_the_same_however_accents_are_spelled_and_no_others(tmp_path: Path) -> None:
    names = ("e\u0301.jpg", "\u00e9.jpg", "\ufb01.jpg", "fi.jpg")
    uris = write_lists(tmp_path, train="".join(f"{name}\n" for name in names))
    assert [entry.image_id for entry in read_split_lists(uris)] == list(names[1:])


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


def test_a_file_has_one_name_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spelled = (
        "a/b",
        "~/a/b",  # which a shell leaves as it is in quotes
        "./a//b/",
        "a/../a/b",
        f"{tmp_path}/a/b",
        f"file://{tmp_path}/a/b",
        f"/{tmp_path}/a/b",
    )
    assert {normalise_uri(path) for path in spelled} == {str(tmp_path / "a" / "b")}


def test_a_remote_folder_has_one_name(memory: dict[str, bytes]) -> None:
    assert normalise_uri("memory://bucket/a/") == normalise_uri("memory://bucket/a")
    assert normalise_uri("memory://bucket/a") == "memory://bucket/a"


@pytest.mark.parametrize("path", ["", "nothing://bucket/a", "s3://bucket/a"])
def test_what_is_no_place_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(CaptionerError, match=r"empty path|its file system cannot be used"):
        normalise_uri(path)
