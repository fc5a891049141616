"""Captions in tables: CSV, TSV, JSON lines and Parquet."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipelines.archives.parquet_files import (
    BytesColumn,
    bytes_column,
    find_bytes_column,
    is_text,
    is_text_list,
    iterate_rows,
    open_parquet,
    pick_text_column,
)
from pipelines.archives.parquet_images import name_in, row_image_id
from pipelines.captions.parsing import (
    CAPTION_COLUMNS,
    SPLIT_COLUMN,
    WHAT,
    CaptionColumns,
    FoundCaption,
    captions_of,
    parse_image_id,
    split_cell,
    where_of,
)
from pipelines.tables import (
    DELIMITERS,
    IMAGE_COLUMNS,
    Table,
    check_column,
    find_column,
    pick_column,
    read_delimited,
    read_json_lines,
)


def read_delimited_captions(
    uri: str, suffix: str, columns: CaptionColumns
) -> Iterator[FoundCaption]:
    """The captions of a CSV or TSV file, one a row, or a cell with a JSON list of them.

    Args:
        suffix: ``.csv`` or ``.tsv``, whatever the file's name.

    Raises:
        CaptionerError: if the file cannot be read or is malformed; the message names the line.
    """
    table = read_delimited(uri, DELIMITERS[suffix], WHAT)
    return _read_table(uri, table, columns, cells=True)


def read_json_lines_captions(uri: str, columns: CaptionColumns) -> Iterator[FoundCaption]:
    """The captions of a file of JSON objects, one a line; each a text or a list of texts.

    Raises:
        CaptionerError: if the file cannot be read or is malformed; the message names the line.
    """
    return _read_table(uri, read_json_lines(uri, WHAT), columns, cells=False)


def _read_table(
    uri: str, table: Table, columns: CaptionColumns, cells: bool
) -> Iterator[FoundCaption]:
    """The captions of `table`; of `cells` of text, each may be a JSON list."""
    where = table.where
    image = pick_column(table.columns, columns.image, IMAGE_COLUMNS, "pictures", where)
    caption = pick_column(table.columns, columns.caption, CAPTION_COLUMNS, "captions", where)
    # Not every JSON object has the keys of the first.
    split = _split_column(table.columns, columns.split, where) or SPLIT_COLUMN
    for place, row in table.rows:
        here = where_of(uri, place)
        value = row.get(caption)
        texts = split_cell(value, here) if cells and isinstance(value, str) else value
        yield from _captions_of_row(row.get(image), texts, row.get(split), place, here)


def _split_column(names: list[str], named: str | None, where: str) -> str | None:
    if named is not None:
        return check_column(names, named, where)
    return find_column(names, [SPLIT_COLUMN])


def _captions_of_row(
    image: Any, texts: Any, split: Any, place: str, where: str
) -> Iterator[FoundCaption]:
    image_id = parse_image_id(image, where)
    for text in captions_of(texts, where):
        yield FoundCaption(image_id, text, split, place)


def read_parquet_captions(uri: str, columns: CaptionColumns) -> Iterator[FoundCaption]:
    """The captions of a Parquet file: a column of texts or of lists of texts.

    Where the rows hold their pictures, these have the names that `list_rows` gives them; their
    bytes are not read.

    Raises:
        CaptionerError: if the file cannot be read, a column is absent or of another type, or a row
            names no picture; the message names column or row.
    """
    where = f"{WHAT} {uri}"
    with open_parquet(uri, WHAT) as parquet:
        schema = parquet.schema_arrow
        images = picture_column(schema, columns.image, where)
        image, caption, split = _parquet_columns(schema, images, columns, where)
        wanted = [name for name in (image, caption, split) if name]
        for number, row in enumerate(iterate_rows(parquet, wanted)):
            place = f"row {number}"
            if images is None:
                image_id = row[image]
            else:
                image_id = row_image_id(uri, number, name_in(row.get(images.name)))
            here = where_of(uri, place)
            yield from _captions_of_row(image_id, row[caption], row.get(split), place, here)


def picture_column(schema: pa.Schema, named: str | None, where: str) -> BytesColumn | None:
    """The column of encoded pictures that also names them; None if a column of text does.

    Raises:
        CaptionerError: if the column `named` is absent, or several may be meant.
    """
    if named is None:
        return find_bytes_column(schema, None, where)
    return bytes_column(schema.field(check_column(schema.names, named, where)))


def _parquet_columns(
    schema: pa.Schema, images: BytesColumn | None, columns: CaptionColumns, where: str
) -> tuple[str, str, str]:
    """The columns read for names, captions and splits, empty where there is none to read."""
    if images is None:
        image = pick_text_column(schema, columns.image, IMAGE_COLUMNS, "pictures", where)
    else:
        image = images.names_path or ""
    caption = pick_text_column(
        schema,
        columns.caption,
        CAPTION_COLUMNS,
        "captions",
        where,
        lambda type: is_text(type) or is_text_list(type),
    )
    return image, caption, _split_column(schema.names, columns.split, where) or ""
