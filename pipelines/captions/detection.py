"""Which format a file of captions has, told by its name and its first bytes."""

import re

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import check_not_compressed
from pipelines.archives.members import suffix_of
from pipelines.archives.parquet_files import open_parquet
from pipelines.captions.documents import COCO_FORM, KARPATHY_FORM, TOKEN_FORM, is_token_line
from pipelines.captions.own import is_own_schema
from pipelines.captions.parsing import CAPTION_COLUMNS, WHAT, where_of
from pipelines.tables import (
    DELIMITERS,
    IMAGE_COLUMNS,
    delimiter_of,
    excel_delimiter,
    find_column,
)
from pipelines.texts import lines_of, one_line, parse_json, read_text, shorten

_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tar": "webdataset",
}
_HEAD_BYTES = 1 << 16
_IMAGES_KEY = re.compile(r'"images"\s*:')
_ANNOTATIONS_KEY = re.compile(r'"annotations"\s*:')
_SENTENCES_KEY = re.compile(r'"sentences"\s*:')
_EXPECTED = (
    f"{TOKEN_FORM}, {COCO_FORM}, {KARPATHY_FORM}, a table with a header, JSON lines, Parquet or a "
    "WebDataset tar; give the format if it is one of these"
)


def detect_format(uri: str) -> str:
    """The format of the captions file `uri`, one of `formats.FORMATS`.

    Raises:
        CaptionerError: if it cannot be read, is empty, or looks like none of them.
    """
    check_not_compressed(uri)
    suffix = suffix_of(uri)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix == ".parquet":
        with open_parquet(uri, WHAT) as parquet:
            return "captions" if is_own_schema(parquet.schema_arrow) else "parquet"
    head = _read_head(uri)
    if not head.strip():
        raise CaptionerError(f"{WHAT} {uri} is empty; expected captions")
    found = _format_of_json(head, uri) if head.lstrip()[0] in "{[" else _format_of_lines(head)
    if found is None:
        number, line = next(lines_of(read_text(uri, WHAT)))
        raise CaptionerError(
            f"{where_of(uri, f'line {number}')}: got {shorten(line)}, expected {_EXPECTED}"
        )
    return found


def _read_head(uri: str) -> str:
    """The start of the file; bytes that are no UTF-8 are for the reader to report."""
    try:
        with files.open_bytes(uri) as file:
            return file.read(_HEAD_BYTES).decode(errors="replace").removeprefix("\ufeff")
    except OSError as error:
        raise CaptionerError(
            f"{WHAT} {uri} cannot be read: {one_line(error)}; check the path"
        ) from error


def _format_of_lines(head: str) -> str | None:
    told, head = excel_delimiter(head)
    _, line = next(lines_of(head), (0, ""))
    if is_token_line(line):
        return "flickr"
    for suffix, delimiter in [*DELIMITERS.items(), (".csv", told or delimiter_of(line, ","))]:
        cells = [cell.strip().strip('"') for cell in line.split(delimiter)]
        if find_column(cells, IMAGE_COLUMNS) and find_column(cells, CAPTION_COLUMNS):
            return suffix.removeprefix(".")
    return None


def _format_of_json(head: str, uri: str) -> str | None:
    """The format of a file that starts with a bracket, by the keys in its head alone.

    A COCO file may hold megabytes of images before its first caption.
    """
    lines = lines_of(head)
    _, first = next(lines)
    _, second = next(lines, (0, ""))
    if is_token_line(first):
        return "flickr"
    if first.rstrip().endswith("}") and second.lstrip().startswith("{"):
        return "jsonl"
    if _ANNOTATIONS_KEY.search(head):
        return "coco"
    if _IMAGES_KEY.search(head):
        return "karpathy" if _SENTENCES_KEY.search(head) else "coco"
    return _format_of_value(uri)


def _format_of_value(uri: str) -> str:
    """The format of a file that may be JSON lines of one line."""
    value = parse_json(read_text(uri, WHAT), f"{WHAT} {uri}")
    if isinstance(value, dict):
        if find_column(list(value), IMAGE_COLUMNS) and find_column(list(value), CAPTION_COLUMNS):
            return "jsonl"
        got = f"a JSON object with keys {shorten(sorted(value), 400)}"
    else:
        got = "a JSON list"
    raise CaptionerError(f"{WHAT} {uri}: got {got}, expected {COCO_FORM} or {KARPATHY_FORM}")
