"""The ledger: which pictures have a row in a folder of captions, and the removal of stale rows."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.errors import CaptionerError
from pipelines import files
from pipelines.captions_table import list_table
from pipelines.schemas import CAPTIONS, REJECTED
from pipelines.texts import one_line
from pipelines.threads import map_ahead

_COLUMNS = ["image_uri", "status", "reason", "sha256", "byte_size", "captioned_at"]
# Files are small, and far away where they lie in a cloud.
THREADS = 16


class Place(NamedTuple):
    """Where a row is: the number of its file, and its number there."""

    part: int
    row: int


@dataclass(frozen=True)
class Ledger:
    """The rows of a folder of captions, as far as planning needs them.

    Attributes:
        parts: the URIs of its files.
        rows: one for each picture: `image_uri`, `rejected`, `unread` (rejected for what hindered
            reading it, not for its bytes), `byte_size`, `captioned_usec` (since 1970), `part` and
            `row`.
        doubles: where the rows are in place of which `rows` has another one of the same picture:
            the latest of those whose picture could be read, if there are any. A caption is not
            given up for a disk that is away.
    """

    parts: list[str]
    rows: pa.Table
    doubles: list[Place]

    def places_of(self, uris: pa.Array | pa.ChunkedArray) -> list[Place]:
        """Where the rows of the pictures `uris` are."""
        return _places(self.rows.filter(pc.is_in(self.rows["image_uri"], uris)))

    def sha256_of(self, number: int) -> str | None:
        """The SHA-256 of the picture in row `number` of `rows`; read anew, it is seldom asked."""
        part, row = (self.rows[name][number].as_py() for name in ("part", "row"))
        with files.open_bytes(self.parts[part]) as file, pq.ParquetFile(file) as parquet:
            return parquet.read(columns=["sha256"])["sha256"][row].as_py()


def read_ledger(folder: str) -> Ledger:
    """The ledger of the committed files of `folder`, which may be absent.

    Raises:
        CaptionerError: if one of them cannot be read.
    """
    return read_ledger_of(list_table(folder))


def read_ledger_of(parts: list[str]) -> Ledger:
    """The ledger of the files `parts`.

    Raises:
        CaptionerError: if one of them cannot be read.
    """
    tables = map_ahead(_read_part, parts, THREADS)
    rows = pa.concat_tables([_empty(), *(_located(t, n) for n, t in enumerate(tables))])
    return Ledger(parts, *_without_doubles(rows.combine_chunks()))


def _read_part(uri: str) -> pa.Table:
    try:
        with files.open_bytes(uri) as file, pq.ParquetFile(file) as parquet:
            return parquet.read(columns=_COLUMNS, use_threads=False).select(_COLUMNS)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise CaptionerError(
            f"{uri} cannot be read: {one_line(error)}; delete it, its pictures are done again"
        ) from error


def _located(table: pa.Table, part: int) -> pa.Table:
    rejected = pc.equal(table["status"], REJECTED)
    # A file too large to be read is as large as it was.
    too_large = pc.fill_null(pc.equal(table["reason"], "bomb"), False)
    unread = pc.and_not(pc.and_(rejected, pc.is_null(table["sha256"])), too_large)
    return pa.table(
        {
            "image_uri": table["image_uri"].cast(pa.large_string()),
            "rejected": rejected,
            "unread": unread,
            "byte_size": table["byte_size"],
            # Another program may have written the file anew, in other units.
            "captioned_usec": table["captioned_at"]
            .cast(CAPTIONS.field("captioned_at").type, safe=False)
            .cast(pa.int64()),
            "part": pa.array(np.full(len(table), part, np.int32)),
            "row": pa.array(np.arange(len(table), dtype=np.int32)),
        }
    )


def _empty() -> pa.Table:
    return _located(CAPTIONS.empty_table().select(_COLUMNS), 0)


def _without_doubles(rows: pa.Table) -> tuple[pa.Table, list[Place]]:
    """The row of each picture that counts, and where others are; see `Ledger`."""
    if pc.count_distinct(rows["image_uri"]).as_py() == len(rows):
        return rows, []
    codes = rows["image_uri"].combine_chunks().dictionary_encode().indices.to_numpy()
    was_read = pc.invert(rows["unread"]).to_numpy()
    order = np.lexsort((rows["captioned_usec"].to_numpy(), was_read, codes))
    is_last = np.append(np.diff(codes[order]) != 0, True)
    return rows.take(np.sort(order[is_last])), _places(rows.take(np.sort(order[~is_last])))


def _places(rows: pa.Table) -> list[Place]:
    return list(map(Place, rows["part"].to_pylist(), rows["row"].to_pylist()))


def remove_rows(ledger: Ledger, places: Iterable[Place], check: Callable[[], None]) -> None:
    """Rewrites the files that hold the rows at `places` without them; an empty one is deleted.

    It comes after the rows that take their place: no crash costs a caption that nothing replaces.
    What it leaves double, the next run's ledger finds.

    Args:
        check: called before each change; raises if this run may not write any more.
    """
    rows_of: dict[int, list[int]] = defaultdict(list)
    for part, row in places:
        rows_of[part].append(row)
    for _ in map_ahead(
        lambda item: _rewrite(ledger.parts[item[0]], item[1], check), rows_of.items(), THREADS
    ):
        pass


def _rewrite(uri: str, without: list[int], check: Callable[[], None]) -> None:
    with files.open_bytes(uri) as file:
        table = pq.read_table(file)
    kept = np.delete(np.arange(len(table)), without)
    if not len(kept):
        check()
        files.delete(uri)
        return
    with files.atomic_path(uri) as path:
        pq.write_table(table.take(kept), path, compression="zstd")
        files.flush(path)
        check()
