"""Pictures in rows of Parquet files: listed by their names alone, read a few rows at a time."""

import bisect
import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.members import MEMBER
from pipelines.archives.parquet_files import (
    BytesColumn,
    bytes_column,
    find_bytes_column,
    iterate_rows,
    open_parquet,
    open_rows,
)
from pipelines.records import ImageFile
from pipelines.tables import check_column
from pipelines.texts import one_line

_WHAT = "images file"
_BATCH_ROWS = 8
_BATCHES_KEPT = 6
# Rows ahead for which reading on is better than opening the file once more.
_REACH_ROWS = 64
# A second failure of a disk at the same row is no passing one.
_ATTEMPTS = 2


def row_image_id(uri: str, row: int, path: str | None) -> str:
    """What captions call the picture in row `row` of the Parquet file `uri`.

    Args:
        path: the name that the row gives it, if any.
    """
    file = PurePosixPath(uri)
    # With the folder: dataset hubs call the first file of every split the same.
    return path or f"{file.parent.name}/{file.stem}-{row:06d}"


def name_in(picture: dict[str, str | None] | None) -> str | None:
    """The name in a value of a `struct<bytes, path>` of which only the path was read."""
    return picture["path"] if picture else None


def column_of_member(member: str) -> str | None:
    """The column that was named when the row `member` was listed: its name is before the row's."""
    return member.rpartition("/")[0] or None


def holds_pictures(uri: str, image_column: str | None) -> bool:
    """Whether the Parquet file `uri` has a column of encoded pictures (named `image_column`).

    Raises:
        CaptionerError: if it cannot be read, has no column of this name, or several may be meant.
    """
    with open_parquet(uri, _WHAT) as parquet:
        schema, where = parquet.schema_arrow, f"{_WHAT} {uri}"
        if image_column is not None:
            check_column(schema.names, image_column, where)
            return bytes_column(schema.field(image_column)) is not None
        return find_bytes_column(schema, None, where) is not None


def _pick_column(schema: pa.Schema, image_column: str | None, uri: str) -> BytesColumn:
    column = find_bytes_column(schema, image_column, f"{_WHAT} {uri}")
    if column is None:
        raise CaptionerError(
            f"{_WHAT} {uri}: got the columns {schema.names}, expected one of bytes of pictures or "
            "of struct<bytes, path>"
        )
    return column


def list_rows(uri: str, image_column: str | None = None) -> Iterator[ImageFile]:
    """The pictures of the Parquet file `uri`, one a row; no bytes of pictures are read.

    Args:
        image_column: the column that holds them; found if None.

    Raises:
        CaptionerError: if the file cannot be read or has no such column.
    """
    with open_parquet(uri, _WHAT) as parquet:
        column = _pick_column(parquet.schema_arrow, image_column, uri)
        # Named or found, a column's pictures have one name.
        only = len([c for c in map(bytes_column, parquet.schema_arrow) if c]) == 1
        with files.open_bytes(uri) as file:
            byte_size = file.seek(0, os.SEEK_END)
        modified = files.modified_usec(uri)
        for row, name in enumerate(names_of(parquet, column)):
            member = str(row) if only else f"{column.name}/{row}"
            image_id = row_image_id(uri, row, name)
            row_uri = f"{uri}{MEMBER}{member}"
            yield ImageFile(row_uri, image_id, byte_size, uri, member, row, modified_usec=modified)


def names_of(parquet: pq.ParquetFile, column: BytesColumn) -> Iterator[str | None]:
    """The names that the rows give their pictures, None for those that give none."""
    if column.names_path is None:
        yield from itertools.repeat(None, parquet.metadata.num_rows)
        return
    for row in iterate_rows(parquet, [column.names_path]):
        yield name_in(row[column.name])


class _Damage(NamedTuple):
    """Where reading on failed last, how often in a row, and why."""

    row: int
    attempts: int
    error: str


