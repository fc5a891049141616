"""Zip files read in place: the directory at their end once, then any member."""

import bz2
import contextlib
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.members import Member
from pipelines.texts import one_line

_ENCRYPTED = 0x1
_NAMED_IN_UTF8 = 0x800
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
# The least that the library takes from the file at a time, of which LZMA makes 30 MB at most.
_PIECE_BYTES = 1 << 12
# Where the lengths of the name and of the extra field are in the header before a member.
_LENGTHS_AT = 26


def _open_zip(file: Any, uri: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CaptionerError(
            f"{uri}: got no whole zip file ({one_line(error)}); copy or pack it anew"
        ) from error


def walk_zip(file: Any, uri: str) -> Iterator[Member]:
    """The members of the zip in the open, seekable `file` that are no folders, in its order.

    Raises:
        CaptionerError: if it is no zip file.
    """
    with _open_zip(file, uri) as archive:
        for info in archive.infolist():
            if not info.filename.endswith("/"):  # is_dir() takes no empty name
                yield Member(_name_of(info), info.file_size, flaw=_flaw_of(info))


def _name_of(info: zipfile.ZipInfo) -> str:
    """The member's name: macOS writes UTF-8 without the flag of it, which is read as CP437."""
    if info.flag_bits & _NAMED_IN_UTF8:
        return info.filename
    try:
        # What else CP437 spells is no UTF-8 but by an odd chance.
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _flaw_of(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "encrypted: the member needs a password; pack it without"
    if info.compress_type not in _METHODS:
        return (
            f"unreadable: the member is compressed by method {info.compress_type}, expected "
            "stored, deflate, bzip2 or LZMA; pack it anew"
        )
    return None


class ZipReader:
    """Reads members of a zip file from several threads; its directory is read once, when needed.

    Args:
        uri: the zip file.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._opened = contextlib.ExitStack()
        self._archive: zipfile.ZipFile | None = None
        self._members: dict[str, zipfile.ZipInfo] = {}

    def read(self, member: str) -> bytes:
        """The bytes of the first member of this name; hardly more than it claims are unpacked.

        Raises:
            KeyError: if there is none.
            Exception: what `zipfile` and its decompressors raise on damage.
        """
        with self._lock:
            archive = self._archive = self._archive or self._open()
        info = self._members[member]
        # The standard library's own lock keeps the reads of several members apart.
        with archive.open(info) as file:
            if info.compress_type == zipfile.ZIP_BZIP2:
                return self._read_bzip2(info)
            if info.compress_type == zipfile.ZIP_LZMA:
                return b"".join(iter(lambda: file.read(_PIECE_BYTES), b""))
            # With a number alone deflate is told where to stop.
            return file.read(info.file_size)

    def _read_bzip2(self, info: zipfile.ZipInfo) -> bytes:
        """The library would unpack all that there is: gigabytes of a member of some kilobytes."""
        with files.open_bytes(self.uri) as file:
            file.seek(info.header_offset + _LENGTHS_AT)
            file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
            with bz2.BZ2File(file) as unpacked:
                data = unpacked.read(info.file_size)
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise zipfile.BadZipFile(f"bad CRC-32 or length of {info.filename!r}")
        return data

    def _open(self) -> zipfile.ZipFile:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(files.open_bytes(self.uri))
            archive = stack.enter_context(zipfile.ZipFile(file))
            # The first of a name, as the listing has it.
            self._members = {_name_of(info): info for info in reversed(archive.infolist())}
            self._opened = stack.pop_all()
        return archive

    def close(self) -> None:
        """Closes the file; the next `read` opens it anew."""
        with self._lock:
            self._archive = None
            self._opened.close()
