"""Tar files read in place: a walk from header to header that never reads what lies between."""

import os
import tarfile
from collections.abc import Iterator
from typing import Any

from model.errors import CaptionerError
from pipelines.archives.members import Member
from pipelines.texts import one_line

_BLOCK = tarfile.BLOCKSIZE
# The year 2106: a time in a header above it was never meant.
_LATEST_SEC = 1 << 32
# The mark that ends a tar is filled up with zeros to a whole record, which is of a MiB at most.
_MOST_ZEROS = 1 << 20
# What the standard library raises on damaged headers; on a long name of exabytes, the last.
_DAMAGE = (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError, MemoryError)


def walk_tar(file: Any, uri: str) -> Iterator[Member]:
    """The members of the tar in the open, seekable `file` that are no folders, in its order.

    A tar that ends too early gives a flawed last member for all that is lost; tars written one
    after the other are read as one. Between two members the caller may read from `file` where it
    likes.

    Raises:
        CaptionerError: if it is no tar, or a compressed one.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with _open_tar(file, uri) as archive:
        yield from _walk(archive, file, size)


def _open_tar(file: Any, uri: str) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:", encoding="utf-8")
    except _DAMAGE as error:
        raise CaptionerError(
            f"{uri}: got no tar file ({one_line(error)}), expected an uncompressed one; decompress "
            "it first if it is compressed, for its members are read in place"
        ) from error


def _walk(archive: tarfile.TarFile, file: Any, size: int) -> Iterator[Member]:
    at = 0
    while True:
        try:
            info = archive.next()
        except _DAMAGE as error:
            yield _rest(at, size, one_line(error))
            return
        # The library would keep every header.
        archive.members = []  # type: ignore[attr-defined]
        if info is None:
            following = _end_of_zeros(file, at)
            if following == at:
                # The library takes a damaged header for the end, as it does the end of the file.
                yield _rest(at, size, "neither a header nor the mark that ends a tar")
                return
            if following - at > _MOST_ZEROS:
                yield _rest(at, size, "zeros for members, as a copy broken off leaves them,")
                return
            if not _is_header(file, following):
                return
            archive.offset = at = following
            continue
        if archive.offset <= at:
            # A damaged header may point backwards: it would be walked for ever.
            yield _rest(at, size, "a header that points backwards")
            return
        end = info.offset_data + info.size
        if info.isreg() and end > size:
            # Not as itself, which may have a row: it stands for all members that were behind it.
            yield _rest(at, size, f"a member {info.name!r} that would end at byte {end},")
            return
        at = archive.offset
        if info.isdir():
            continue
        what = (_flaw_of(info), _modified_usec(info))
        yield Member(info.name, info.size, info.offset_data, *what)


def _end_of_zeros(file: Any, at: int) -> int:
    """Where the zeros end that begin at `at` with a whole block; `at` if there is none.

    Of no more zeros than `_MOST_ZEROS` and a block: what is behind so many is not looked at.
    """
    file.seek(at)
    if file.read(_BLOCK) != bytes(_BLOCK):
        return at
    end = at + _BLOCK
    while end - at <= _MOST_ZEROS and (block := file.read(_BLOCK)) and not any(block):
        end += len(block)
    return end


def _is_header(file: Any, at: int) -> bool:
    """Whether another tar begins at `at`, as in ``cat a.tar b.tar``, and not the end of the file.

    Other programs append what they like to a tar.
    """
    file.seek(at)
    try:
        tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
    except _DAMAGE:
        return False
    return True


def _rest(at: int, size: int, got: str) -> Member:
    flaw = (
        f"truncated: got {got} at byte {at} of {size}; members from there on are lost, copy the "
        "tar file anew"
    )
    return Member(f"@{at}", max(0, size - at), at, flaw, is_last=True)


def _modified_usec(info: tarfile.TarInfo) -> int | None:
    # Headers hold any number, many of them 0 so that the tar is the same whenever it is packed.
    return int(info.mtime * 1e6) if 0 < info.mtime < _LATEST_SEC else None


def _flaw_of(info: tarfile.TarInfo) -> str | None:
    if info.issparse():
        return "unreadable: the member is stored sparse; pack it without --sparse"
    if not info.isreg():
        kind = f"a link to {info.linkname!r}" if info.issym() or info.islnk() else "no file"
        return f"unreadable: the member is {kind}; pack it with --dereference --hard-dereference"
    return None
