"""The one writer of files: whole under their final name, or not there at all."""

import contextlib
import fnmatch
import hashlib
import os
import shutil
import stat
import tempfile
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines.far_files import failures_of, open_far

LOCAL_SCHEME = "file://"
# Readers of a Parquet dataset (pyarrow, Spark, DuckDB's *.parquet) pass such names over.
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = "_", ".tmp"


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine's file system."""
    return "://" not in uri


def normalise_path(path: str) -> str:
    """`path` in the one spelling that rows have: without ``..``, with one slash at its start.

    POSIX leaves two slashes there to the system, and so does Python; to Linux they are one.
    """
    normal = os.path.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


def without_local_scheme(uri: str) -> str:
    """The path that ``file:///…`` names, its blanks as they are or as ``%20``; others unchanged."""
    if not uri.startswith(LOCAL_SCHEME):
        return uri
    path = uri.removeprefix(LOCAL_SCHEME).removeprefix("localhost")
    return path if os.path.lexists(path) else urllib.parse.unquote(path)


@contextlib.contextmanager
def atomic_path(uri: str) -> Iterator[str]:
    """Yields a local path to write; on success it becomes `uri`, on failure it is gone.

    On a local disk the file is written beside its final name and renamed; elsewhere it is written
    to a temporary disk and copied as a single object. An existing file is replaced. Folders are
    made as needed, and are gone after a failure too.

    Args:
        uri: the file's final name.
    """
    if is_local(uri):
        folder, name = os.path.split(uri)
        made = _make_folders(Path(folder))
        temporary = os.path.join(folder, temporary_name(f"{name}.{uuid.uuid4().hex}"))
        try:
            yield temporary
            os.replace(temporary, uri)
        except BaseException:
            if os.path.lexists(temporary):
                os.remove(temporary)
            with contextlib.suppress(OSError):  # others may have written there
                for path in made:
                    path.rmdir()
            raise
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = os.path.join(folder, "file")
        yield temporary
        with failures_of(uri), open(temporary, "rb") as source, create(uri) as target:
            shutil.copyfileobj(source, target, 1 << 20)


def flush(path: str) -> None:
    """Puts the bytes of the local file `path` on the disk: no power cut leaves half of it then."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _make_folders(folder: Path) -> list[Path]:
    """Makes `folder` and those above it that are missing; returns them, the deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def write_text(uri: str, text: str) -> None:
    """Writes `text` as UTF-8 under `uri`, whole or not at all."""
    with atomic_path(uri) as path:
        Path(path).write_text(text, encoding="utf-8")


def create(uri: str) -> Any:
    """Opens `uri` for writing bytes, never compressed whatever its suffix.

    At least one byte: what Beam uploads to S3 goes in parts, of which there must be one.
    """
    return FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED)


def open_bytes(uri: str) -> Any:
    """Opens `uri` for reading bytes as they are stored, seekable.

    Raises:
        OSError: if it cannot be opened; a `FileNotFoundError` if it is not there. So does what is
            opened, if it cannot be read.
    """
    if is_local(uri):
        return FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return open_far(uri)


def size_and_time(status: os.stat_result) -> tuple[int, int]:
    """Bytes of a local file, and when it last changed, in microseconds since 1970."""
    return status.st_size, status.st_mtime_ns // 1000


def flaw_of_kind(status: os.stat_result) -> str | None:
    """What is wrong with a picture that is no file: to read it may take for ever."""
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return None
    return "unreadable: it is a pipe, a socket or a device, and no file"


def modified_usec(uri: str) -> int | None:
    """When `uri` last changed, in microseconds since 1970; None if its file system does not tell.

    Raises:
        OSError: if it is a local file that is not there.
    """
    if is_local(uri):
        return size_and_time(os.stat(uri))[1]
    try:
        return int(FileSystems.last_updated(uri) * 1e6) or None
    except (BeamIOError, NotImplementedError):
        return None


def read_bytes(uri: str) -> bytes:
    """The bytes of `uri` as they are stored."""
    with open_bytes(uri) as file:
        return file.read()


