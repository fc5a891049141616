"""What the readers of all captions formats share: a caption found, its split, its columns."""

import ast
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from model.errors import CaptionerError
from pipelines.texts import shorten

WHAT = "captions file"
CAPTION_COLUMNS = tuple("caption captions text sentence sentences description comment".split())
SPLIT_COLUMN = "split"
_SPLITS = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


class FoundCaption(NamedTuple):
    """A caption, its split as its file says it, and its place there, e.g. ``line 7``."""

    image_id: str
    text: str
    split: Any
    place: str


@dataclass(frozen=True)
class CaptionColumns:
    """The columns of a table of captions that were named; the others are found."""

    image: str | None = None
    caption: str | None = None
    split: str | None = None


def where_of(uri: str, place: str) -> str:
    """Names a place in a captions file in messages."""
    return f"{WHAT} {uri}, {place}"


def parse_split(value: Any, where: str) -> str | None:
    """The split that `value` names, or None if it is empty.

    Raises:
        CaptionerError: if it names none.
    """
    if value is None or value == "":
        return None
    split = _SPLITS.get(value.strip().casefold()) if isinstance(value, str) else None
    if split is None:
        raise CaptionerError(
            f"{where}: got the split {shorten(value)}, expected one of {', '.join(_SPLITS)}; "
            "correct it, or give --split-ratios or lists in its place"
        )
    return split


def parse_image_id(value: Any, where: str) -> str:
    """`value`, if it can name a picture.

    Raises:
        CaptionerError: if it is empty or no text.
    """
    if not isinstance(value, str) or not value:
        raise CaptionerError(
            f"{where}: got {shorten(value)}, expected the name of a picture; leave out "
            "captions of none"
        )
    return value


def captions_of(value: Any, where: str) -> Iterator[str]:
    """The captions in `value`, a text or a list of texts; None counts as an empty one.

    An empty caption is not dropped here: it becomes a reject that is counted.

    Raises:
        CaptionerError: if it is neither.
    """
    for text in value if isinstance(value, list) else [value]:
        if text is not None and not isinstance(text, str):
            raise CaptionerError(
                f"{where}: got {shorten(value)}, expected a caption or a list of captions"
            )
        yield text or ""


def split_cell(cell: str, where: str) -> str | list[str | None]:
    """The captions in a cell of a text table, or the cell as it is.

    Several are a list in JSON, or in Python's own spelling, as pandas writes lists.

    Raises:
        CaptionerError: if it is a list in another spelling.
    """
    text = cell.strip()
    if not text.startswith("["):
        return cell
    value = None
    with contextlib.suppress(ValueError, RecursionError):  # a caption may start with a bracket
        value = json.loads(cell)
    if value is None:
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = ast.literal_eval(text)
            # An array's spelling has no commas: Python would take its texts for one.
            value = value if repr(value) == text else None
    if value is None and text.startswith(("['", '["')) and text.endswith("]"):
        raise CaptionerError(
            f"{where}: got {shorten(cell)}, the text of an array or a damaged list, expected a "
            "caption or a list of captions; write lists as JSON"
        )
    if isinstance(value, list) and all(text is None or isinstance(text, str) for text in value):
        return value
    return cell
