"""Pictures inside of tar, zip and Parquet files: listed and read in place, never extracted."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator

import pyarrow as pa

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.members import SkippedFiles, list_members, suffix_of
from pipelines.archives.open_files import OpenFiles
from pipelines.archives.parquet_images import RowCursor, column_of_member, list_rows
from pipelines.archives.tars import walk_tar
from pipelines.archives.zips import ZipReader, walk_zip
from pipelines.ranges import close_ranges, read_range
from pipelines.records import ImageFile
from pipelines.texts import one_line

_ZIP, _PARQUET = ".zip", ".parquet"
_WALKS = {".tar": walk_tar, _ZIP: walk_zip}
_COMPRESSED_TARS = tuple(
    ".tgz .tbz2 .txz .tzst .tar.gz .tar.bz2 .tar.xz .tar.zst .tar.lz4 .tar.z".split()
)
# What the standard library and Arrow raise on damaged files, if it is no OSError anyway.
_DAMAGE = (
    zipfile.BadZipFile,
    LookupError,
    RuntimeError,
    EOFError,
    MemoryError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    pa.ArrowException,
    CaptionerError,
)

# A zip file's directory may fill hundreds of megabytes.
_zips: OpenFiles[ZipReader] = OpenFiles(limit=4)
# More than one for a file where several threads work on distant rows.
_cursors: OpenFiles[RowCursor] = OpenFiles(limit=16)


def check_not_compressed(uri: str) -> None:
    """Checks that `uri` is no compressed tar.

    Raises:
        CaptionerError: if it is one by its name.
    """
    if uri.lower().endswith(_COMPRESSED_TARS):
        raise CaptionerError(
            f"{uri}: got a compressed tar, expected an uncompressed one; decompress it first, for "
            "its members are read in place"
        )


def is_archive(uri: str) -> bool:
    """Whether `uri` is a tar or a zip file by its name."""
    return suffix_of(uri) in _WALKS


def is_container(uri: str) -> bool:
    """Whether `uri` is a tar, a zip or a Parquet file by its name."""
    return is_archive(uri) or suffix_of(uri) == _PARQUET


def list_container(
    uri: str, skipped: SkippedFiles, image_column: str | None = None
) -> Iterator[ImageFile]:
    """The pictures in a tar, zip or Parquet file, in the file's order, without reading them.

    Args:
        uri: its name ends in ``.tar``, ``.zip`` or ``.parquet``.
        skipped: counts the members of a tar or zip file that are no pictures by their names.
        image_column: column of the pictures in a Parquet file; found if None.

    Raises:
        CaptionerError: if it is missing, damaged from its start, of another kind or compressed.
    """
    check_not_compressed(uri)
    suffix = suffix_of(uri)
    if suffix == _PARQUET:
        yield from list_rows(uri, image_column)
        return
    if suffix not in _WALKS:
        kinds = ", ".join([*_WALKS, _PARQUET])
        raise CaptionerError(f"{uri}: got a file of another kind, expected one of {kinds}")
    try:
        with files.open_bytes(uri) as file:
            yield from list_members(uri, _WALKS[suffix](file, uri), skipped)
    except OSError as error:
        raise CaptionerError(f"{uri} cannot be read: {one_line(error)}; check the path") from error


def is_parquet_row(image: ImageFile) -> bool:
    """Whether the picture is a row of a Parquet file: its `byte_size` is that file's then."""
    return image.container is not None and suffix_of(image.container) == _PARQUET


def is_zip_member(image: ImageFile) -> bool:
    """Whether the picture is a member of a zip: its time is that of a zone which is not told."""
    return image.container is not None and suffix_of(image.container) == _ZIP


def read_image_bytes(image: ImageFile) -> bytes:
    """The bytes of a picture, in a file of its own or in a container.

    Raises:
        OSError: if it cannot be read, whatever the cause.
    """
    if image.flaw is not None:
        raise OSError(image.flaw)
    try:
        if image.container is None:
            return files.read_bytes(image.uri)
        return _read_member(image, image.container)
    except _DAMAGE as error:
        raise OSError(f"{image.uri}: {type(error).__name__}: {one_line(error)}") from error


def _read_member(image: ImageFile, container: str) -> bytes:
    suffix, member, offset = suffix_of(container), image.member or "", image.offset
    if suffix == _ZIP:
        with _zips.borrow(lambda one: one.uri == container, lambda: ZipReader(container)) as reader:
            return reader.read(member)
    if offset is None:
        raise ValueError(f"got no offset in {container}, expected the one that its listing gave")
    if suffix == ".tar":
        return read_range(container, offset, image.byte_size)
    column = column_of_member(member)

    def reads(one: RowCursor) -> bool:
        return (one.uri, one.image_column) == (container, column)

    with _cursors.borrow(
        lambda one: reads(one) and one.is_near(offset),
        lambda: RowCursor(container, column, offset),
        lambda one: one.skipped_before(offset) if reads(one) else None,
    ) as cursor:
        return cursor.read(offset)


def close_containers() -> None:
    """Closes the containers that this process keeps open, but those in use."""
    _zips.close()
    close_ranges()
    _cursors.close()
