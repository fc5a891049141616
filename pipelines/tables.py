"""Tables as text: CSV, TSV and JSON lines, a row at a time, each with its place in the file."""

import csv
import io
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.errors import CaptionerError
from pipelines.texts import lines_of, parse_json, read_text, shorten

# Names under which a column of pictures is found without being named, the likeliest first. Beside
# others, `image_id` is a number.
IMAGE_COLUMNS = tuple(
    "image file_name filename file path image_path image_name image_uri uri image_id".split()
)
# The library's own limit is for lines of a terminal; a caption may be a book.
csv.field_size_limit(sys.maxsize)
# The options that name a column of pictures to preprocess and to caption.
IMAGE_OPTIONS = "--image-column; of --images, --images-column"
_OPTIONS = {"pictures": "--image-column", "captions": "--caption-column", "paths": IMAGE_OPTIONS}
DELIMITERS = {".csv": ",", ".tsv": "\t"}
# What tables that are called CSV have in place of commas: Excel, where a comma is in numbers, and
# Flickr30k's captions.
_OTHER_DELIMITERS = ";|\t"
# In the name of a column any sign may be in quotes, line breaks too, or in brackets.
_ANY_SIGN = re.compile(r'"[^"]*"|\([^()\n]*\)')
_HEADER_CHARACTERS = 1 << 16
_EXCEL_LINE = re.compile(r'\A"?sep=(.)"?[;,\t ]*\r?$', re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Table:
    """A table that is read once, from its first row to its last.

    Attributes:
        where: names the table in messages.
        columns: its columns; of JSON lines, the keys of the first object.
        rows: pairs of a place in the file, e.g. ``line 7``, and a row.
    """

    where: str
    columns: list[str]
    rows: Iterator[tuple[str, Mapping[str, Any]]]


def find_column(columns: Sequence[str], defaults: Sequence[str]) -> str | None:
    """The first of `defaults` that is among `columns`, whatever its case; None if none is."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in defaults if name in by_name), None)


def check_column(columns: Sequence[str], named: str, where: str) -> str:
    """`named`, a column that was asked for.

    Raises:
        CaptionerError: if `columns` have none of this name.
    """
    if named not in columns:
        raise CaptionerError(
            f"{where}: got no column {named!r}, expected one of {shorten(list(columns), 400)}"
        )
    return named


def pick_column(
    columns: Sequence[str], named: str | None, defaults: Sequence[str], what: str, where: str
) -> str:
    """The column `named`, else the one that `defaults` find.

    Args:
        what: it holds: pictures (or their names) and captions, or paths of a manifest.

    Raises:
        CaptionerError: if there is none; the message lists the columns.
    """
    if named is not None:
        return check_column(columns, named, where)
    found = find_column(columns, defaults)
    if found is None:
        raise CaptionerError(
            f"{where}: got the columns {shorten(list(columns), 400)}, expected a column of {what} "
            f"named {', '.join(defaults)}; rename it or give its name ({_OPTIONS[what]})"
        )
    return found


def delimiter_of(text: str, expected: str) -> str:
    """The sign between names of columns, which `text` starts with: `expected`, or one in its place.

    It is none of a name's own.
    """
    header = _bare_header(text)
    others = (sign for sign in _OTHER_DELIMITERS if sign in header)
    return expected if expected in header else next(others, expected)


def excel_delimiter(text: str) -> tuple[str | None, str]:
    """The sign that a first line `sep=;` tells Excel, None without one, and what follows it."""
    line = _EXCEL_LINE.match(text)
    return (line[1], text[line.end() :]) if line else (None, text)


def _bare_header(text: str) -> str:
    """The first line of `text` that is not blank, a letter in place of what may hold any sign."""
    head = _ANY_SIGN.sub("_", text[:_HEADER_CHARACTERS])
    return next(lines_of(head), (0, ""))[1]


def read_delimited(uri: str, delimiter: str, what: str) -> Table:
    """The CSV or TSV file `uri`, whose first row names its columns.

    Args:
        delimiter: between cells, unless the first row has none and one that is common elsewhere.

    Raises:
        CaptionerError: if it cannot be read, is empty or malformed; the message names the line.
            Flaws of later rows are raised as the rows are taken.
    """
    where = f"{what} {uri}"
    # newline="": a line break inside of quotes is part of the cell and stays what it is.
    told, text = excel_delimiter(read_text(uri, what))
    delimiter = told or delimiter_of(text, delimiter)
    lines = io.StringIO(text, newline="")
    rows = _parse_delimited(lines, delimiter, f"{delimiter} " in _bare_header(text), where)
    line, header = next(rows, (0, []))
    columns = [name.strip() for name in header]
    named = [name for name in columns if name]  # Excel adds columns without
    if not named:
        raise CaptionerError(f"{where} is empty; expected the names of its columns first")
    if len(set(named)) != len(named):
        raise CaptionerError(
            f"{where}, line {line}: got the columns {shorten(columns, 400)}, expected each once"
        )
    return Table(where, columns, _as_mappings(rows, columns, where))


def _parse_delimited(
    lines: io.StringIO, delimiter: str, spaced: bool, where: str
) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines that they start on; blank lines are none.

    Args:
        spaced: whether a blank after a delimiter is none of the cell.
    """
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise CaptionerError(
                f"{where}, line {line}: malformed ({error}); a cell with quotes, delimiters or "
                "line breaks must be quoted, its quotes doubled"
            ) from error
        if row is None:
            return
        if row:
            yield line, row


def _as_mappings(
    rows: Iterator[tuple[int, list[str]]], columns: list[str], where: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for line, row in rows:
        if not any(row) or (len(row) == 1 < len(columns) and not row[0].strip()):
            continue  # cells of nothing, as Excel adds them below its rows, or a line of blanks
        if len(row) != len(columns):
            raise CaptionerError(
                f"{where}, line {line}: got {len(row)} cells {shorten(row)}, expected "
                f"{len(columns)}: {shorten(columns, 400)}"
            )
        yield f"line {line}", dict(zip(columns, row, strict=True))


def read_json_lines(uri: str, what: str) -> Table:
    """The file `uri` of one JSON object a line.

    Raises:
        CaptionerError: if it cannot be read, is empty or malformed; the message names the line.
            Flaws of later rows are raised as the rows are taken.
    """
    where = f"{what} {uri}"
    rows = _parse_json_lines(read_text(uri, what), where)
    first = next(rows, None)
    if first is None:
        raise CaptionerError(f"{where} is empty; expected one JSON object a line")
    return Table(where, list(first[1]), itertools.chain([first], rows))


def _parse_json_lines(text: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in lines_of(text):
        row = parse_json(line, where, number)
        if not isinstance(row, dict):
            raise CaptionerError(
                f"{where}, line {number}: got {shorten(row)}, expected a JSON object"
            )
        yield f"line {number}", row
