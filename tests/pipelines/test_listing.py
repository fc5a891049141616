"""Tests of listings: what is written is read, batch by batch, in a pipeline too."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.listing import ReadListing, read_batch, schema_of, write_listing
from pipelines.records import Caption, ImageFile

text = st.text(st.characters(exclude_categories=["Cs"]))
sizes = st.integers(0, 2**40)
optional = st.none() | text
image = st.builds(ImageFile, text, text, sizes, optional, optional, st.none() | sizes, optional)
images = st.lists(image, max_size=30)
ROWS = [ImageFile(f"/archive/{i}.jpg", f"{i}.jpg", i) for i in range(10)]


def write(path: Path, rows: list[Any], size: int, kind: type = ImageFile) -> list[list[Any]]:
    return list(write_listing(rows, kind, str(path), size))


@given(images, st.integers(1, 40))
def test_what_is_written_is_read_back_in_batches(rows: list[ImageFile], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        uri = str(Path(folder) / "listing.arrow")
        batches = list(write_listing(rows, ImageFile, uri, size))
        assert [row for batch in batches for row in batch] == rows
        assert all(len(batch) == size for batch in batches[:-1])
        assert [read_batch(uri, i, ImageFile) for i in range(len(batches))] == batches


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    uri = str(tmp_path / "listing")
    with pytest.raises(CaptionerError, match=r"listing is not there for a worker, .* --output"):
        read_batch(uri, 0, ImageFile)


def test_a_batch_is_read_without_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "listing", ROWS, 3)
    asked = []

    class Reader:
        def __init__(self, reader: pa.ipc.RecordBatchFileReader) -> None:
            self.reader = reader

        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *error: Any) -> None:
            self.reader.__exit__(*error)

        def get_batch(self, index: int) -> pa.RecordBatch:
            asked.append(index)
            return self.reader.get_batch(index)

    monkeypatch.setattr(pa.ipc, "open_file", lambda source, f=pa.ipc.open_file: Reader(f(source)))
    assert read_batch(str(tmp_path / "listing"), 3, ImageFile) == [ROWS[9]]
    assert asked == [3]


def test_a_batch_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "listing", ROWS, 5)
    with pytest.raises((pa.ArrowInvalid, IndexError, ValueError)):
        read_batch(str(tmp_path / "listing"), 2, ImageFile)


def test_the_listing_is_there_only_after_the_last_batch_was_taken(tmp_path: Path) -> None:
    batches = write_listing(ROWS, ImageFile, str(tmp_path / "listing"), 4)
    assert next(batches) == ROWS[:4]
    assert not (tmp_path / "listing").exists()
    assert len(list(batches)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["listing"]


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> Iterator[ImageFile]:
        yield from ROWS
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        list(write_listing(failing(), ImageFile, str(tmp_path / "new" / "listing"), 4))
    assert list(tmp_path.iterdir()) == []


def test_rows_are_asked_for_a_batch_at_a_time(tmp_path: Path) -> None:
    taken = []
    rows = (taken.append(row) or row for row in ROWS)  # type: ignore[func-returns-value]
    batches = write_listing(rows, ImageFile, str(tmp_path / "listing"), 3)
    next(batches)
    assert len(taken) == 3
    batches.close()
    assert list(tmp_path.iterdir()) == []


def test_the_schema_follows_the_dataclass() -> None:
    fields = [("image_id", pa.string()), ("position", pa.int64()), ("text", pa.string())]
    assert schema_of(Caption) == pa.schema([*fields, ("split", pa.string())])
    assert schema_of(ImageFile).field("offset").type == pa.int64()

    @dataclasses.dataclass
    class Unsupported:
        value: float

    with pytest.raises(KeyError):
        schema_of(Unsupported)


@pytest.mark.parametrize("rows", [ROWS, []])
def test_a_pipeline_reads_every_row_once(tmp_path: Path, rows: list[ImageFile]) -> None:
    batches = write(tmp_path / "listing", rows, 3)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        read = pipeline | ReadListing(str(tmp_path / "listing"), len(batches), ImageFile)
        assert_that(read, equal_to(rows))