class RowCursor:
    """Reads the pictures of a Parquet file from one row to the next, for several threads.

    The last rows read are kept, so that threads may come in nearly the order of the rows; a row
    before those is sought from the start of its row group. Memory is bounded by these rows and by
    the file's pages, whatever the size of its row groups.

    Args:
        uri: the Parquet file.
        image_column: the column of the pictures; found if None.
        row: the first that will be asked for.
    """

    def __init__(self, uri: str, image_column: str | None, row: int) -> None:
        self.uri, self.image_column = uri, image_column
        self._lock = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._parquet: pq.ParquetFile
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group_starts = [0]
        self._column: BytesColumn | None = None
        self._window: deque[list[bytes | None]] = deque(maxlen=_BATCHES_KEPT)
        self._next = -1
        # First row kept and first row not yet read, as other threads may know them.
        self._span = (row, row)
        self._damage: _Damage | None = None

    def is_near(self, row: int) -> bool:
        """Whether `row` is kept or will be read soon."""
        first, following = self._span
        return first <= row < following + _REACH_ROWS

    def skipped_before(self, row: int) -> int | None:
        """How many rows it reads over to get to `row`; None if one opened anew reads no more."""
        _, following = self._span
        return row - following if self._group_start(row) <= following <= row else None

    def _group_start(self, row: int) -> int:
        return self._group_starts[bisect.bisect_right(self._group_starts, row) - 1]

    def read(self, row: int) -> bytes:
        """The bytes of the picture in row `row`.

        Raises:
            IndexError: if there is no such row.
            Exception: what `pyarrow` raises on damage.
        """
        with self._lock:
            self._check_sound(row)
            try:
                data = self._read(row)
            except BaseException as error:
                self._note_damage(error)
                self._close()  # where it stands in the file is not known any more
                raise
        # A null is what it is, however often it is read: an empty picture.
        return data or b""

    def _check_sound(self, row: int) -> None:
        """Each row behind damage would read all of its row group before that, to fail as they did.

        Raises:
            OSError: if `row` is one.
        """
        damage = self._damage
        if damage is None or damage.attempts < _ATTEMPTS or row < damage.row:
            return
        if self._group_start(row) == self._group_start(damage.row):
            raise OSError(f"its row group cannot be read from row {damage.row} on: {damage.error}")

    def _note_damage(self, error: BaseException) -> None:
        if self._next < 0 or not files.is_local(self.uri):
            return  # it could not be opened; or it is the network, which may come back
        known = self._damage
        attempts = known.attempts + 1 if known and known.row == self._next else 1
        self._damage = _Damage(self._next, attempts, one_line(error))

    def _read(self, row: int) -> bytes | None:
        if self._column is None:
            self._open()
        first = self._next - sum(map(len, self._window))
        group = bisect.bisect_right(self._group_starts, row) - 1
        if not first <= row or self._group_starts[group] > self._next:
            self._seek(group)
        while row >= self._next:
            self._advance()
        self._span = (self._next - sum(map(len, self._window)), self._next)
        return [data for batch in self._window for data in batch][row - self._next]

    def _open(self) -> None:
        """Opens the file and stands before its first row."""
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(files.open_bytes(self.uri))
            self._parquet = stack.enter_context(open_rows(file))
            metadata = self._parquet.metadata
            sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            self._group_starts = [0, *itertools.accumulate(sizes)][: max(1, len(sizes))]
            self._column = _pick_column(self._parquet.schema_arrow, self.image_column, self.uri)
            self._opened = stack.pop_all()

    def _seek(self, group: int) -> None:
        self._window.clear()
        self._next = self._group_starts[group]
        self._batches = self._read_from(group)

    def _read_from(self, group: int) -> Iterator[pa.RecordBatch]:
        assert self._column is not None
        # One after the other: a damaged row group must not cost rows of the one before.
        for number in range(group, self._parquet.num_row_groups):
            yield from self._parquet.iter_batches(
                _BATCH_ROWS,
                row_groups=[number],
                columns=[self._column.bytes_path],
                use_threads=False,
            )

    def _advance(self) -> None:
        assert self._column is not None
        batch = next(self._batches, None)
        if batch is None:
            raise IndexError(f"the file has {self._next} rows")
        rows = batch.column(0).to_pylist()
        if self._column.bytes_path != self._column.name:
            rows = [row and row["bytes"] for row in rows]
        self._window.append(rows)
        self._next += len(rows)

    def close(self) -> None:
        """Closes the file and forgets its rows; the next `read` opens it anew."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._batches, self._column, self._next = iter(()), None, -1
        self._window.clear()
        self._opened.close()
