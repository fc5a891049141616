"""Reading and decoding pictures: a bounded number ahead of whoever takes them."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from apache_beam.io.filesystem import BeamIOError

from model.config import ImageConfig
from model.errors import CaptionerError
from model.image import DecodedImage, ImageError, decode_image
from pipelines.archives.containers import is_parquet_row, read_image_bytes
from pipelines.files import is_local
from pipelines.records import ImageFile
from pipelines.threads import AHEAD_PER_THREAD, THREADS, Room, map_ahead

Prepared = TypeVar("Prepared")

STALLED = "stalled"
# Thirty years; some centuries are more than threads can wait.
_LONGEST_SEC = 1_000_000_000
# Larger than any scan; a zip member may claim more than there is memory.
MAX_FILE_BYTES = 2 << 30
# A far picture is waited for, for a tenth of a second and more.
_FAR_THREADS = 32
# However many threads read: more at a time would take longer, and memory. None waits for ever for
# those that are stalled.
_decoders = threading.BoundedSemaphore(THREADS)
_DECODER_SEC = 10.0
# Memory for pictures that are decoded at a time. A satellite's or a scanner's of 100 megapixels may
# take 1.4 GB, as a JPEG some MB: those of cameras do not wait for one another.
_room = Room(4 << 30, limit_sec=60.0)


def check_read_timeout(seconds: float) -> None:
    """Raises:
    CaptionerError: if `seconds` is no ``--read-timeout-sec``.
    """
    if not 0 < seconds <= _LONGEST_SEC:
        raise CaptionerError(
            f"--read-timeout-sec: got {seconds}, expected seconds above 0, at most {_LONGEST_SEC}"
        )


@dataclass(frozen=True)
class ReadImage:
    """A picture file read and decoded, or the reason why not.

    Attributes:
        decoded: pixels and what the file says, or None.
        reason: `missing`, `unreadable`, `changed` (not the bytes of `ImageFile.sha256`), `stalled`
            or another reason of `ImageError`; None if decoded.
        error: the message that goes with the reason.
        sha256: of the file's bytes, in hexadecimal; None if it was not asked for, or could not be
            read.
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


def read_image(image: ImageFile, config: ImageConfig, hashed: bool = False) -> ReadImage:
    """Reads and decodes one picture; a picture that fails is a result, not an exception.

    Args:
        image: where it lies.
        config: size of the pictures.
        hashed: whether the file's SHA-256 is wanted.
    """
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
    sha256 = hashlib.sha256(data).hexdigest() if hashed or image.sha256 else None
    if image.sha256 and image.sha256 != sha256:
        message = "its file is not the one, and the only one, that was captioned; caption it again"
        return ReadImage(None, "changed", message, sha256, len(data), was_read - started)
    alone = _decoders.acquire(timeout=_DECODER_SEC)
    try:
        decoding = time.perf_counter()
        decoded, reason, error = _decode(data, config)
    finally:
        if alone:
            _decoders.release()
    seconds = (was_read - started, time.perf_counter() - decoding)
    return ReadImage(decoded, reason, error, sha256, len(data), *seconds)


def _decode(data: bytes, config: ImageConfig) -> tuple[DecodedImage | None, str | None, str | None]:
    """The picture, or reason and message of its failure."""
    try:
        return decode_image(data, config, _room.take), None, None
    except ImageError as error:
        return None, error.reason, str(error)


def threads_for(images: Iterable[ImageFile]) -> int:
    """How many threads are to read `images` at a time: more where they are waited for."""
    return _FAR_THREADS if any(map(_is_waited_for, images)) else THREADS


def _is_waited_for(image: ImageFile) -> bool:
    # Rows of a Parquet file come one after the other, however many threads ask for them.
    return not is_parquet_row(image) and not is_local(image.container or image.uri)


def read_ahead(
    images: Sequence[ImageFile], config: ImageConfig, limit_sec: float
) -> Iterator[ReadImage]:
    """Reads and decodes pictures as `prepare_ahead` does; knows the SHA-256 of their files."""
    prepared = prepare_ahead(images, config, limit_sec, lambda decoded: None, hashed=True)
    return (read for read, _ in prepared)


def prepare_ahead(
    images: Sequence[ImageFile],
    config: ImageConfig,
    limit_sec: float,
    prepare: Callable[[DecodedImage], Prepared],
    hashed: bool = False,
) -> Iterator[tuple[ReadImage, Prepared | None]]:
    """Reads and decodes pictures in order, a bounded number ahead of whoever takes them.

    Args:
        limit_sec: most seconds for one of them; it is rejected as `stalled` then.
        prepare: called in a thread for each that is decoded; the others have None of it.
        hashed: whether the SHA-256 of their files is wanted.

    Raises:
        CaptionerError: if none of as many in a row as are read ahead comes in time: it is the
            fault of a disk or a network rather than theirs.
    """

    def prepared(image: ImageFile) -> tuple[ReadImage, Prepared | None]:
        read = read_image(image, config, hashed)
        return read, prepare(read.decoded) if read.decoded else None

    def stalled(image: ImageFile) -> tuple[ReadImage, None]:
        message = f"it could not be read in {limit_sec:g} s (--read-timeout-sec)"
        return ReadImage(None, STALLED, message, None, None), None

    threads, in_a_row = threads_for(images), 0
    results = map_ahead(prepared, images, threads, limit_sec, stalled)
    for image, (read, result) in zip(images, results, strict=True):
        in_a_row = in_a_row + 1 if read.reason == STALLED else 0
        if in_a_row == AHEAD_PER_THREAD * threads:
            raise CaptionerError(
                f"none of {in_a_row} images in a row could be read in {limit_sec:g} s, the last "
                f"one {image.uri}; check the disk or the network, and run the command again; if it "
                "is slow there, give a longer --read-timeout-sec, or inputs without this folder"
            )
        yield read, result
