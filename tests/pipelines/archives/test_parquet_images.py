"""Tests of pictures in Parquet files: found, named, read a few rows at a time."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
from container_builders import (
    contents_of,
    hub_images,
    listed,
    parquet_bytes,
    read_in_threads,
    write,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import close_containers, read_image_bytes
from pipelines.archives.parquet_images import RowCursor


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_containers()


def write_rows(path: Path, number: int, size: int = 100, **options: Any) -> list[bytes]:
    data = [random.Random(i).randbytes(size) for i in range(number)]
    write(path, parquet_bytes({"image": pa.array(data, pa.binary())}, **options))
    return data


def test_rows_are_named_by_their_path_or_by_file_and_number(tmp_path: Path) -> None:
    column = hub_images([("x/a.jpg", b"a"), (None, b"b"), ("", b"c")])
    uri = write(tmp_path / "shard-1.parquet", parquet_bytes({"image": column, "n": [1, 2, 3]}))
    images = listed(uri)
    # Hubs call the first file of every split the same: the folder is part of the name.
    named = f"{tmp_path.name}/shard-1"
    assert [i.image_id for i in images] == ["x/a.jpg", f"{named}-000001", f"{named}-000002"]
    assert [i.uri for i in images] == [f"{uri}!/{row}" for row in range(3)]
    assert [(i.container, i.member, i.offset) for i in images] == [
        (uri, str(row), row) for row in range(3)
    ]
    assert {i.byte_size for i in images} == {os.path.getsize(uri)}
    assert {i.modified_usec for i in images} == {files.modified_usec(uri)}
    assert [read_image_bytes(i) for i in images] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("image", pa.binary()),
        ("IMG", pa.large_binary()),
        ("jpg", pa.binary_view()),
        ("anything", pa.binary()),
        ("pixels", pa.struct([("bytes", pa.large_binary())])),
    ],
)
def test_the_column_of_pictures_is_found(tmp_path: Path, name: str, type: pa.DataType) -> None:
    is_struct = pa.types.is_struct(type)
    column = pa.array([{"bytes": b"1"} if is_struct else b"1"], type)
    table = {"id": [7], "caption": ["a dog"], name: column}
    (image,) = listed(write(tmp_path / "a.parquet", parquet_bytes(table)))
    assert (image.image_id, read_image_bytes(image)) == (f"{tmp_path.name}/a-000000", b"1")


def test_a_well_known_name_goes_before_other_bytes(tmp_path: Path) -> None:
    table = {"embedding": [b"e"], "jpg": [b"j"]}
    (image,) = listed(write(tmp_path / "a.parquet", parquet_bytes(table)))
    assert read_image_bytes(image) == b"j"


def test_a_column_can_be_named_and_is_part_of_the_member(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", parquet_bytes({"left/eye": [b"l"], "right": [b"r"]}))
    for column, data in (("left/eye", b"l"), ("right", b"r")):
        (image,) = listed(uri, image_column=column)
        assert (image.uri, image.member) == (f"{uri}!/{column}/0", f"{column}/0")
        assert read_image_bytes(image) == data
    with pytest.raises(CaptionerError, match=r"several columns of bytes, \['left/eye', 'right'\]"):
        listed(uri)
    with pytest.raises(CaptionerError, match=r"no column 'up', expected one of \['left/eye'"):
        listed(uri, image_column="up")


def test_the_only_column_of_pictures_has_one_name_named_or_found(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", parquet_bytes({"photo": [b"l", b"r"], "n": [1, 2]}))
    assert listed(uri, image_column="photo") == listed(uri)
    two = write(tmp_path / "b.parquet", parquet_bytes({"image": [b"l"], "thumb": [b"r"]}))
    assert listed(two, image_column="image") == listed(two)


def test_a_column_of_another_type_is_an_error_that_names_it(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", parquet_bytes({"image": [7], "path": ["a.jpg"]}))
    with pytest.raises(CaptionerError, match="column 'image' is int64, expected bytes"):
        listed(uri, image_column="image")
    with pytest.raises(CaptionerError, match=r"got the columns \['image', 'path'\], expected one"):
        listed(uri)


@pytest.mark.parametrize("group", [7, 100, 1000])
def test_rows_are_read_in_any_order(tmp_path: Path, group: int) -> None:
    data = write_rows(tmp_path / "a.parquet", 300, row_group_size=group)
    images = listed(str(tmp_path / "a.parquet"))
    assert read_in_threads(images, 8) == data
    order = random.Random(3).sample(range(300), 60)
    assert [read_image_bytes(images[i]) for i in order] == [data[i] for i in order]


@given(st.lists(st.integers(0, 199), max_size=30), st.integers(1, 250))
@settings(max_examples=30)
@example([0, 60, 0, 199, 198, 10], 64)
def test_a_cursor_reads_rows_in_any_order(rows: list[int], group: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = write_rows(Path(folder) / "a.parquet", 200, 10, row_group_size=group)
        cursor = RowCursor(str(Path(folder) / "a.parquet"), None, 0)
        assert [cursor.read(row) for row in rows] == [data[row] for row in rows]
        cursor.close()


def test_threads_in_nearly_the_order_of_the_rows_open_a_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "a.parquet", 400)
    images = listed(str(tmp_path / "a.parquet"))
    opened = []
    plain = files.open_bytes
    monkeypatch.setattr(files, "open_bytes", lambda uri: opened.append(uri) or plain(uri))
    order = sorted(range(400), key=lambda row: row + random.Random(row).uniform(0, 20))
    assert [read_image_bytes(images[i]) for i in order] == [data[i] for i in order]
    assert len(opened) == 1
    close_containers()
    assert read_image_bytes(images[399]) == data[399]
    assert len(opened) == 2


def test_distant_rows_are_read_by_cursors_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two units of one file, worked on by turns, do not send each other back to the start."""
    data = write_rows(tmp_path / "a.parquet", 1000)
    images = listed(str(tmp_path / "a.parquet"))
    opened = []
    plain = files.open_bytes
    monkeypatch.setattr(files, "open_bytes", lambda uri: opened.append(uri) or plain(uri))
    for i, j in zip(range(200), range(600, 800), strict=True):
        assert (read_image_bytes(images[i]), read_image_bytes(images[j])) == (data[i], data[j])
    assert len(opened) == 2


