"""Tests of pictures in containers: listed unread, read in place, never lost."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_builders import (
    contents_of,
    flaws_of,
    hub_images,
    listed,
    parquet_bytes,
    read_in_threads,
    tar_bytes,
    write,
    zip_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.archives.containers import close_containers, read_image_bytes
from pipelines.archives.members import SkippedFiles, is_hidden
from pipelines.records import ImageFile

MEMBERS = {"b.jpg": b"bytes of b", "deep/a.PNG": b"", "ünï cöde.webp": b"x" * 700}
PACK = {".tar": tar_bytes, ".zip": zip_bytes}
parts = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs", "Cc"]), min_size=1
)
names = st.lists(parts, min_size=1, max_size=3).map(lambda p: "/".join(["d", *p]) + ".jpg")
names = names.filter(lambda name: not is_hidden(name) and ".." not in name.split("/"))
names = names.filter(lambda name: "." not in name.split("/"))
contents = st.dictionaries(names, st.binary(max_size=2000), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_containers()


@pytest.mark.parametrize("suffix", PACK)
def test_members_are_listed_and_read_in_place(tmp_path: Path, suffix: str) -> None:
    uri = write(tmp_path / f"archive{suffix}", PACK[suffix](MEMBERS))
    images = listed(uri)
    assert [i.uri for i in images] == [f"{uri}!/{name}" for name in MEMBERS]
    assert [(i.image_id, i.container, i.member) for i in images] == [
        (name, uri, name) for name in MEMBERS
    ]
    assert [i.byte_size for i in images] == [len(data) for data in MEMBERS.values()]
    assert contents_of(images) == MEMBERS
    assert os.listdir(tmp_path) == [f"archive{suffix}"]


@pytest.mark.parametrize("suffix", PACK)
def test_leading_dots_and_a_suffix_in_capitals_change_nothing(tmp_path: Path, suffix: str) -> None:
    names = {
        "./a.jpg": "a.jpg",
        ".//./b.jpg": "b.jpg",
        "c/./d.jpg": "c/./d.jpg",
        "e..jpg": "e..jpg",
    }
    packed = PACK[suffix]({name: name.encode() for name in names})
    images = listed(write(tmp_path / f"archive{suffix.upper()}", packed))
    assert contents_of(images) == {plain: name.encode() for name, plain in names.items()}


@pytest.mark.parametrize("suffix", PACK)
def test_a_container_on_a_remote_file_system_is_read_in_place(
    memory: dict[str, bytes], suffix: str
) -> None:
    uri = f"memory://bucket/archive{suffix}"
    memory[uri] = PACK[suffix](MEMBERS)
    assert contents_of(listed(uri)) == MEMBERS


@given(members=contents, suffix=st.sampled_from([".tar", ".zip", ".parquet"]))
@settings(max_examples=60)
def test_any_members_are_read_byte_for_byte_from_several_threads(
    members: dict[str, bytes], suffix: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if suffix == ".parquet":
            images_column = hub_images(members.items())
            data = parquet_bytes({"image": images_column}, row_group_size=3)
        else:
            data = PACK[suffix](members)
        images = listed(write(Path(folder) / f"archive{suffix}", data))
        assert [image.image_id for image in images] == list(members)
        assert read_in_threads(images) == list(members.values())
        close_containers()


@pytest.mark.parametrize("suffix", PACK)
def test_other_members_are_counted_and_hidden_ones_are_not(tmp_path: Path, suffix: str) -> None:
    names = ["a.jpg", "a.txt", "a.json", "b.TXT", "README", ".x.jpg", "d/._a.jpg"]
    names += ["__MACOSX/a.jpg", ".git/a.jpg"]
    uri = write(tmp_path / f"archive{suffix}", PACK[suffix]([(name, b"1") for name in names]))
    skipped = SkippedFiles()
    assert [image.image_id for image in listed(uri, skipped)] == ["a.jpg"]
    assert skipped.by_suffix == {".txt": 2, ".json": 1, "": 1}


def test_folders_are_no_members_and_a_leading_dot_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "pictures.jpg").mkdir()
    (tmp_path / "pictures.jpg" / "a.jpg").write_bytes(b"1")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "pictures.jpg", ".")
        archive.add(tmp_path / "pictures.jpg", "./pictures.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("pictures.jpg")
        archive.write(tmp_path / "pictures.jpg" / "a.jpg", "pictures.jpg/a.jpg")
    images = listed(str(tmp_path / "a.tar"))
    assert contents_of(images) == {"a.jpg": b"1", "pictures.jpg/a.jpg": b"1"}
    assert flaws_of(images) == {}
    assert images[0].uri == f"{tmp_path}/a.tar!/a.jpg"
    assert contents_of(listed(str(tmp_path / "a.zip"))) == {"pictures.jpg/a.jpg": b"1"}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "C:\\a.jpg", "c:/a.jpg", "\\a.jpg", "a\\..\\b.jpg"],
)
def test_a_name_that_points_out_of_the_archive_is_a_flaw(
    tmp_path: Path, suffix: str, name: str
) -> None:
    members = {"a.jpg": b"1", name: b"2"}
    images = listed(write(tmp_path / f"archive{suffix}", PACK[suffix](members)))
    assert flaws_of(images) == {name: "unsafe_name"}
    assert contents_of(images) == {"a.jpg": b"1"}
    with pytest.raises(OSError, match="unsafe_name"):
        read_image_bytes(images[1])


def test_a_name_that_is_no_utf8_is_a_flaw_that_a_table_can_hold(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), (os.fsdecode(b"bad\xff.jpg"), b"2")]
    images = listed(write(tmp_path / "a.tar", tar_bytes(members, tarfile.GNU_FORMAT)))
    assert flaws_of(images) == {"bad\\xff.jpg": "unsafe_name"}
    assert all(text.encode() for i in images for text in (i.uri, i.member or "", i.flaw or "-"))


@pytest.mark.parametrize("suffix", PACK)
def test_of_members_of_one_name_the_first_is_the_picture(tmp_path: Path, suffix: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        data = PACK[suffix]([("a.jpg", b"first"), ("b.jpg", b"b"), ("a.jpg", b"second")])
    images = listed(write(tmp_path / f"archive{suffix}", data))
    assert [image.flaw and image.flaw.partition(":")[0] for image in images] == [
        None,
        None,
        "duplicate_name",
    ]
    assert len({image.uri for image in images}) == 3
    assert contents_of(images) == {"a.jpg": b"first", "b.jpg": b"b"}


WHOLE_TAR = tar_bytes({"a.jpg": b"a" * 600, "ü.jpg": b"u", "n" * 200 + ".jpg": b"n"})
WHOLE_ZIP = zip_bytes({"a.jpg": b"a" * 600, "ü.jpg": b"u"}, zipfile.ZIP_DEFLATED)
WHOLE_PARQUET = parquet_bytes({"image": hub_images([("a.jpg", b"a" * 600), (None, b"u")])})


@given(
    st.sampled_from([(".tar", WHOLE_TAR), (".zip", WHOLE_ZIP), (".parquet", WHOLE_PARQUET)]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
@settings(max_examples=200)
def test_damage_is_a_flaw_a_one_line_error_or_an_error_of_reading(
    whole: tuple[str, bytes], damage: list[tuple[float, int]], kept: float
) -> None:
    suffix, data = whole
    damaged = bytearray(data)
    for place, value in damage:
        damaged[int(place * len(data))] = value
    with tempfile.TemporaryDirectory() as folder:
        uri = write(Path(folder) / f"archive{suffix}", bytes(damaged[: int(kept * len(data))]))
        images: list[ImageFile] = []
        with contextlib.suppress(CaptionerError):
            images = listed(uri)
        for image in images:
            with contextlib.suppress(OSError):
                read_image_bytes(image)
        close_containers()


@pytest.mark.parametrize("suffix", PACK)
def test_a_far_archive_is_opened_once_for_all_its_members(
    memory: dict[str, bytes], opened: list[str], suffix: str
) -> None:
    uri = f"memory://bucket/a{suffix}"
    memory[uri] = PACK[suffix](MEMBERS)
    images = listed(uri)
    opened.clear()
    assert [read_image_bytes(image) for image in images] == list(MEMBERS.values())
    assert opened == [uri]


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_member_that_was_not_listed_is_an_error_of_reading(tmp_path: Path, suffix: str) -> None:
    uri = str(tmp_path / f"a{suffix}")
    with pytest.raises(OSError, match="got no offset in"):
        read_image_bytes(ImageFile(f"{uri}!/a.jpg", "a.jpg", 1, uri, "a.jpg"))


@pytest.mark.parametrize("suffix", [".tar", ".zip", ".parquet"])
@pytest.mark.parametrize("data", [b"", b"no archive at all", b"x" * 2000])
def test_a_file_of_another_kind_is_an_error_of_one_line(
    tmp_path: Path, suffix: str, data: bytes
) -> None:
    uri = write(tmp_path / f"a{suffix}", data)
    with pytest.raises(CaptionerError) as error:
        listed(uri)
    assert uri in str(error.value)
    assert "\n" not in str(error.value)


def test_a_compressed_tar_is_an_error_that_says_to_decompress_it(tmp_path: Path) -> None:
    data = gzip.compress(tar_bytes(MEMBERS))
    for name in ("a.tar.gz", "a.TGZ", "a.tar.zst", "a.tar"):
        with pytest.raises(CaptionerError, match="decompress it first"):
            listed(write(tmp_path / name, data))


def test_a_file_of_an_unknown_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"a\.rar: got a file of another kind, expected"):
        listed(write(tmp_path / "a.rar", b"1"))


@pytest.mark.parametrize("suffix", [".tar", ".zip", ".parquet"])
def test_a_missing_container_is_an_error_and_a_missing_file_when_read(
    tmp_path: Path, suffix: str
) -> None:
    uri = str(tmp_path / f"absent{suffix}")
    with pytest.raises(CaptionerError, match=rf"absent\{suffix} cannot be read"):
        listed(uri)
    with pytest.raises(FileNotFoundError):
        read_image_bytes(ImageFile(f"{uri}!/0", "0", 1, uri, "0", 0))


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jpg", b"1234")
    assert read_image_bytes(ImageFile(uri, "a.jpg", 4)) == b"1234"
    with pytest.raises(FileNotFoundError):
        read_image_bytes(ImageFile(str(tmp_path / "b.jpg"), "b.jpg", 4))
