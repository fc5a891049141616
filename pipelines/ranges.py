"""Ranges of files: members of tars, pictures of the pixel store."""

import threading
import time
from typing import Any

from pipelines import files
from pipelines.archives.open_files import OpenFiles

# A block takes a few seconds at most: a read that has not come by then may never come.
_HUNG_SEC = 20.0


class _SharedFile:
    """A file of which threads read ranges, one after the other.

    Attributes:
        uri: opened when it is first read.
        hung: whether a thread waits for bytes that do not come.
    """

    def __init__(self, uri: str) -> None:
        self.uri, self.hung = uri, False
        self._lock = threading.Lock()
        # When the thread that reads began to; None if none does.
        self._reading_since: float | None = None
        self._file: Any = None

    def read(self, offset: int, size: int) -> bytes | None:
        """At most `size` bytes from `offset` on, fewer where the file ends; None if it is hung."""
        # Over a slow line many reads of some seconds each are waited for: those are not one.
        while not self._lock.acquire(timeout=_HUNG_SEC / 8):
            since = self._reading_since
            if since is not None and time.monotonic() - since > _HUNG_SEC:
                self.hung = True
                return None
        try:
            self._reading_since = time.monotonic()
            self._file = self._file or files.open_bytes(self.uri)
            self._file.seek(offset)
            return self._file.read(size)
        finally:
            self._reading_since = None
            self._lock.release()

    def close(self) -> None:
        """Closes the file, which no thread reads any more."""
        if self._file:
            self._file.close()


_far: OpenFiles[_SharedFile] = OpenFiles(limit=16)


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
        data = _read_shared(uri, offset, size)
    if len(data) != size:
        raise OSError(f"{uri}: truncated: got {len(data)} bytes at {offset}, expected {size}")
    return data


def _read_shared(uri: str, offset: int, size: int) -> bytes:
    """Each thread by itself would fetch a block of many ranges to read its one."""
    data = None
    while data is None:
        with _far.borrow(
            lambda one: one.uri == uri and not one.hung, lambda: _SharedFile(uri)
        ) as shared:
            data = shared.read(offset, size)
    return data


def close_ranges() -> None:
    """Closes the far files that this process keeps open, but those in use."""
    _far.close()