def test_a_sample_of_a_row_group_reads_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not up to each of its pictures from the start, and not with an open file for each."""
    data = write_rows(tmp_path / "a.parquet", 2000, row_group_size=2000)
    images = listed(str(tmp_path / "a.parquet"))
    read = counted_batches(monkeypatch)
    some = range(0, 2000, 200)
    assert [read_image_bytes(images[i]) for i in some] == [data[i] for i in some]
    assert len(read) <= 2000 / 8


def counted_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an item for each batch of rows that any cursor reads."""
    read: list[int] = []
    plain = RowCursor._advance
    monkeypatch.setattr(RowCursor, "_advance", lambda cursor: read.append(1) or plain(cursor))
    return read


def test_memory_does_not_grow_with_the_row_group(tmp_path: Path) -> None:
    size = 20_000
    options = {"use_dictionary": False, "write_batch_size": 8, "data_page_size": 100_000}
    write_rows(tmp_path / "a.parquet", 600, size, row_group_size=600, **options)
    images = listed(str(tmp_path / "a.parquet"))
    pool, most = pa.default_memory_pool(), 0
    before = pool.bytes_allocated()
    for image in images:
        assert len(read_image_bytes(image)) == size
        most = max(most, pool.bytes_allocated() - before)
    assert most < 60 * size


def test_a_row_without_bytes_is_an_empty_picture(tmp_path: Path) -> None:
    column = hub_images([("a.jpg", b"a"), ("elsewhere.jpg", None)])
    rows = pa.array([*column.to_pylist(), None], column.type)
    images = listed(write(tmp_path / "a.parquet", parquet_bytes({"image": rows})))
    last = f"{tmp_path.name}/a-000002"
    assert [image.image_id for image in images] == ["a.jpg", "elsewhere.jpg", last]
    assert [read_image_bytes(image) for image in images] == [b"a", b"", b""]


