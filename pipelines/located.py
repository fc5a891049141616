"""Pictures that rows or lists name by their URIs, in containers too: found where they are now."""

import contextlib
import dataclasses
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import list_container
from pipelines.archives.members import SkippedFiles
from pipelines.archives.parquet_images import column_of_member
from pipelines.records import ImageFile
from pipelines.texts import one_line

# In place of the SHA-256 of a picture of whose versions there are captions: no file has it.
_SEVERAL = "several"
# A container, and the column named when pictures in a Parquet file were listed: one listing each.
Listing = tuple[str, str | None]
Value = TypeVar("Value")


def locate_pictures(rows: Iterable[Mapping[str, Any]]) -> Iterator[ImageFile]:
    """The pictures of rows of captions, each once, named by their URIs.

    Pictures in containers come last, each container listed once. A picture that its container
    lacks, or whose container is gone, is flawed as missing. Each has the SHA-256 of its rows; if
    they differ, as where it changed between two models, one that no file has.

    Args:
        rows: with the columns image_uri, container, member, byte_size and sha256.
    """
    loose: dict[str, ImageFile] = {}
    inside: dict[Listing, dict[str, ImageFile]] = defaultdict(dict)
    for row in rows:
        image_uri, container = row["image_uri"], row["container"]
        told = loose if container is None else inside[listing_of(container, row["member"])]
        image = ImageFile(image_uri, image_uri, row["byte_size"] or 0, sha256=row["sha256"])
        known = told.setdefault(image_uri, image)
        if known.sha256 != image.sha256:
            told[image_uri] = dataclasses.replace(known, sha256=_SEVERAL)
    yield from map(_as_on_disk, loose.values())
    for listing, wanted in in_order(inside):
        for image in list_wanted(listing, wanted):
            yield dataclasses.replace(image, sha256=wanted[image.uri].sha256)


def _as_on_disk(image: ImageFile) -> ImageFile:
    """A picture with the size and time that it has by now, where it is a local file."""
    if not files.is_local(image.uri):
        return image
    try:
        status = os.stat(image.uri)
    except (OSError, ValueError):  # which reading it will tell
        return image
    (size, modified), flaw = files.size_and_time(status), files.flaw_of_kind(status)
    return dataclasses.replace(image, byte_size=size, modified_usec=modified, flaw=flaw)


def listing_of(container: str, member: str | None) -> Listing:
    """The listing that has the picture `member` of `container`."""
    is_row = container.lower().endswith(".parquet")
    return container, column_of_member(member or "") if is_row else None


def in_order(inside: Mapping[Listing, Value]) -> list[tuple[Listing, Value]]:
    """What belongs to each listing, by the names of their containers."""
    return sorted(inside.items(), key=lambda item: str(item[0]))


def list_wanted(listing: Listing, wanted: Collection[str]) -> Iterator[ImageFile]:
    """The pictures of a container whose URIs are `wanted`, named by them, in its order.

    Those that it lacks come last, flawed as missing; so do all if it is gone.
    """
    container, column = listing
    lost = set(wanted)
    flaw = f"missing: {container} has no such member any more"
    try:
        for image in list_container(container, SkippedFiles(), column):
            if image.uri in lost:
                lost.remove(image.uri)
                yield dataclasses.replace(image, image_id=image.uri)
    except (CaptionerError, ValueError) as error:  # a ValueError: no such file system is set up
        reason = "missing" if _is_known_to_be_gone(container) else "unreadable"
        flaw = f"{reason}: {one_line(error)}"
    for uri in sorted(lost):
        yield ImageFile(uri, uri, 0, container, flaw=flaw)


def _is_known_to_be_gone(uri: str) -> bool:
    with contextlib.suppress(Exception):  # clients of clouds raise exceptions of their own
        return not FileSystems.exists(uri)
    return False
