"""Ranges of files: members of tars, pictures of the pixel store."""

import threading
from typing import Any

from pipelines import files
from pipelines.archives.open_files import OpenFiles

# Where a process reads a far archive at a time: as many units of it as it captions.
PLACES = 8


class _SharedFile:
    """A file of which threads read ranges, one after the other.

    Args:
        uri: opened when it is first read.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._file: Any = None

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on, fewer where the file ends."""
        with self._lock:
            self._file = self._file or files.open_bytes(self.uri, PLACES)
            self._file.seek(offset)
            return self._file.read(size)

    def close(self) -> None:
        """Closes the file; the next `read` opens it anew."""
        with self._lock:
            if self._file:
                self._file.close()
            self._file = None


_far: OpenFiles[_SharedFile] = OpenFiles(limit=4)


def read_range(uri: str, offset: int, size: int) -> bytes:
    """The `size` bytes of `uri` from `offset` on.

    Raises:
        OSError: if it cannot be read, or ends before.
    """
    if files.is_local(uri):
        # Opened each time: threads that shared a file would wait for each other.
        with files.open_bytes(uri) as file:
            file.seek(offset)
            data = file.read(size)
    else:
        # Each thread by itself would fetch a block of many ranges to read its one.
        with _far.borrow(lambda one: one.uri == uri, lambda: _SharedFile(uri)) as shared:
            data = shared.read(offset, size)
    if len(data) != size:
        raise OSError(f"{uri}: truncated: got {len(data)} bytes at {offset}, expected {size}")
    return data


def close_ranges() -> None:
    """Closes the far files that this process keeps open, but those in use."""
    _far.close()