def test_a_row_that_is_gone_is_an_error_of_reading(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", 20)
    last = listed(str(tmp_path / "a.parquet"))[-1]
    write_rows(tmp_path / "a.parquet", 5)
    with pytest.raises(OSError, match="the file has 5 rows"):
        read_image_bytes(last)
    close_containers()
    write(tmp_path / "a.parquet", parquet_bytes({"caption": ["a dog"] * 20}))
    with pytest.raises(OSError, match=r"got the columns \['caption'\], expected one of bytes"):
        read_image_bytes(last)


def damage(path: Path, picture: bytes) -> None:
    """Changes a bit of a picture in a file."""
    raw = bytearray(path.read_bytes())
    raw[raw.index(picture) + 50] ^= 1
    path.write_bytes(bytes(raw))


def test_a_damaged_row_costs_its_row_group_at_most(tmp_path: Path) -> None:
    options = {"row_group_size": 10, "use_dictionary": False, "write_page_checksum": True}
    data = write_rows(tmp_path / "a.parquet", 30, **options)
    images = listed(str(tmp_path / "a.parquet"))
    damage(tmp_path / "a.parquet", data[12])
    good = []
    for row, image in enumerate(images):
        with contextlib.suppress(OSError):
            assert read_image_bytes(image) == data[row]
            good.append(row)
    assert good == [*range(10), *range(20, 30)]


def test_rows_behind_damage_do_not_each_read_up_to_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"row_group_size": 400, "use_dictionary": False, "write_page_checksum": True}
    options |= {"write_batch_size": 8, "data_page_size": 1, "write_statistics": False}
    data = write_rows(tmp_path / "a.parquet", 500, **options)
    images = listed(str(tmp_path / "a.parquet"))
    damage(tmp_path / "a.parquet", data[200])
    read = counted_batches(monkeypatch)
    good, errors = [], []
    for row, image in enumerate(images):
        try:
            assert read_image_bytes(image) == data[row]
            good.append(row)
        except OSError as error:
            errors.append(str(error))
    assert good == [*range(200), *range(400, 500)]
    assert "its row group cannot be read from row 200 on: " in errors[-1]
    assert len(read) < 2 * 500 / 8


def test_a_failure_that_passes_costs_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "a.parquet", 40, row_group_size=40)
    cursor = RowCursor(str(tmp_path / "a.parquet"), None, 0)
    assert cursor.read(0) == data[0]
    with monkeypatch.context() as patch:
        patch.setattr(RowCursor, "_advance", Mock(side_effect=OSError("the network is away")))
        with pytest.raises(OSError, match="the network is away"):
            cursor.read(20)
    assert [cursor.read(row) for row in range(8, 40)] == data[8:]
    cursor.close()


def test_a_network_that_is_away_for_long_costs_no_row_behind(
    tmp_path: Path, memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_rows(tmp_path / "a.parquet", 40, row_group_size=40)
    memory["memory://bucket/a.parquet"] = (tmp_path / "a.parquet").read_bytes()
    cursor = RowCursor("memory://bucket/a.parquet", None, 0)
    assert cursor.read(0) == data[0]
    with monkeypatch.context() as patch:
        patch.setattr(RowCursor, "_advance", Mock(side_effect=OSError("the network is away")))
        for row in (20, 21, 22):
            with pytest.raises(OSError, match="the network is away"):
                cursor.read(row)
    assert [cursor.read(row) for row in range(8, 40)] == data[8:]
    cursor.close()


def test_a_remote_parquet_is_read(memory: dict[str, bytes]) -> None:
    uri = "memory://bucket/a.parquet"
    memory[uri] = parquet_bytes({"image": hub_images([("a.jpg", b"a")])})
    assert contents_of(listed(uri)) == {"a.jpg": b"a"}
    assert listed(uri)[0].byte_size == len(memory[uri])


def test_names_that_are_no_utf8_are_an_error(tmp_path: Path) -> None:
    bad = pa.array([b"\xff.jpg"], pa.binary()).view(pa.string())
    column = pa.StructArray.from_arrays([pa.array([b"1"]), bad], ["bytes", "path"])
    uri = write(tmp_path / "a.parquet", parquet_bytes({"image": column}))
    with pytest.raises(CaptionerError, match="utf-8"):
        listed(uri)
