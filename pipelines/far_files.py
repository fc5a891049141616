"""Files of clouds: read in blocks that stay a while, with failures that all else understands."""

import contextlib
import io
import itertools
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.s3_clients import share_s3_clients

share_s3_clients()


def _without_traceback(record: logging.LogRecord) -> bool:
    """Makes one line of what Beam logs of a try that failed and is repeated."""
    record.msg, record.args = record.getMessage().partition(" Traceback for")[0].strip(), ()
    return True


def _is_told_once(record: logging.LogRecord) -> bool:
    """Whether it is none of what S3's client both logs, with a traceback, and raises."""
    return not str(record.msg).startswith(("Error in _start_upload", "HTTP error while"))


logging.getLogger("apache_beam.utils.retry").addFilter(_without_traceback)
logging.getLogger().addFilter(_is_told_once)

# What Beam's clients fetch at least, however little is asked for.
BLOCK_BYTES = 16 << 20


class Blocks:
    """The blocks used last, of all far files of a process.

    Args:
        most: how many stay.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], memoryview] = OrderedDict()

    def find(self, file: int, number: int) -> memoryview | None:
        """Block `number` of `file`, if it is still there."""
        with self._lock:
            if (file, number) not in self._kept:
                return None
            self._kept.move_to_end((file, number))
            return self._kept[file, number]

    def keep(self, file: int, number: int, block: memoryview) -> None:
        """Adds a block, in place of the one not used for longest."""
        with self._lock:
            self._kept[file, number] = block
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def drop(self, file: int) -> None:
        """Lets go of all blocks of `file`."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == file]:
                del self._kept[key]


# A quarter of a gigabyte: as many places in archives may be read in turns.
_BLOCKS = Blocks(most=16)
_numbers = itertools.count()


class FarFile(io.RawIOBase):
    """A file of a cloud, open for reading.

    Its client forgets what it has fetched once something else is asked for. Threads that read
    members of one archive in turns would have it fetch all of them many times over; here the blocks
    used last stay.

    Args:
        uri: names the file in messages.
        file: as its client opens it.
        blocks: where they stay.
        block_bytes: size of one.
    """

    def __init__(
        self, uri: str, file: Any, blocks: Blocks = _BLOCKS, block_bytes: int = BLOCK_BYTES
    ) -> None:
        super().__init__()
        self._uri, self._file = uri, file
        self._blocks, self._block_bytes = blocks, block_bytes
        self._number = next(_numbers)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to `offset` bytes from the start, the position or the end, as `io` has it."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            with failures_of(self._uri):
                offset += self._file.seek(0, os.SEEK_END)
        if offset < 0:
            raise ValueError(f"got the position {offset} of {self._uri}, expected none below 0")
        self._position = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer` as far as one block reaches; returns the bytes, at the end 0."""
        number, start = divmod(self._position, self._block_bytes)
        part = self._block(number)[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def readall(self) -> bytes:
        """All that follows, fetched at once."""
        with failures_of(self._uri):
            self._file.seek(self._position)
            data = self._file.read()
        self._position += len(data)
        return data

    def _block(self, number: int) -> memoryview:
        block = self._blocks.find(self._number, number)
        if block is None:
            with failures_of(self._uri):
                self._file.seek(number * self._block_bytes)
                block = memoryview(self._file.read(self._block_bytes))
            if block:  # there is none at the end
                self._blocks.keep(self._number, number, block)
        return block

    def close(self) -> None:
        """Closes the file and lets go of its blocks."""
        if not self.closed:
            self._blocks.drop(self._number)
            try:
                self._file.close()
            finally:
                super().close()


def open_far(uri: str) -> io.BufferedReader:
    """Opens `uri` for reading bytes as they are stored, seekable.

    Raises:
        OSError: if it cannot be opened; a `FileNotFoundError` if it is not there.
    """
    with failures_of(uri, opened=True):
        file = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return io.BufferedReader(FarFile(uri, file))


@contextlib.contextmanager
def failures_of(uri: str, opened: bool = False) -> Iterator[None]:
    """Makes an `OSError` of what a cloud's client raises, whose exceptions are of its own.

    Args:
        opened: whether it is opened for reading within, and a `FileNotFoundError` if it is not
            there.
    """
    try:
        yield
    except (OSError, ValueError):  # a ValueError: no file system of this scheme is installed
        raise
    except Exception as error:
        missing = False
        with contextlib.suppress(Exception):  # not even that may be asked
            missing = opened and not FileSystems.exists(uri)
        kind = FileNotFoundError if missing else OSError
        raise kind(f"{uri}: {type(error).__name__}: {error}") from error
