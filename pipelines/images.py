"""Reading and decoding pictures: a bounded number ahead of whoever takes them."""

import hashlib
import os
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
    """

    decoded: DecodedImage | None
    reason: str | None
    error: str | None
    sha256: str | None
    byte_size: int | None


def read_image(image: ImageFile, config: ImageConfig) -> ReadImage:
    """Reads and decodes one picture; a picture that fails is a result, not an exception."""
    if image.flaw:
        reason, _, error = image.flaw.partition(": ")
        return ReadImage(None, reason, error, None, None)
    if image.byte_size > MAX_FILE_BYTES and not is_parquet_row(image):
        error = f"got a file of {image.byte_size} bytes, expected at most {MAX_FILE_BYTES}"
        return ReadImage(None, "bomb", error, None, image.byte_size)
    try:
        data = read_image_bytes(image)
    except (OSError, BeamIOError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "missing" if missing else "unreadable"
        return ReadImage(None, reason, f"{type(error).__name__}: {error}", None, None)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        decoded = decode_image(data, config)
    except ImageError as error:
        return ReadImage(None, error.reason, str(error), sha256, len(data))
    return ReadImage(decoded, None, None, sha256, len(data))


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
