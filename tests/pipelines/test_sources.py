"""Tests of reading captions files and split lists: every line counts, every flaw is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.records import Caption, SplitEntry
from pipelines.sources import _read_tokens, read_captions, read_split_lists

TOKENS = "b.jpg#0\tA dog .\nb.jpg#1\tTwo\tdogs\na.jpg#0\tA cat\n"
CAPTIONS = [Caption("b.jpg", 1, "A dog ."), Caption("b.jpg", 2, "Two\tdogs")]
CAPTIONS += [Caption("a.jpg", 3, "A cat")]
COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "b.jpg"}, {"id": "x", "file_name": "sub/a.jpg"}],
    "annotations": [{"image_id": "x", "caption": "A cat"}, {"image_id": 7, "caption": "naïve"}],
}
names = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)
texts = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


def read(folder: Path, data: str | bytes) -> list[Caption]:
    path = folder / "captions"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(read_captions(str(path)))


def error_of(folder: Path, data: str | bytes) -> str:
    with pytest.raises(CaptionerError) as error:
        read(folder, data)
    assert str(folder / "captions") in str(error.value)
    return str(error.value)


def test_a_token_file_gives_its_captions_in_order(tmp_path: Path) -> None:
    assert read(tmp_path, TOKENS) == CAPTIONS


def test_a_token_file_may_have_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + TOKENS.replace("\n", "\r\n").encode()) == CAPTIONS


def test_blank_lines_count_as_lines_but_not_as_captions(tmp_path: Path) -> None:
    captions = read(tmp_path, "\n  \nb.jpg#0\tA dog .\n\r\n\na.jpg#0\t\n")
    assert captions == [Caption("b.jpg", 3, "A dog ."), Caption("a.jpg", 6, "")]


def test_a_name_may_hold_spaces_hashes_and_folders(tmp_path: Path) -> None:
    (caption,) = read(tmp_path, "deep/a #1 #2.jpg#3\tA dog #1")
    assert caption == Caption("deep/a #1 #2.jpg", 1, "A dog #1")


@given(st.lists(st.tuples(names.filter(str.strip), st.integers(0, 99), texts), min_size=1))
def test_whatever_is_written_as_a_token_file_is_read_back(rows: list[tuple]) -> None:
    # A tab in a name, or after it, cannot be told from the one that ends it.
    rows = [(name.replace("\t", " "), number, text) for name, number, text in rows]
    text = "".join(f"{name}#{number}\t{caption}\n" for name, number, caption in rows)
    captions = list(_read_tokens(text, "captions"))
    assert [(c.image_id, c.text) for c in captions] == [(name, text) for name, _, text in rows]
    assert [c.position for c in captions] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(
    "line",
    [
        "b.jpg A dog",
        "b.jpg#0 A dog",
        "b.jpg\tA dog",
        "b.jpg#x\tA dog",
        "a.jpg#\tA dog",
        "#0\tA dog",
        "image,caption",
    ],
)
def test_a_malformed_line_is_named_by_its_number_and_content(tmp_path: Path, line: str) -> None:
    message = error_of(tmp_path, f"a.jpg#0\tA cat\n\n{line}\n")
    assert "line 3" in message
    assert repr(line) in message


def test_a_long_malformed_line_is_cut(tmp_path: Path) -> None:
    assert len(error_of(tmp_path, "x" * 10_000)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_captions_file_is_an_error(tmp_path: Path, data: bytes) -> None:
    assert "is empty" in error_of(tmp_path, data)


def test_a_captions_file_that_is_no_utf8_is_an_error(tmp_path: Path) -> None:
    assert "UTF-8" in error_of(tmp_path, "b.jpg#0\tnaïve".encode("latin-1"))


def test_a_missing_captions_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"absent\.txt cannot be read.*check the path"):
        read_captions(str(tmp_path / "absent.txt"))
    with pytest.raises(CaptionerError, match="cannot be read"):
        read_captions(str(tmp_path))


def test_coco_json_gives_its_captions_in_order(tmp_path: Path) -> None:
    expected = [Caption("sub/a.jpg", 0, "A cat"), Caption("b.jpg", 1, "naïve")]
    assert read(tmp_path, json.dumps(COCO)) == expected
    assert read(tmp_path, "\ufeff \r\n" + json.dumps(COCO, ensure_ascii=False)) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"images": [', "malformed JSON"),
        ("{}", "'images' is missing"),
        ('{"images": []}', "'annotations' is missing"),
        ('{"images": [{"id": 1}], "annotations": []}', "'file_name' is missing"),
        ('{"images": [7], "annotations": []}', "expected COCO captions JSON"),
        ('{"images": 7, "annotations": []}', "expected COCO captions JSON"),
        ('{"images": [], "annotations": []}', "no caption"),
        ('{"images": [], "annotations": 7}', "expected COCO captions JSON"),
    ],
)
def test_json_that_is_no_coco_is_an_error(tmp_path: Path, data: str, words: str) -> None:
    assert words in error_of(tmp_path, data)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"image_id": 99, "caption": "A dog"}, "99"),
        ({"image_id": 7}, "'caption'"),
        ({"caption": "A dog"}, "'image_id'"),
        ({"image_id": 7, "caption": None}, "None"),
        ({"image_id": 7, "caption": 5}, "5"),
        ("A dog", "A dog"),
        ({"image_id": [7], "caption": "A dog"}, "[7]"),
    ],
)
def test_an_annotation_without_image_or_caption_is_named(
    tmp_path: Path, annotation: Any, words: str
) -> None:
    document = {**COCO, "annotations": [*COCO["annotations"], annotation]}
    message = error_of(tmp_path, json.dumps(document))
    assert "annotation 2" in message
    assert words in message


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
