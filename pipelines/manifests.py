"""Manifests: files that name pictures, a path a line or a row."""

import dataclasses
import functools
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import is_container
from pipelines.archives.members import MEMBER, is_picture, suffix_of
from pipelines.archives.parquet_files import iterate_rows, open_parquet, pick_text_column
from pipelines.located import Listing, in_order, list_wanted, listing_of
from pipelines.records import ImageFile
from pipelines.tables import (
    DELIMITERS,
    IMAGE_COLUMNS,
    Table,
    pick_column,
    read_delimited,
    read_json_lines,
)
from pipelines.texts import shorten, stream_lines

_WHAT = "manifest"
_SUFFIXES = frozenset([".txt", ".jsonl", ".parquet", *DELIMITERS])


def is_manifest(uri: str) -> bool:
    """Whether `uri` is a manifest by its name; a Parquet file may hold pictures instead."""
    return suffix_of(uri) in _SUFFIXES


def list_manifest(uri: str, image_column: str | None = None) -> Iterator[ImageFile]:
    """The pictures that a manifest names, each once, in its order.

    A relative path starts at the manifest's folder. A picture that is not there is listed all the
    same: it becomes a reject. Sizes and times are asked for on a local disk only, where that costs
    little. Members of containers, ``CONTAINER!/MEMBER`` as rows of captions have them, come after
    all others, by the names of their containers, each listed once, and there in its order.

    Args:
        image_column: the column of paths; found if None.

    Raises:
        CaptionerError: if the manifest cannot be read, or holds what can be no path; the message
            names the line.
    """
    folder = uri.rpartition("/")[0]
    seen: set[bytes] = set()
    inside: dict[Listing, dict[str, str]] = defaultdict(dict)
    is_there = functools.cache(_is_there)  # very many lines name one container
    for place, path in _paths(uri, image_column):
        checked = _check_path(path, f"{_WHAT} {uri}, {place}")
        if found := _split_member(folder, checked, is_there):
            inside[listing_of(*found)].setdefault(MEMBER.join(found), checked)
            continue
        resolved = _resolve(folder, checked)
        # Digests of names take a third of their memory.
        digest = hashlib.blake2b(resolved.encode(), digest_size=16).digest()
        if digest in seen:
            continue
        seen.add(digest)
        size, modified, flaw = _local_status(resolved)
        yield ImageFile(resolved, checked, size, modified_usec=modified, flaw=flaw)
    for listing, names in in_order(inside):
        for image in list_wanted(listing, names):
            yield dataclasses.replace(image, image_id=names[image.uri])


def _paths(uri: str, image_column: str | None) -> Iterator[tuple[str, Any]]:
    suffix = suffix_of(uri)
    if suffix == ".txt":
        yield from ((f"line {n}", line) for n, line in stream_lines(uri, _WHAT))
    elif suffix == ".parquet":
        yield from _parquet_paths(uri, image_column)
    elif suffix == ".jsonl":
        yield from _column(read_json_lines(uri, _WHAT), image_column)
    else:
        yield from _column(read_delimited(uri, DELIMITERS[suffix], _WHAT), image_column)


def _column(table: Table, image_column: str | None) -> Iterator[tuple[str, Any]]:
    column = _only(table.columns, image_column)
    if column is not None and column != image_column and is_picture(column):
        raise CaptionerError(
            f"{table.where}: got {shorten(column)} in place of the column's name; give the column "
            "a name, or the file one that ends in .txt"
        )
    name = pick_column(table.columns, column, IMAGE_COLUMNS, "paths", table.where)
    for place, row in table.rows:
        yield place, row.get(name)


def _only(columns: list[str], image_column: str | None) -> str | None:
    """The column asked for, or the one there is."""
    return columns[0] if image_column is None and len(columns) == 1 else image_column


def _parquet_paths(uri: str, image_column: str | None) -> Iterator[tuple[str, Any]]:
    with open_parquet(uri, _WHAT) as parquet:
        schema = parquet.schema_arrow
        named = _only(schema.names, image_column)
        name = pick_text_column(schema, named, IMAGE_COLUMNS, "paths", f"{_WHAT} {uri}")
        for number, row in enumerate(iterate_rows(parquet, [name])):
            yield f"row {number}", row[name]


def _check_path(path: Any, where: str) -> str:
    """`path`, if it can be one."""
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise CaptionerError(
            f"{where}: got {shorten(path)}, expected the path of a picture; leave out rows of none"
        )
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise CaptionerError(
            f"{where}: got {shorten(path)}, expected text that UTF-8 can hold"
        ) from error
    return path


def _resolve(folder: str, path: str) -> str:
    path = files.without_local_scheme(path)
    if not files.is_local(path):
        return path
    if path.startswith("/"):
        return files.normalise_path(path)
    joined = f"{folder}/{path}"
    if not files.is_local(joined):
        return joined
    if "\\" in path and not os.path.lexists(joined):  # Windows wrote it
        joined = f"{folder}/" + path.replace("\\", "/")
    return files.normalise_path(joined)


def _split_member(
    folder: str, path: str, is_there: Callable[[str], bool]
) -> tuple[str, str] | None:
    """The container that is there and its member, if `path` names one and no file of its own.

    The member is as it is spelled: to the archive ``a//b.jpg`` is another one than ``a/b.jpg``.
    """
    for mark in re.finditer(MEMBER, path):
        container, member = _resolve(folder, path[: mark.start()]), path[mark.end() :]
        if is_container(container) and is_there(container):
            is_file = files.is_local(container) and os.path.lexists(container + MEMBER + member)
            return None if is_file else (container, member)
    return None


def _is_there(uri: str) -> bool:
    if files.is_local(uri):
        return os.path.isfile(uri)
    try:
        return FileSystems.exists(uri)
    except Exception:  # each file system has its own; reading the pictures will tell
        return False


def _local_status(uri: str) -> tuple[int, int | None, str | None]:
    """Size, time and flaw, as far as they are known."""
    if not files.is_local(uri):
        return 0, None, None
    try:
        status = os.stat(uri)
    except OSError:
        return 0, None, None  # it is missing, or will be found so when it is read
    return *files.size_and_time(status), files.flaw_of_kind(status)
