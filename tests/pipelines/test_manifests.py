"""Tests of manifests: every path once, what is missing too, what can be no path never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from container_builders import parquet_bytes, write

from model.errors import CaptionerError
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
        ("a.csv", b"path,n\na.jpg,1\n,2\n", "line 3: got '', expected the path of a picture"),
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
