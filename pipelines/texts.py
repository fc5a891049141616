"""Text files read whole: UTF-8, lines that end at line feeds, JSON; messages of one line."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from model.errors import CaptionerError
from pipelines import files


def one_line(error: object) -> str:
    """The message of `error` on one line: libraries write several, or none."""
    return " ".join(str(error).split()) or type(error).__name__


def shorten(value: object, length: int = 80) -> str:
    """`value` as a message shows it: its representation, cut."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def decode_utf8(data: bytes, where: str, position: int = 0) -> str:
    """The text of UTF-8 `data`, without its byte order mark.

    Args:
        where: names the file in messages.
        position: where in the file `data` starts; only at its start is there such a mark.

    Raises:
        CaptionerError: if it is no UTF-8; the message names the byte.
    """
    try:
        text = data.decode()
        return text if position else text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CaptionerError(
            f"{where}: expected UTF-8 text, got the byte {data[error.start]:#04x} at position "
            f"{position + error.start}; convert the file to UTF-8 (Excel saves as 'CSV UTF-8')"
        ) from error


def read_text(uri: str, what: str) -> str:
    """The text of the UTF-8 file `uri`.

    Args:
        what: what the file is, for messages, e.g. ``captions file``.

    Raises:
        CaptionerError: if it is missing, a folder, or not UTF-8.
    """
    try:
        data = files.read_bytes(uri)
    except OSError as error:
        raise CaptionerError(
            f"{what} {uri} cannot be read: {one_line(error)}; check the path"
        ) from error
    return decode_utf8(data, f"{what} {uri}")


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of `text` that are not blank, numbered from 1; one copied at a time.

    Lines end at ``\\n`` or ``\\r\\n``, in a text that has no ``\\n`` at ``\\r``. What else Unicode
    counts as a line break may be part of a value.
    """
    newline = "\n" if "\n" in text else "\r"
    for number, line in enumerate(io.StringIO(text, newline=newline), 1):
        if line.strip():
            yield number, line.removesuffix("\n").removesuffix("\r")


def stream_lines(uri: str, what: str) -> Iterator[tuple[int, str]]:
    """What `lines_of` gives of the UTF-8 file `uri`, of which one line at a time is in memory.

    Raises:
        CaptionerError: see `read_text`; as the lines are taken.
    """
    position = 0
    try:
        with files.open_bytes(uri) as file:
            for number, data in enumerate(file, 1):
                line = decode_utf8(data, f"{what} {uri}", position)
                position += len(data)
                if number == 1 and not data.endswith(b"\n"):
                    yield from lines_of(line)  # the whole file
                elif line.strip():
                    yield number, line.removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise CaptionerError(
            f"{what} {uri} cannot be read: {one_line(error)}; check the path"
        ) from error


def parse_json(
    text: str,
    where: str,
    first_line: int = 1,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """The JSON value `text`.

    Args:
        where: names the text in messages.
        first_line: where it starts in its file.
        object_hook: see `json.loads`.

    Raises:
        CaptionerError: if it is malformed; the message names line and column.
    """
    try:
        return json.loads(text, object_hook=object_hook)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise CaptionerError(
            f"{where}, line {line}, column {error.colno}: malformed JSON ({error.msg})"
        ) from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets nested as deep.
        raise CaptionerError(
            f"{where}, line {first_line}: JSON that cannot be read ({one_line(error)})"
        ) from error
