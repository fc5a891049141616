"""Reading and decoding pictures: a bounded number ahead of whoever takes them."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from apache_beam.io.filesystem import BeamIOError

from model.config import ImageConfig
from model.image import DecodedImage, ImageError, decode_image
from pipelines.archives.containers import is_parquet_row, read_image_bytes
from pipelines.records import ImageFile

Item = TypeVar("Item")
Result = TypeVar("Result")

# Pillow and file reads release the GIL: threads decode while the caller computes.
DECODE_THREADS = min(16, os.cpu_count() or 1)
_AHEAD_PER_THREAD = 4
# Larger than any scan; a zip member may claim more than there is memory.
MAX_FILE_BYTES = 2 << 30


@dataclass(frozen=True)
class ReadImage:
    """A picture file read and decoded, or the reason why not.

    Attributes:
        decoded: pixels and what the file says, or None.
        reason: `missing`, `unreadable` or another reason of `ImageError`; None if decoded.
        error: the message that goes with the reason.
        sha256: of the file's bytes, in hexadecimal; None if it could not be read.
        byte_size: bytes read; None if it could not be read.
        read_sec: time that reading took.
        decode_sec: time that decoding took.
    """

    decoded: DecodedImage | None
    reason: str | None
    error: str | None
    sha256: str | None
    byte_size: int | None
    read_sec: float = 0.0
    decode_sec: float = 0.0


def read_image(image: ImageFile, config: ImageConfig) -> ReadImage:
    """Reads and decodes one picture; a picture that fails is a result, not an exception."""
    if image.flaw:
        flaw, _, message = image.flaw.partition(": ")
        return ReadImage(None, flaw, message, None, None)
    if image.byte_size > MAX_FILE_BYTES and not is_parquet_row(image):
        message = f"got a file of {image.byte_size} bytes, expected at most {MAX_FILE_BYTES}"
        return ReadImage(None, "bomb", message, None, image.byte_size)
    started = time.perf_counter()
    try:
        data = read_image_bytes(image)
    except (OSError, BeamIOError) as failure:
        missing = isinstance(failure, FileNotFoundError)
        message = f"{type(failure).__name__}: {failure}"
        return ReadImage(None, "missing" if missing else "unreadable", message, None, None)
    was_read = time.perf_counter()
    sha256 = hashlib.sha256(data).hexdigest()
    decoded, reason, error = _decode(data, config)
    seconds = (was_read - started, time.perf_counter() - was_read)
    return ReadImage(decoded, reason, error, sha256, len(data), *seconds)


def _decode(data: bytes, config: ImageConfig) -> tuple[DecodedImage | None, str | None, str | None]:
    """The picture, or reason and message of its failure."""
    try:
        return decode_image(data, config), None, None
    except ImageError as error:
        return None, error.reason, str(error)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = DECODE_THREADS
) -> Iterator[Result]:
    """Like `map`, in order, with at most `4 * threads` results computed ahead of the caller."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) >= _AHEAD_PER_THREAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
