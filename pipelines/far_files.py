"""Files of clouds: read in blocks that stay a while, with failures that all else understands."""

import contextlib
import io
import os
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

# What Beam's clients fetch at least, however little is asked for.
BLOCK_BYTES = 16 << 20


class FarFile(io.RawIOBase):
    """A file of a cloud, open for reading.

    Its client forgets what it has fetched once something else is asked for. Threads that read
    members of one archive in turns would have it fetch all of them many times over; here the blocks
    used last stay.

    Args:
        uri: names the file in messages.
        file: as its client opens it.
        blocks: how many stay.
        block_bytes: size of one.
    """

    def __init__(self, uri: str, file: Any, blocks: int, block_bytes: int = BLOCK_BYTES) -> None:
        super().__init__()
        self._uri, self._file = uri, file
        self._most, self._block_bytes = blocks, block_bytes
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
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
        if number not in self._blocks:
            while len(self._blocks) >= self._most:
                self._blocks.popitem(last=False)
            with failures_of(self._uri):
                self._file.seek(number * self._block_bytes)
                self._blocks[number] = memoryview(self._file.read(self._block_bytes))
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def close(self) -> None:
        """Closes the file and lets go of its blocks."""
        if not self.closed:
            self._blocks.clear()
            self._file.close()
        super().close()


def open_far(uri: str, blocks: int) -> io.BufferedReader:
    """Opens `uri` for reading bytes as they are stored, seekable.

    Raises:
        OSError: if it cannot be opened; a `FileNotFoundError` if it is not there.
    """
    with failures_of(uri):
        file = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    return io.BufferedReader(FarFile(uri, file, blocks))


@contextlib.contextmanager
def failures_of(uri: str) -> Iterator[None]:
    """Makes an `OSError` of what a cloud's client raises, whose exceptions are of its own.

    Raises:
        FileNotFoundError: if `uri` is not there.
    """
    try:
        yield
    except (OSError, ValueError):  # a ValueError: no file system of this scheme is installed
        raise
    except Exception as error:
        kind = OSError
        with contextlib.suppress(Exception):  # not even that may be asked
            kind = OSError if FileSystems.exists(uri) else FileNotFoundError
        raise kind(f"{uri}: {type(error).__name__}: {error}") from error