def sha256_of(uri: str) -> str:
    """The SHA-256 of the file `uri`, in hexadecimal."""
    with open_bytes(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def delete_tree(uri: str) -> None:
    """Deletes the folder `uri` and all in it, if it is there."""
    if is_local(uri):
        shutil.rmtree(uri, ignore_errors=True)
        return
    # A cloud has no folder to delete, but TensorFlow leaves empty objects that stand for some.
    objects = [metadata.path for metadata in match(uri.rstrip("/") + "/**")]
    objects.sort(key=lambda path: path.endswith("/"))  # these last: Beam deletes what is in them
    if objects:
        FileSystems.delete(objects)


def temporary_name(name: str) -> str:
    """A name that readers of Parquet pass over and `delete_temporaries` deletes."""
    return f"{_TEMPORARY_PREFIX}{name}{_TEMPORARY_SUFFIX}"


def delete_temporaries(folder: str, keep: str | None = None) -> int:
    """Deletes the temporary files below `folder`; returns how many.

    They are what a killed writer left, or another one is about to rename: its file is gone then.

    Args:
        keep: URI of one that stays.
    """
    pattern = temporary_name("*")
    found = [uri for uri in list_tree(folder) if uri != keep]
    leftovers = [uri for uri in found if fnmatch.fnmatchcase(os.path.basename(uri), pattern)]
    for uri in leftovers:
        delete(uri)
    return len(leftovers)


def delete(uri: str) -> None:
    """Deletes the file `uri`, if it is there."""
    if is_local(uri):
        # Beam would take the name for a pattern, and delete other files.
        Path(uri).unlink(missing_ok=True)
        return
    try:
        FileSystems.delete([uri])
    except BeamIOError:
        if FileSystems.exists(uri):
            raise


def exists(uri: str) -> bool:
    """Whether there is a file `uri`.

    Raises:
        CaptionerError: if its file system does not say, as where one may not look.
    """
    try:
        return FileSystems.exists(uri)
    except BeamIOError as error:
        raise CaptionerError(
            f"{uri} cannot be looked for: {error}; check the path, and your rights to it"
        ) from error


def match(pattern: str) -> list[FileMetadata]:
    """The files that `pattern` matches; one without wildcards matches itself.

    Raises:
        CaptionerError: if they cannot be listed.
    """
    try:
        (found,) = FileSystems.match([pattern])
    except BeamIOError as error:
        raise CaptionerError(
            f"{pattern} cannot be listed: {error}; check the path, and your rights to it"
        ) from error
    return found.metadata_list


def list_tree(folder: str) -> list[str]:
    """The URIs of all files below `folder`, sorted.

    Raises:
        CaptionerError: if they cannot be listed.
    """
    if is_local(folder):
        return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
    found = (metadata.path for metadata in match(folder.rstrip("/") + "/**"))
    return sorted(uri for uri in found if not uri.endswith("/"))  # an empty object, for a folder


def copy_tree(source: str, target: str) -> None:
    """Copies all files below `source` but hidden ones to below `target`, each whole or not."""
    for name in (os.path.relpath(uri, source) for uri in list_tree(source)):
        if any(part.startswith(".") for part in name.split("/")):
            continue
        with (
            open_bytes(f"{source}/{name}") as file,
            atomic_path(f"{target}/{name}") as path,
            open(path, "wb") as copy,
        ):
            shutil.copyfileobj(file, copy)


def move_tree(source: str, target: str, last: str, leave: str) -> None:
    """Moves all files below `source` to below `target`, then deletes `source`.

    Args:
        last: name of the commit marker, which goes last: where it is, the rest is whole.
        leave: name of a file that is not moved.
    """
    names = [os.path.relpath(file, source) for file in list_tree(source)]
    names = [name for name in names if name != leave]
    for name in sorted(names, key=lambda name: name == last):
        goal = FileSystems.join(target, name)
        if is_local(target):
            os.makedirs(os.path.dirname(goal), exist_ok=True)
        FileSystems.rename([FileSystems.join(source, name)], [goal])
    delete_tree(source)
