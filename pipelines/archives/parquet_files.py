"""Parquet files that others wrote: which of their columns hold pictures, names and text."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.errors import CaptionerError
from pipelines import files
from pipelines.tables import IMAGE_OPTIONS, check_column, find_column, pick_column
from pipelines.texts import one_line, shorten

# Names under which a column of encoded pictures is found without being named.
BYTES_COLUMNS = tuple(
    "image img picture photo bytes image_bytes img_bytes image_data jpg jpeg png webp".split()
)
_ROWS_PER_BATCH = 1024
# Columns are read in pieces of this size, not whole: see `RowCursor`.
_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class BytesColumn:
    """A column of encoded pictures: bytes, or the `struct<bytes, path>` of dataset hubs.

    Attributes:
        name: of the column.
        bytes_path: of the bytes, ``NAME`` or ``NAME.bytes``.
        names_path: of the pictures' names, ``NAME.path``; None if there are none.
    """

    name: str
    bytes_path: str
    names_path: str | None


@contextlib.contextmanager
def open_parquet(uri: str, what: str) -> Iterator[pq.ParquetFile]:
    """Opens the Parquet file `uri`; what fails within is reported as a fault of the file.

    Args:
        what: what the file is, for messages.

    Raises:
        CaptionerError: if it is missing, damaged, or no Parquet.
    """
    try:
        with files.open_bytes(uri) as file, open_rows(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CaptionerError(
            f"{what} {uri} cannot be read as Parquet: {one_line(error)}; check the file"
        ) from error


def open_rows(file: Any) -> pq.ParquetFile:
    """The Parquet file in the open `file`, to be read a few rows at a time."""
    return pq.ParquetFile(
        file, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
    )


def iterate_rows(parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of `parquet`, of them the columns (or fields, ``NAME.FIELD``) asked for alone."""
    for batch in parquet.iter_batches(_ROWS_PER_BATCH, columns=list(columns), use_threads=False):
        yield from batch.to_pylist()


def is_text(type: pa.DataType) -> bool:
    """Whether values of `type` are text, however stored."""
    if pa.types.is_dictionary(type):
        return is_text(type.value_type)
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(type) for is_kind in kinds)


def is_text_list(type: pa.DataType) -> bool:
    """Whether values of `type` are lists of texts."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(type) for is_kind in kinds) and is_text(type.value_type)


def _is_bytes(type: pa.DataType) -> bool:
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_kind(type) for is_kind in kinds)


def bytes_column(field: pa.Field) -> BytesColumn | None:
    """`field` as a column of encoded pictures; None if it is none by its type."""
    if _is_bytes(field.type):
        return BytesColumn(field.name, field.name, None)
    if not pa.types.is_struct(field.type):
        return None
    inner = {part.name: part.type for part in field.type}
    if "bytes" not in inner or not _is_bytes(inner["bytes"]):
        return None
    named = "path" in inner and is_text(inner["path"])
    return BytesColumn(field.name, f"{field.name}.bytes", f"{field.name}.path" if named else None)


def find_bytes_column(schema: pa.Schema, named: str | None, where: str) -> BytesColumn | None:
    """The column of encoded pictures: the one `named`, else a well-known name, else the only one.

    Returns:
        None if no column can hold pictures.

    Raises:
        CaptionerError: if the one named is absent or of another type, or several may be meant.
    """
    if named is not None:
        field = schema.field(check_column(schema.names, named, where))
        column = bytes_column(field)
        if column is None:
            raise CaptionerError(
                f"{where}: column {named!r} is {field.type}, expected bytes of pictures or "
                "struct<bytes, path>; name another column"
            )
        return column
    found = {column.name: column for column in map(bytes_column, schema) if column is not None}
    name = find_column(list(found), BYTES_COLUMNS)
    if name is not None:
        return found[name]
    if len(found) > 1:
        raise CaptionerError(
            f"{where}: got several columns of bytes, {shorten(list(found), 400)}; give the name of "
            f"the one that holds the pictures ({IMAGE_OPTIONS})"
        )
    return next(iter(found.values()), None)


def pick_text_column(
    schema: pa.Schema,
    named: str | None,
    defaults: Sequence[str],
    what: str,
    where: str,
    is_right: Callable[[pa.DataType], bool] = is_text,
) -> str:
    """The column `named`, else the first of `defaults` that holds text.

    Args:
        is_right: which types do.

    Raises:
        CaptionerError: if there is none, or it is of another type.
    """
    texts = [field.name for field in schema if is_right(field.type)]
    found = None if named is not None else find_column(texts, defaults)
    name = found or pick_column(schema.names, named, defaults, what, where)
    if name not in texts:
        raise CaptionerError(
            f"{where}: column {name!r} is {schema.field(name).type}, expected text for {what}; "
            "name another column"
        )
    return name
