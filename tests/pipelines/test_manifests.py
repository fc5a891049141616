"""Tests of manifests: every path once, what is missing too, what can be no path never."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from container_builders import (
    caption_row,
    contents_of,
    flaws_of,
    parquet_bytes,
    tar_bytes,
    write,
    write_part,
    zip_bytes,
)

from model.errors import CaptionerError
from pipelines import located
from pipelines.archives.containers import list_container
from pipelines.records import ImageFile
from pipelines.sources import SkippedFiles, list_images

PATHS = ["b.jpg", "deep/a b.jpg", "c.dat"]


def written(paths: list[Any], column: str = "path") -> dict[str, bytes]:
    """Manifests of `paths` in every format, by suffix."""
    rows = "".join(json.dumps({"n": 7, column: path}) + "\n" for path in paths)
    return {
        ".txt": "\n".join(paths).encode(),
        ".csv": "\n".join([f"n,{column}", *(f"7,{path}" for path in paths)]).encode(),
        ".tsv": "\n".join([f"n\t{column}", *(f"7\t{path}" for path in paths)]).encode(),
        ".jsonl": rows.encode(),
        ".parquet": parquet_bytes({"n": [7] * len(paths), column: paths}),
    }


def listed(uri: str, **options: Any) -> list[ImageFile]:
    return list(list_images(uri, SkippedFiles(), **options))


def error_of(uri: str, **options: Any) -> str:
    with pytest.raises(CaptionerError) as error:
        listed(uri, **options)
    assert uri in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", written(PATHS))
def test_the_paths_of_a_manifest_start_at_its_folder(tmp_path: Path, suffix: str) -> None:
    for name in PATHS:
        write(tmp_path / name, b"1234")
    uri = write(tmp_path / f"list{suffix}", written(PATHS)[suffix])
    assert listed(uri) == [ImageFile(f"{tmp_path}/{name}", name, 4) for name in PATHS]


def test_folders_may_be_separated_as_windows_does(tmp_path: Path) -> None:
    for name in ("deep/a.jpg", "deep\\b.jpg"):
        write(tmp_path / name, b"1234")
    write(tmp_path / "deep" / "c.zip", zip_bytes({"d.jpg": b"1234"}))
    names = ["deep\\a.jpg", "deep\\b.jpg", "deep\\gone.jpg", "deep\\c.zip!/d.jpg"]
    uri = write(tmp_path / "list.txt", "\n".join(names).encode())
    found = ["deep/a.jpg", "deep\\b.jpg", "deep/gone.jpg", "deep/c.zip!/d.jpg"]
    assert [image.uri for image in listed(uri)] == [f"{tmp_path}/{name}" for name in found]


@pytest.mark.parametrize("suffix", written(PATHS))
def test_a_remote_manifest_names_remote_pictures(memory: dict[str, bytes], suffix: str) -> None:
    uri = f"memory://bucket/lists/list{suffix}"
    memory[uri] = written(PATHS)[suffix]
    assert listed(uri) == [ImageFile(f"memory://bucket/lists/{name}", name, 0) for name in PATHS]


def test_absolute_paths_and_uris_are_taken_as_they_are(tmp_path: Path) -> None:
    picture = write(tmp_path / "elsewhere" / "a.jpg", b"1234")
    paths = [picture, "memory://bucket/b.jpg", "./a.jpg"]
    uri = write(tmp_path / "lists" / "list.txt", "\n".join(paths).encode())
    images = listed(uri)
    assert [image.image_id for image in images] == paths
    assert [image.uri for image in images] == [*paths[:2], f"{tmp_path}/lists/a.jpg"]
    assert [image.byte_size for image in images] == [4, 0, 0]


def test_a_picture_counts_once_however_it_is_spelled(tmp_path: Path) -> None:
    picture = write(tmp_path / "elsewhere" / "a.jpg", b"1234")
    paths = ["../elsewhere/a.jpg", picture, f"file://{picture}", "./../elsewhere/a.jpg"]
    uri = write(tmp_path / "lists" / "list.txt", "\n".join(paths).encode())
    (image,) = listed(uri)
    assert (image.uri, image.image_id, image.byte_size) == (picture, paths[0], 4)


def test_a_picture_that_is_missing_is_listed_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", b"1234")
    images = listed(write(tmp_path / "list.txt", b"a.jpg\nabsent.jpg\n"))
    assert [(image.image_id, image.byte_size) for image in images] == [
        ("a.jpg", 4),
        ("absent.jpg", 0),
    ]


def test_a_pipe_or_a_device_is_a_flaw_for_no_read_of_it_may_end(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", b"1234")
    os.mkfifo(tmp_path / "pipe.jpg")
    images = listed(write(tmp_path / "list.txt", b"a.jpg\npipe.jpg\n/dev/zero\n/dev\n"))
    assert flaws_of(images) == {"pipe.jpg": "unreadable", "/dev/zero": "unreadable"}


def test_blank_lines_windows_line_ends_and_repeats_are_no_pictures(tmp_path: Path) -> None:
    uri = write(tmp_path / "list.txt", b"\xef\xbb\xbfa.jpg\r\n\r\n  \nb c.jpg\r\na.jpg\n")
    assert [image.image_id for image in listed(uri)] == ["a.jpg", "b c.jpg"]


def test_a_path_may_hold_what_unicode_counts_as_a_line_break(tmp_path: Path) -> None:
    uri = write(tmp_path / "list.txt", "a\u2028b.jpg\n".encode())
    assert [image.image_id for image in listed(uri)] == ["a\u2028b.jpg"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_the_column_of_paths_can_be_named(tmp_path: Path, suffix: str) -> None:
    uri = write(tmp_path / f"list{suffix}", written(PATHS, "where")[suffix])
    assert [image.image_id for image in listed(uri, image_column="where")] == PATHS
    assert "got the columns ['n', 'where'], expected a column of paths named" in error_of(uri)
    assert "got no column 'absent', expected one of" in error_of(uri, image_column="absent")


def test_uris_of_the_file_system_may_be_spelled_as_uris(tmp_path: Path) -> None:
    picture, literal = tmp_path / "pelé 1.jpg", tmp_path / "a%20b.jpg"
    for path in (picture, literal):
        path.write_bytes(b"picture")
    for spelled, path in [
        (picture.as_uri(), picture),
        (f"file://{literal}", literal),
        (f"file://localhost{picture}", picture),
    ]:
        (image,) = listed(write(tmp_path / "list.txt", spelled.encode()))
        assert (image.uri, image.byte_size) == (str(path), 7)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_table_whose_first_line_is_a_path_is_refused(tmp_path: Path, suffix: str) -> None:
    manifest = write(tmp_path / f"list{suffix}", b"deep/a.jpg\ndeep/b.jpg\n")
    with pytest.raises(CaptionerError, match=r"got 'deep/a.jpg' in place of the column's name"):
        listed(manifest)
    (image,) = listed(manifest, image_column="deep/a.jpg")
    assert image.image_id == "deep/b.jpg", "whoever names the column knows it"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_only_column_needs_no_name(tmp_path: Path, suffix: str) -> None:
    data = {
        ".csv": b"anything\na.jpg\n",
        ".jsonl": b'{"anything": "a.jpg"}\n',
        ".parquet": parquet_bytes({"anything": ["a.jpg"]}),
    }
    (image,) = listed(write(tmp_path / f"list{suffix}", data[suffix]))
    assert image.image_id == "a.jpg"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", b"a.jpg\n\nb\0.jpg\n", "line 3: got 'b\\x00.jpg', expected the path"),
        (
            "a.csv",
            b"path,n\na.jpg,1\n,2\n",
            "line 3: got '', expected the path of a picture; leave out",
        ),
        ("a.csv", b'path\na.jpg\n" "\n', "line 3: got ' ', expected the path"),
        ("a.csv", b'path,n\na.jpg,1\n"b.jpg,1\n', "line 3: malformed"),
        ("a.tsv", b"path\tn\na.jpg\n", "line 2: got 1 cells"),
        ("a.jsonl", b'{"path": "a.jpg"}\n{"path": 7}\n', "line 2: got 7, expected the path"),
        ("a.jsonl", b'{"path": "a.jpg"}\n{}\n', "line 2: got None, expected the path"),
        ("a.jsonl", b'{"path": "\\ud800.jpg"}\n', "line 1: got '\\ud800.jpg', expected text"),
        ("a.jsonl", b'{"path"\n', "line 1, column 8: malformed JSON"),
        ("a.parquet", parquet_bytes({"path": ["a", None]}), "row 1: got None, expected the path"),
        ("a.parquet", parquet_bytes({"path": [1], "n": [2]}), "column 'path' is int64, expected"),
        ("a.parquet", b"", "cannot be read as Parquet"),
        ("a.txt", b"a\nna\xefve.jpg", "got the byte 0xef at position 4; convert the file"),
        ("a.txt", b"\n \n", "no pictures found"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"path\n", "no pictures found"),
    ],
)
def test_what_can_be_no_path_is_an_error_that_names_its_place(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    assert words in error_of(write(tmp_path / name, data))


@pytest.mark.parametrize("suffix", written(PATHS))
def test_a_missing_manifest_is_an_error(tmp_path: Path, suffix: str) -> None:
    assert "cannot be read" in error_of(str(tmp_path / f"absent{suffix}"))


def test_a_parquet_file_with_bytes_is_a_container_unless_a_column_of_paths_is_named(
    tmp_path: Path,
) -> None:
    table = {"path": ["b.jpg"], "image": pa.array([b"1"])}
    uri = write(tmp_path / "a.parquet", parquet_bytes(table))
    assert [image.container for image in listed(uri)] == [uri]
    assert listed(uri, image_column="path") == [ImageFile(f"{tmp_path}/b.jpg", "b.jpg", 0)]


def test_a_folder_named_like_a_manifest_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "2019.txt" / "a.jpg", b"1234")
    write(tmp_path / "old.zip" / "b.jpg", b"1234")
    assert [image.image_id for image in listed(str(tmp_path / "2019.txt"))] == ["a.jpg"]
    assert [image.image_id for image in listed(str(tmp_path / "old.zip"))] == ["b.jpg"]


def test_a_manifest_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "lists" / "a.txt", b"a.jpg")
    monkeypatch.chdir(tmp_path)
    assert [image.uri for image in listed("lists/a.txt")] == [f"{tmp_path}/lists/a.jpg"]


def write_containers(folder: Path) -> list[str]:
    """A tar, a zip and two Parquet files, and the URIs of two pictures in each."""
    members = {f"deep/{n}.jpg": f"{n}".encode() for n in range(4)}
    pictures = list(members.values())
    containers = {
        write(folder / "b.tar", tar_bytes(members)): None,
        write(folder / "a.zip", zip_bytes(members)): None,
        write(folder / "c.parquet", parquet_bytes({"image": pictures})): None,
        write(folder / "d.parquet", parquet_bytes({"l": pictures, "r": pictures})): "r",
    }
    images = (list(list_container(u, SkippedFiles(), c)) for u, c in containers.items())
    return [image.uri for of_one in images for image in (of_one[2], of_one[1])]


@pytest.mark.parametrize("suffix", written(PATHS))
def test_members_of_containers_are_found_in_them(tmp_path: Path, suffix: str) -> None:
    uris, loose = write_containers(tmp_path), write(tmp_path / "z.jpg", b"z")
    uri = write(tmp_path / "lists" / f"list{suffix}", written([*uris, loose, *uris])[suffix])
    images = listed(uri)
    # Loose ones first, then containers by name, each in its own order.
    names = [loose, *uris[2:4][::-1], *uris[:2][::-1], *uris[4:6][::-1], *uris[6:][::-1]]
    assert [image.uri for image in images] == [image.image_id for image in images] == names
    assert [image.container for image in images] == [None, *(u.split("!/")[0] for u in names[1:])]
    assert flaws_of(images) == {}
    assert list(contents_of(images).values()) == [b"z", *[b"1", b"2"] * 4]


def test_a_table_of_captions_is_a_manifest(tmp_path: Path) -> None:
    uris = write_containers(tmp_path)
    part = write_part(tmp_path / "part-1.parquet", [caption_row(uri) for uri in uris])
    assert sorted(image.uri for image in listed(part)) == sorted(uris)


def test_each_container_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def recorded(uri: str, *more: Any) -> Iterator[ImageFile]:
        opened.append(uri)
        return list_container(uri, *more)

    uris = write_containers(tmp_path)
    uri = write(tmp_path / "list.txt", "\n".join([*uris[::2], *uris[1::2]]).encode())
    monkeypatch.setattr(located, "list_container", recorded)
    assert len(listed(uri)) == len(uris)
    assert opened == sorted({uri.partition("!/")[0] for uri in uris})


def test_members_may_be_spelled_below_the_manifests_folder(tmp_path: Path) -> None:
    write(tmp_path / "a!" / "b.zip", zip_bytes({"c//d.jpg": b"1", "../e.jpg": b"2", "f.jpg": b""}))
    write(tmp_path / "e.jpg", b"another")
    lines = ["a!/b.zip!/c//d.jpg", "./a!/../a!/b.zip!/f.jpg", "a!/b.zip!/../e.jpg"]
    # Once, as it was spelled first.
    text = "\n".join([*lines, "a!/b.zip!/f.jpg"])
    images = listed(write(tmp_path / "list.txt", text.encode()))
    ids = {image.image_id: image.uri for image in images}
    assert ids == {
        lines[0]: f"{tmp_path}/a!/b.zip!/c//d.jpg",
        lines[1]: f"{tmp_path}/a!/b.zip!/f.jpg",
        lines[2]: f"{tmp_path}/a!/b.zip!/../e.jpg",
    }
    assert flaws_of(images) == {lines[2]: "unsafe_name"}


def test_a_member_that_is_gone_is_missing_and_so_is_one_of_a_container_that_is(
    tmp_path: Path,
) -> None:
    tar = write(tmp_path / "a.tar", tar_bytes({"a.jpg": b"a"}))
    damaged = write(tmp_path / "b.tar", b"no tar at all")
    names = [f"{tar}!/gone.jpg", f"{damaged}!/a.jpg", f"{tmp_path}/gone.zip!/a.jpg"]
    images = {i.uri: i for i in listed(write(tmp_path / "list.txt", "\n".join(names).encode()))}
    assert images[names[0]].flaw == f"missing: {tar} has no such member any more"
    assert (images[names[0]].container, images[names[1]].container) == (tar, damaged)
    assert (images[names[1]].flaw or "").startswith("unreadable: ")
    # As a file that is not there: reading it will tell.
    assert images[names[2]] == ImageFile(names[2], names[2], 0)


def test_a_file_of_the_very_name_goes_before_a_member(tmp_path: Path) -> None:
    write(tmp_path / "a.zip!" / "b.jpg", b"a file")
    write(tmp_path / "a.zip", zip_bytes({"b.jpg": b"a member", "c.jpg": b"one more"}))
    images = listed(write(tmp_path / "list.txt", b"a.zip!/c.jpg\na.zip!/b.jpg"))
    assert [(image.image_id, image.container) for image in images] == [
        ("a.zip!/b.jpg", None),
        ("a.zip!/c.jpg", f"{tmp_path}/a.zip"),
    ]


def test_remote_members_are_found(memory: dict[str, bytes]) -> None:
    memory["memory://bucket/a.tar"] = tar_bytes({"a.jpg": b"a", "b.jpg": b"b"})
    memory["memory://bucket/list.txt"] = b"a.tar!/b.jpg\nmemory://bucket/gone.tar!/c.jpg\nd.jpg"
    found = listed("memory://bucket/list.txt")
    assert [image.uri.removeprefix("memory://bucket/") for image in found] == [
        "gone.tar!/c.jpg",
        "d.jpg",
        "a.tar!/b.jpg",
    ]
    assert contents_of(found[2:]) == {"a.tar!/b.jpg": b"b"}
    # A file system that cannot be asked is no reason to list nothing.
    memory["memory://bucket/list.txt"] = b"nowhere://bucket/a.tar!/a.jpg"
    (image,) = listed("memory://bucket/list.txt")
    assert (image.uri, image.container) == ("nowhere://bucket/a.tar!/a.jpg", None)
