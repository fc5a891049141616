"""Captions that `captioner caption` wrote, taken for captions to learn from."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import list_container
from pipelines.archives.members import SkippedFiles
from pipelines.archives.parquet_files import iterate_rows, open_parquet
from pipelines.archives.parquet_images import column_of_member
from pipelines.captions.parsing import WHAT, FoundCaption
from pipelines.ledger import read_ledger
from pipelines.records import ImageFile
from pipelines.schemas import CAPTIONED
from pipelines.texts import one_line

_COLUMNS = tuple("image_uri container member status caption score byte_size sha256".split())
# In place of the SHA-256 of a picture of whose versions there are captions: no file has it.
_SEVERAL = "several"
_PART = re.compile(r"(model=[^/]+/)?part-[^/]+\.parquet")


def is_own_schema(schema: pa.Schema) -> bool:
    """Whether a Parquet file of this schema was written by `captioner caption`."""
    return {*_COLUMNS, "model_fingerprint"} <= set(schema.names)


def list_parts(folder: str) -> list[str]:
    """The Parquet files of a folder of captions, sorted."""
    root = folder.rstrip("/") + "/"
    return [uri for uri in files.list_tree(folder) if _PART.fullmatch(uri.removeprefix(root))]


def check_one_row_each(parts: Iterable[str]) -> None:
    """Checks that no picture has two rows of one model in the files `parts` of such a folder.

    Raises:
        CaptionerError: if one has: old captions would be learnt beside those that replace them.
    """
    for folder in sorted({uri.rpartition("/")[0] for uri in parts}):
        if doubles := read_ledger(folder).doubles:
            raise CaptionerError(
                f"{WHAT} {folder}: got {len(doubles)} rows of pictures that have another one, as a "
                "run leaves them that ended while it replaced rows; run captioner caption again, "
                "which removes them"
            )


def read_own_captions(uri: str, min_score: float | None) -> Iterator[FoundCaption]:
    """The captions of one Parquet file whose score is at least `min_score`.

    Raises:
        CaptionerError: if the file cannot be read or is no such file.
    """
    for number, row in _captioned_rows(uri, min_score):
        yield FoundCaption(row["image_uri"], row["caption"] or "", None, f"row {number}")


def _captioned_rows(uri: str, min_score: float | None) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_parquet(uri, WHAT) as parquet:
        schema = parquet.schema_arrow
        if not is_own_schema(schema):
            raise CaptionerError(
                f"{WHAT} {uri}: got the columns {schema.names}, expected those that captioner "
                f"caption writes: {', '.join(_COLUMNS)}, ..."
            )
        for number, row in enumerate(iterate_rows(parquet, _COLUMNS)):
            if row["status"] == CAPTIONED and _is_good(row["score"], min_score):
                yield number, row


def _is_good(score: float | None, min_score: float | None) -> bool:
    return min_score is None or (score is not None and score >= min_score)


def list_captioned(uris: Sequence[str], min_score: float | None) -> Iterator[ImageFile]:
    """The pictures of the captioned rows of `uris`, as `locate_pictures` finds them.

    Raises:
        CaptionerError: if a file of captions cannot be read.
    """
    rows = (row for uri in uris for _, row in _captioned_rows(uri, min_score))
    return locate_pictures(rows)


def locate_pictures(rows: Iterable[Mapping[str, Any]]) -> Iterator[ImageFile]:
    """The pictures of rows of captions, each once, named by their URIs.

    Pictures in containers come last, each container listed once. A picture that its container
    lacks, or whose container is gone, is flawed as missing. Each has the SHA-256 of its rows; if
    they differ, as where it changed between two models, one that no file has.

    Args:
        rows: with the columns image_uri, container, member, byte_size and sha256.
    """
    loose: dict[str, ImageFile] = {}
    inside: dict[tuple[str, str | None], dict[str, ImageFile]] = defaultdict(dict)
    for row in rows:
        image_uri, container = row["image_uri"], row["container"]
        if container is None:
            told = loose
        else:
            told = inside[container, _column_of(container, row["member"])]
        image = ImageFile(image_uri, image_uri, row["byte_size"] or 0, sha256=row["sha256"])
        known = told.setdefault(image_uri, image)
        if known.sha256 != image.sha256:
            told[image_uri] = dataclasses.replace(known, sha256=_SEVERAL)
    yield from map(_as_on_disk, loose.values())
    for (container, column), wanted in sorted(inside.items(), key=lambda item: str(item[0])):
        yield from _list_wanted(container, column, wanted)


def _as_on_disk(image: ImageFile) -> ImageFile:
    """A picture with the size and time that it has by now, where it is a local file."""
    if not files.is_local(image.uri):
        return image
    try:
        size, modified = files.size_and_time(os.stat(image.uri))
    except (OSError, ValueError):  # which reading it will tell
        return image
    return dataclasses.replace(image, byte_size=size, modified_usec=modified)


def _column_of(container: str, member: str | None) -> str | None:
    """The column named when a picture in a Parquet file was listed; of other containers None."""
    return column_of_member(member or "") if container.lower().endswith(".parquet") else None


def _list_wanted(
    container: str, column: str | None, wanted: Mapping[str, ImageFile]
) -> Iterator[ImageFile]:
    lost = set(wanted)
    flaw = f"missing: {container} has no such member any more"
    try:
        for image in list_container(container, SkippedFiles(), column):
            if image.uri in lost:
                lost.remove(image.uri)
                sha256 = wanted[image.uri].sha256
                yield dataclasses.replace(image, image_id=image.uri, sha256=sha256)
    except CaptionerError as error:
        reason = "unreadable" if FileSystems.exists(container) else "missing"
        flaw = f"{reason}: {one_line(error)}"
    yield from _flawed(container, sorted(lost), flaw)


def _flawed(container: str, uris: Iterable[str], flaw: str) -> Iterator[ImageFile]:
    for uri in uris:
        yield ImageFile(uri, uri, 0, container, flaw=flaw)
