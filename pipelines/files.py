"""The one writer of files: whole under their final name, or not there at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError

_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))
# Readers of a Parquet dataset (pyarrow, Spark, DuckDB's *.parquet) pass such names over.
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = "_", ".tmp"


def is_local(uri: str) -> bool:
    """Whether `uri` is a path of this machine's file system."""
    return "://" not in uri


@contextlib.contextmanager
def atomic_path(uri: str) -> Iterator[str]:
    """Yields a local path to write; on success it becomes `uri`, on failure it is gone.

    On a local disk the file is written beside its final name and renamed; elsewhere it is written
    to a temporary disk and copied as a single object. An existing file is replaced. Folders are
    made as needed, and are gone after a failure too.
    """
    if is_local(uri):
        folder, name = os.path.split(uri)
        made = _make_folders(Path(folder))
        unique = f"{_TEMPORARY_PREFIX}{name}.{uuid.uuid4().hex}{_TEMPORARY_SUFFIX}"
        temporary = os.path.join(folder, unique)
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
        with open(temporary, "rb") as source, create(uri) as target:
            shutil.copyfileobj(source, target, 1 << 20)


def _make_folders(folder: Path) -> list[Path]:
    """Makes `folder` and those above it that are missing; returns them, the deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


@contextlib.contextmanager
def full_disk_told() -> Iterator[None]:
    """Makes a full disk, or a full quota, an error that the user can mend.

    Raises:
        CaptionerError: in place of whatever says so: a runner gives its workers' exceptions as text
            only, TensorFlow's own among them.
    """
    try:
        yield
    except Exception as error:
        told = next((text for text in _FULL if text in str(error)), None)
        if told is None:
            raise
        raise CaptionerError(f"{told}; free some and run the command again") from error


def write_text(uri: str, text: str) -> None:
    """Writes `text` as UTF-8 under `uri`, whole or not at all."""
    with atomic_path(uri) as path:
        Path(path).write_text(text, encoding="utf-8")


def create(uri: str) -> Any:
    """Opens `uri` for writing bytes, never compressed whatever its suffix."""
    return FileSystems.create(uri, compression_type=CompressionTypes.UNCOMPRESSED)


def open_bytes(uri: str) -> Any:
    """Opens `uri` for reading bytes as they are stored, seekable.

    Raises:
        OSError: if it cannot be opened; a `FileNotFoundError` if it is not there.
    """
    try:
        return FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    except (OSError, ValueError):  # a ValueError: no file system of this scheme is installed
        raise
    except Exception as error:
        # Clients of clouds raise exceptions of their own.
        kind = OSError if FileSystems.exists(uri) else FileNotFoundError
        raise kind(f"{uri}: {type(error).__name__}: {error}") from error


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
    elif objects := list_tree(uri):  # a cloud has no folder to delete
        FileSystems.delete(objects)


def delete_temporaries(folder: str) -> int:
    """Deletes what a killed writer left in the local `folder`; returns how many files."""
    if not is_local(folder):
        return 0  # a single object write leaves nothing behind
    pattern = f"{_TEMPORARY_PREFIX}*{_TEMPORARY_SUFFIX}"
    leftovers = list(Path(folder).rglob(pattern))
    for path in leftovers:
        path.unlink()
    return len(leftovers)


def list_tree(folder: str) -> list[str]:
    """The URIs of all files below `folder`, sorted."""
    if is_local(folder):
        return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
    (match,) = FileSystems.match([folder.rstrip("/") + "/**"])
    return sorted(metadata.path for metadata in match.metadata_list)


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
