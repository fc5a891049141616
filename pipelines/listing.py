"""Listings: what the driver found, as Arrow record batches that workers read one by one.

The driver checks and lists every input before work starts; the pipeline gets batch numbers, so that
neither the job's description nor a worker's memory grows with the archive.
"""

import dataclasses
import itertools
import typing
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import apache_beam as beam
import pyarrow as pa

from model.errors import CaptionerError
from pipelines import files

Row = TypeVar("Row")
_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    str | None: pa.string(),
    int | None: pa.int64(),
}


def schema_of(row_type: type) -> pa.Schema:
    """The Arrow schema of a dataclass of strings and integers, which may be None."""
    hints = typing.get_type_hints(row_type)
    fields = dataclasses.fields(typing.cast(Any, row_type))
    return pa.schema([(field.name, _ARROW_TYPES[hints[field.name]]) for field in fields])


def write_listing(
    rows: Iterable[Any], row_type: type, uri: str, rows_per_batch: int
) -> Iterator[list]:
    """Writes `rows` in batches to the Arrow IPC file `uri`, yielding each batch once written.

    The file is there only after the last batch was taken.
    """
    schema = schema_of(row_type)
    rows = iter(rows)
    with (
        files.atomic_path(uri) as path,
        pa.OSFile(path, "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        while batch := list(itertools.islice(rows, rows_per_batch)):
            columns = [[getattr(row, name) for row in batch] for name in schema.names]
            writer.write_batch(
                pa.record_batch([*map(pa.array, columns, schema.types)], schema=schema)
            )
            yield batch


def read_batch(uri: str, index: int, row_type: type[Row]) -> list[Row]:
    """The rows of record batch `index` of the listing `uri`.

    Raises:
        CaptionerError: if there is no such file for the worker that reads it.
    """
    try:
        with files.open_bytes(uri) as source, pa.ipc.open_file(source) as reader:
            batch = reader.get_batch(index)
    except FileNotFoundError as error:
        raise CaptionerError(
            f"{uri} is not there for a worker, or not any more: give --output a folder that all "
            "workers see under this name, and run the command again"
        ) from error
    return [row_type(**row) for row in batch.to_pylist()]


class ReadListing(beam.PTransform):
    """Reads the rows of a listing, its batches spread over the workers.

    Args:
        uri: the listing.
        batches: how many record batches it has.
        row_type: dataclass of its rows.
    """

    def __init__(self, uri: str, batches: int, row_type: type) -> None:
        super().__init__()
        self.uri, self.batches, self.row_type = uri, batches, row_type

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        return (
            begin
            | "Number" >> beam.Create(range(self.batches), reshuffle=True)
            | "Read" >> beam.FlatMap(lambda i, u, t: read_batch(u, i, t), self.uri, self.row_type)
        )
