"""The table of captions, read a part at a time, whichever program wrote it last."""

import os
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.errors import CaptionerError
from pipelines import files
from pipelines.schemas import CAPTIONS
from pipelines.texts import one_line

# Files and folders that readers of a Parquet dataset pass over.
_HIDDEN = re.compile(r"/[._]")
# Without a value here a row is none; other columns of a row may be empty.
_NEEDED = ("image_uri", "status", "model_fingerprint", "captioned_at")


def read_captions(folder: str) -> Iterator[pa.Table]:
    """Yields the rows of a folder of captions, or of one of its files, some thousands at a time.

    Raises:
        CaptionerError: if there is no such folder, or files in it that are no captions.
    """
    advice = "expected a folder made by captioner caption"
    parts = [folder] if os.path.isfile(folder) else list_table(folder)
    if not parts:
        what = (
            "such folder"
            if files.is_local(folder) and not os.path.exists(folder)
            else "Parquet file"
        )
        raise CaptionerError(f"--captions {folder}: got no {what}; {advice}")
    for part in parts:
        try:
            yield from _read_part(part)
        except (OSError, ValueError) as error:
            raise CaptionerError(f"{part}: {one_line(error)}; {advice}") from error


def list_table(folder: str) -> list[str]:
    """The files below `folder` that readers of a Parquet dataset take for its parts, sorted."""
    names = [uri.removeprefix(folder) for uri in files.list_tree(folder)]
    shown = [name for name in names if not _HIDDEN.search(name)]
    return [folder + name for name in shown if name.endswith(".parquet")]


def _read_part(uri: str) -> Iterator[pa.Table]:
    """The rows of one file, whichever program wrote them: each has its own names and sizes."""
    with files.open_bytes(uri) as file, pq.ParquetFile(file) as parquet:
        missing = [name for name in CAPTIONS.names if name not in parquet.schema_arrow.names]
        if missing:
            raise ValueError(f"columns missing: {', '.join(missing)}")
        _as_captions(parquet.schema_arrow.empty_table())  # types tell, where there is no row
        for batch in parquet.iter_batches(columns=CAPTIONS.names):
            yield _as_captions(pa.Table.from_batches([batch]))


def _as_captions(rows: pa.Table) -> pa.Table:
    """`rows` with the columns and types of the schema of captions.

    Raises:
        ValueError: if a column cannot have its type, or lacks a value that every row needs.
    """
    columns = []
    for wanted in CAPTIONS:
        found = rows[wanted.name]
        try:
            columns.append(found.cast(wanted.type, safe=False))
        except pa.ArrowException as error:
            raise ValueError(
                f"column {wanted.name}: got {found.type}, expected {wanted.type}"
            ) from error
    table = pa.table(columns, CAPTIONS)
    for name in _NEEDED:
        if table[name].null_count:
            raise ValueError(f"column {name}: got a null, expected a value in every row")
    _check_times(table["captioned_at"])
    return table


def _check_times(times: pa.ChunkedArray) -> None:
    try:
        pc.min_max(times).as_py()
    except OverflowError as error:
        raise ValueError(f"column captioned_at: {error}, expected years to 9999") from error
