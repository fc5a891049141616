"""Tests of captions files that are one document: every line counts, every flaw is named."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from container_builders import write
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.captions.documents import read_coco, read_flickr, read_karpathy
from pipelines.captions.parsing import FoundCaption

TOKENS = "b.jpg#0\tA dog .\nb.jpg#1\tTwo\tdogs\na.jpg#0\tA cat\n"
CAPTIONS = [
    FoundCaption("b.jpg", "A dog .", None, "line 1"),
    FoundCaption("b.jpg", "Two\tdogs", None, "line 2"),
    FoundCaption("a.jpg", "A cat", None, "line 3"),
]
COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "b.jpg"}, {"id": "x", "file_name": "sub/a.jpg"}],
    "annotations": [{"image_id": "x", "caption": "A cat"}, {"image_id": 7, "caption": "naïve"}],
}
KARPATHY: dict[str, Any] = {
    "images": [
        {
            "filepath": "val2014/",
            "filename": "b.jpg",
            "split": "restval",
            "sentences": [{"raw": "A dog.", "tokens": ["a", "dog"]}, {"raw": "naïve"}],
        },
        {"filename": "a.jpg", "split": "val", "sentences": [{"raw": "A cat"}]},
        {"filename": "c.jpg", "sentences": []},
    ],
    "dataset": "coco",
}
Reader = Callable[[str], Iterator[FoundCaption]]
unicode = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


def read(reader: Reader, folder: Path, data: str | bytes) -> list[FoundCaption]:
    data = data if isinstance(data, bytes) else data.encode()
    return list(reader(write(folder / "captions", data)))


def error_of(reader: Reader, folder: Path, data: str | bytes) -> str:
    with pytest.raises(CaptionerError) as error:
        read(reader, folder, data)
    assert str(folder / "captions") in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_token_file_gives_its_captions_in_order(tmp_path: Path) -> None:
    assert read(read_flickr, tmp_path, TOKENS) == CAPTIONS


def test_a_token_file_may_have_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + TOKENS.replace("\n", "\r\n").encode()
    assert read(read_flickr, tmp_path, data) == CAPTIONS


def test_a_token_file_may_have_the_line_ends_of_old_macs(tmp_path: Path) -> None:
    assert read(read_flickr, tmp_path, TOKENS.replace("\n", "\r")) == CAPTIONS
    # Where lines end otherwise, it is part of a caption.
    (caption,) = read(read_flickr, tmp_path, "a.jpg#0\tA cat\rsleeps\n")
    assert caption.text == "A cat\rsleeps"


def test_blank_lines_count_as_lines_but_not_as_captions(tmp_path: Path) -> None:
    captions = read(read_flickr, tmp_path, "\n  \nb.jpg#0\tA dog .\n\r\n\na.jpg#0\t\n")
    assert [(c.image_id, c.text, c.place) for c in captions] == [
        ("b.jpg", "A dog .", "line 3"),
        ("a.jpg", "", "line 6"),
    ]


def test_a_name_may_hold_spaces_hashes_and_folders(tmp_path: Path) -> None:
    (caption,) = read(read_flickr, tmp_path, "deep/a #1 #2.jpg#3\tA dog #1")
    assert caption == FoundCaption("deep/a #1 #2.jpg", "A dog #1", None, "line 1")


@given(st.lists(st.tuples(unicode.filter(str.strip), st.integers(0, 99), unicode), min_size=1))
def test_whatever_is_written_as_a_token_file_is_read_back(rows: list[tuple]) -> None:
    # A tab in a name, or after it, cannot be told from the one that ends it.
    rows = [(name.replace("\t", " "), number, text) for name, number, text in rows]
    text = "".join(f"{name}#{number}\t{caption}\n" for name, number, caption in rows)
    rows[0] = (rows[0][0].removeprefix("\ufeff"), *rows[0][1:])
    with tempfile.TemporaryDirectory() as folder:
        captions = read(read_flickr, Path(folder), text)
    assert [(c.image_id, c.text) for c in captions] == [(name, text) for name, _, text in rows]
    assert [c.place for c in captions] == [f"line {n}" for n in range(1, len(rows) + 1)]


def test_a_caption_may_hold_what_a_name_ends_with(tmp_path: Path) -> None:
    line = "p#0.jpg#1\tWe are #1\tin the race\n"
    (found,) = read_flickr(write(tmp_path / "tokens.txt", line.encode()))
    assert (found.image_id, found.text) == ("p#0.jpg", "We are #1\tin the race")


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
    message = error_of(read_flickr, tmp_path, f"a.jpg#0\tA cat\n\n{line}\n")
    assert "line 3" in message
    assert repr(line) in message


def test_a_long_malformed_line_is_cut(tmp_path: Path) -> None:
    assert len(error_of(read_flickr, tmp_path, "x" * 10_000)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("reader", [read_flickr, read_coco, read_karpathy])
def test_text_that_is_no_utf8_is_an_error_that_names_the_byte(
    tmp_path: Path, reader: Reader
) -> None:
    message = error_of(reader, tmp_path, "b.jpg#0\tnaïve".encode("latin-1"))
    assert "expected UTF-8 text, got the byte 0xef at position 10; convert the file" in message


@pytest.mark.parametrize("reader", [read_flickr, read_coco, read_karpathy])
def test_a_missing_file_is_an_error(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(CaptionerError, match=r"absent\.txt cannot be read.*check the path"):
        list(reader(str(tmp_path / "absent.txt")))
    with pytest.raises(CaptionerError, match="cannot be read"):
        list(reader(str(tmp_path)))


def test_coco_json_gives_its_captions_in_order(tmp_path: Path) -> None:
    expected = [
        FoundCaption("sub/a.jpg", "A cat", None, "annotation 0"),
        FoundCaption("b.jpg", "naïve", None, "annotation 1"),
    ]
    assert read(read_coco, tmp_path, json.dumps(COCO)) == expected
    bare = "\ufeff \r\n" + json.dumps(COCO, ensure_ascii=False)
    assert read(read_coco, tmp_path, bare) == expected


def test_an_annotation_without_text_has_an_empty_caption_and_several_may_be_a_list(
    tmp_path: Path,
) -> None:
    annotations = [{"image_id": 7, "caption": None}, {"image_id": 7, "caption": ["A dog", "Dogs"]}]
    found = read(read_coco, tmp_path, json.dumps({**COCO, "annotations": annotations}))
    assert [caption[:2] for caption in found] == [
        ("b.jpg", ""),
        ("b.jpg", "A dog"),
        ("b.jpg", "Dogs"),
    ]


def test_an_id_of_two_pictures_is_an_error_that_names_both(tmp_path: Path) -> None:
    again = {**COCO, "images": [*COCO["images"], {"id": 7, "file_name": "b.jpg"}]}
    assert len(read(read_coco, tmp_path, json.dumps(again))) == 2
    other = {**COCO, "images": [*COCO["images"], {"id": 7, "file_name": "c.jpg"}]}
    message = error_of(read_coco, tmp_path, json.dumps(other))
    assert "image 2: got the id 7 for 'c.jpg', which an image before has for 'b.jpg'" in message


def test_karpathy_json_gives_its_captions_and_their_splits(tmp_path: Path) -> None:
    assert read(read_karpathy, tmp_path, json.dumps(KARPATHY)) == [
        FoundCaption("val2014/b.jpg", "A dog.", "restval", "image 0"),
        FoundCaption("val2014/b.jpg", "naïve", "restval", "image 0"),
        FoundCaption("a.jpg", "A cat", "val", "image 1"),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "is empty"),
        ('{"images": [', "line 1, column 13: malformed JSON"),
        ('{\n"images": [1,\n?', "line 3, column 1: malformed JSON"),
        ("[" * 100_000, "JSON that cannot be read"),
        ('{"images": ' + "1" * 5000 + "}", "JSON that cannot be read"),
        ("[]", "got a JSON list"),
        ("7", "got 7"),
        ("{}", "'images' is missing"),
        ('{"images": []}', "'annotations' is missing"),
        ('{"images": [{"id": 1}], "annotations": []}', "'file_name' is missing"),
        ('{"images": [7], "annotations": []}', "image 0: got 7, expected COCO captions JSON"),
        ('{"images": [[]], "annotations": []}', "(no JSON object)"),
        (
            '{"images": [{"id": [7], "file_name": "a"}], "annotations": []}',
            "image 0: got {'id': [7], 'file_name': 'a'}, expected COCO captions JSON with 'images'",
        ),
        ('{"images": 7, "annotations": []}', "'images' is no list"),
        ('{"images": [], "annotations": 7}', "'annotations' is no list"),
        (json.dumps(KARPATHY), "got a JSON object with keys ['dataset', 'images']"),
    ],
)
def test_json_that_is_no_coco_is_an_error(tmp_path: Path, data: str, words: str) -> None:
    assert words in error_of(read_coco, tmp_path, data)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"image_id": 99, "caption": "A dog"}, "(no image has the id 99)"),
        ({"image_id": 7}, "'caption'"),
        ({"caption": "A dog"}, "'image_id'"),
        ({"image_id": 7, "caption": 5}, "got 5, expected a caption or a list of captions"),
        ("A dog", "got 'A dog', expected 'caption' and the 'image_id' of one of its images"),
        ({"image_id": [7], "caption": "A dog"}, "(no image has the id [7])"),
    ],
)
def test_an_annotation_without_image_or_caption_is_named(
    tmp_path: Path, annotation: Any, words: str
) -> None:
    document = {**COCO, "annotations": [*COCO["annotations"], annotation]}
    message = error_of(read_coco, tmp_path, json.dumps(document))
    assert "annotation 2" in message
    assert words in message


def test_a_picture_whose_name_is_no_text_is_told_where_a_caption_asks_for_it(
    tmp_path: Path,
) -> None:
    document = {**COCO, "images": [{"id": 7, "file_name": 5}, {"id": "x", "file_name": "a.jpg"}]}
    message = error_of(read_coco, tmp_path, json.dumps(document))
    assert "annotation 1: got {'image_id': 7" in message
    assert "(its name is no text)" in message


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("a.jpg", "got 'a.jpg', expected Karpathy JSON"),
        ({"filename": "a.jpg", "sentences": 7}, "('sentences' is no list)"),
        ({"filename": "a.jpg", "sentences": ["A dog"]}, "got 'A dog', expected Karpathy JSON"),
        ({"sentences": []}, "'filename' is missing"),
        ({"filename": "a.jpg"}, "'sentences' is missing"),
        ({"filename": 7, "sentences": []}, "got 7, expected the name of a picture"),
        ({"filename": "", "sentences": []}, "got '', expected the name of a picture"),
        ({"filename": "a.jpg", "filepath": 7, "sentences": []}, "got 7, expected the name"),
        ({"filename": "a.jpg", "sentences": [{}]}, "'raw' is missing"),
        ({"filename": "a.jpg", "sentences": [{"raw": 7}]}, "expected a caption"),
    ],
)
def test_an_image_that_is_no_karpathy_is_named(tmp_path: Path, image: Any, words: str) -> None:
    document = {"images": [*KARPATHY["images"], image]}
    message = error_of(read_karpathy, tmp_path, json.dumps(document))
    assert "image 3" in message
    assert words in message


def test_json_that_is_no_karpathy_is_an_error_that_says_what_was_seen(tmp_path: Path) -> None:
    message = error_of(read_karpathy, tmp_path, json.dumps(COCO))
    assert "image 0: got {'id': 7" in message
    message = error_of(read_karpathy, tmp_path, '{"info": 1}')
    assert "expected Karpathy JSON with 'images' (filename) of 'sentences' (raw)" in message
    assert "got a JSON object with keys ['info']" in message
