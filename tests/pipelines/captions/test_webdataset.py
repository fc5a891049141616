"""Tests of captions in WebDataset tars: texts join the pictures beside them."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from container_builders import tar_bytes, write
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.archives.containers import list_container
from pipelines.archives.members import SkippedFiles
from pipelines.captions.parsing import FoundCaption
from pipelines.captions.webdataset import read_webdataset

keys = st.text("abc0_é", min_size=1, max_size=6).map(lambda key: f"d/{key}")
signs = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
captions = st.text(signs, max_size=20).map(str.strip)


def read(folder: Path, members: Any, cut: int | None = None) -> list[FoundCaption]:
    members = members.items() if isinstance(members, dict) else members
    pairs = [(name, text if isinstance(text, bytes) else text.encode()) for name, text in members]
    return list(read_webdataset(write(folder / "a.tar", tar_bytes(pairs)[:cut])))


def pairs_of(found: list[FoundCaption]) -> list[tuple[str, str]]:
    return [(caption.image_id, caption.text) for caption in found]


def test_texts_and_json_give_the_captions_of_the_pictures_beside_them(tmp_path: Path) -> None:
    members = {
        "d/1.jpg": b"1",
        "d/1.txt": "A dog\n",
        "d/2.json": json.dumps({"caption": "A cat", "width": 7}),
        "d/2.png": b"2",
        "d/3.json": json.dumps({"captions": ["One", "Two"]}),
        "d/3.webp": b"3",
        "d/4.JPG": b"4",
        "d/4.json": json.dumps({"text": "naïve"}),
    }
    found = read(tmp_path, members)
    assert pairs_of(found) == [
        ("d/1.jpg", "A dog"),
        ("d/2.png", "A cat"),
        ("d/3.webp", "One"),
        ("d/3.webp", "Two"),
        ("d/4.JPG", "naïve"),
    ]
    assert {caption.split for caption in found} == {None}
    assert found[1].place == "member 'd/2.json'"
    images = list_container(str(tmp_path / "a.tar"), SkippedFiles())
    assert [image.image_id for image in images] == ["d/1.jpg", "d/2.png", "d/3.webp", "d/4.JPG"]


@given(st.dictionaries(keys, captions, min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_whatever_the_order_of_the_members_every_caption_finds_its_picture(
    texts: dict[str, str], order: random.Random
) -> None:
    members = [(f"{key}.jpg", "picture") for key in texts]
    members += [(f"{key}.txt", text) for key, text in texts.items()]
    order.shuffle(members)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), members)
    # A byte-order mark before all else is none of the text.
    plain = {key: text.removeprefix("\ufeff").strip() for key, text in texts.items()}
    expected = [(f"{key}.jpg", text) for key, text in plain.items()]
    assert sorted(pairs_of(found)) == sorted(expected)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_line_of_a_text_is_a_caption(tmp_path: Path, end: str) -> None:
    members = {"1.jpg": "", "1.txt": f"A dog{end}{end} Two  dogs {end}"}
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "A dog"), ("1.jpg", "Two  dogs")]


def test_whole_samples_are_given_in_order_and_before_those_apart(tmp_path: Path) -> None:
    members = {"z.jpg": "", "a.txt": "a", "m.jpg": "", "m.txt": "m", "z.txt": "z", "a.jpg": ""}
    assert pairs_of(read(tmp_path, members)) == [("m.jpg", "m"), ("z.jpg", "z"), ("a.jpg", "a")]


def test_of_several_members_of_a_kind_the_first_counts(tmp_path: Path) -> None:
    first, second = (json.dumps({"caption": text}) for text in ("first", "second"))
    members = [("1.jpg", "1"), ("1.txt", "first"), ("1.txt", "second"), ("1.png", "2")]
    members += [("2.jpg", "1"), ("2.json", first), ("2.json", second)]
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "first"), ("2.jpg", "first")]


def test_a_picture_that_can_be_read_goes_before_one_that_cannot(tmp_path: Path) -> None:
    members = [("1.heic", "1"), ("1.jpg", "2"), ("1.png", "3"), ("1.txt", "a dog")]
    members += [("2.jxl", "1"), ("2.heic", "2"), ("2.txt", "a cat")]
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "a dog"), ("2.jxl", "a cat")]


def test_a_text_counts_before_json_that_repeats_it(tmp_path: Path) -> None:
    members = {"1.jpg": "", "1.json": json.dumps({"caption": "json"}), "1.txt": "text"}
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "text")]


def test_a_text_without_picture_has_its_key_for_a_name(tmp_path: Path) -> None:
    members = {"1.txt": "A dog", "2.json": json.dumps({"caption": "A cat"}), "3.jpg": ""}
    assert pairs_of(read(tmp_path, members)) == [("1", "A dog"), ("2", "A cat")]


def test_of_several_pictures_of_a_key_the_first_is_captioned(tmp_path: Path) -> None:
    members = {"1.jpg": "", "1.png": "", "1.txt": "A dog", "2.mask.png": "", "2.jpg": ""}
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "A dog")]


def test_members_of_other_kinds_and_hidden_ones_say_nothing(tmp_path: Path) -> None:
    members = {"1.jpg": "", "1.cls": "7", "1.txt": "A dog", "._1.txt": "x", ".x/1.txt": "y"}
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", "A dog")]


def test_an_empty_text_is_an_empty_caption_and_json_may_hold_none(tmp_path: Path) -> None:
    members = {"1.jpg": "", "1.txt": " \n", "2.jpg": "", "2.json": '{"width": 7}'}
    members |= {"3.jpg": "", "3.json": '{"caption": null}'}
    assert pairs_of(read(tmp_path, members)) == [("1.jpg", ""), ("3.jpg", "")]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("1.txt", "naïve".encode("latin-1"), "byte 0xef at position 2; convert"),
        ("1.json", b"{", "line 1, column 2: malformed JSON"),
        ("1.json", b'["A dog"]', "expected a JSON object with one of caption, captions, text"),
        ("1.json", b'{"caption": 7}', "got 7, expected a caption"),
        ("1.json", b"[" * 50_000, "JSON that cannot be read"),
    ],
)
def test_a_malformed_member_is_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    with pytest.raises(CaptionerError) as error:
        read(tmp_path, {"1.jpg": b"", name: data})
    message = str(error.value)
    assert f"captions file {tmp_path}/a.tar, member {name!r}" in message
    assert words in message


def test_a_truncated_tar_gives_the_captions_that_are_whole(tmp_path: Path) -> None:
    members = {"1.jpg": "", "1.txt": "A dog", "2.jpg": "", "2.txt": "A cat"}
    assert pairs_of(read(tmp_path, members, cut=512 * 5 + 3)) == [("1.jpg", "A dog")]


@pytest.mark.parametrize("data", [b"", b"no tar at all"])
def test_a_file_that_is_no_tar_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CaptionerError, match=r"a\.tar: got no tar file"):
        list(read_webdataset(write(tmp_path / "a.tar", data)))


def test_a_missing_tar_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"absent\.tar cannot be read.*check the path"):
        list(read_webdataset(str(tmp_path / "absent.tar")))


def test_a_remote_tar_is_read(memory: dict[str, bytes]) -> None:
    memory["memory://bucket/a.tar"] = tar_bytes({"1.jpg": b"", "1.txt": b"A dog"})
    assert pairs_of(list(read_webdataset("memory://bucket/a.tar"))) == [("1.jpg", "A dog")]
