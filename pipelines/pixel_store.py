"""The pixel store: every captioned picture decoded once, its pixels kept in a few large files.

A picture is read and decoded in the order of the listing, so that an archive file is read from
front to back. What the following steps shuffle is where its pixels lie, never the pixels.
"""

import hashlib
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import imagehash
import numpy as np
from PIL import Image

from model.config import ImageConfig
from model.image import DecodedImage, encode_png
from pipelines import files
from pipelines.archives.containers import close_containers
from pipelines.images import ReadImage, prepare_ahead
from pipelines.listing import read_batch
from pipelines.ranges import read_range
from pipelines.records import ImageFile, PreparedImage, Reject

# Side of the picture that imagehash.phash transforms, in pixels: it resizes to this anyway.
_HASH_SIDE_PX = 32


class _Encoded(NamedTuple):
    """What the store keeps of a picture."""

    png: bytes
    pixel_sha256: str
    perceptual_hash: str


def perceptual_hash(pixels: np.ndarray) -> str:
    """The 64-bit pHash (Zauner 2010, section 3.2.1) of `pixels uint8[H, W, 3]`, in hexadecimal."""
    size = (_HASH_SIDE_PX, _HASH_SIDE_PX)
    # A box filter costs a fraction of the filter that imagehash would use on the whole picture, and
    # whole boxes of grey less than half of that.
    grey = Image.fromarray(pixels).convert("L")
    return str(imagehash.phash(grey.resize(size, Image.Resampling.BOX, reducing_gap=1.0)))


def _encode(decoded: DecodedImage) -> _Encoded:
    pixels = decoded.pixels
    digest = hashlib.sha256(pixels.data).hexdigest()
    return _Encoded(encode_png(pixels), digest, perceptual_hash(pixels))


def store_pixels(
    images: list[ImageFile], config: ImageConfig, limit_sec: float, path: str, store: str
) -> Iterator[PreparedImage | Reject]:
    """Writes the pixels of `images` end to end to `path`; yields a record or a reject for each.

    Args:
        limit_sec: most seconds to read and decode one of them.
        store: name that the file will have.
    """
    offset = 0
    prepared = prepare_ahead(images, config, limit_sec, _encode)
    with open(path, "wb") as pixels:
        for image, (read, encoded) in zip(images, prepared, strict=True):
            decoded = read.decoded
            if decoded is None or encoded is None:
                yield _reject(image, read)
                continue
            pixels.write(encoded.png)
            yield PreparedImage(
                image_id=image.image_id,
                uri=image.uri,
                store=store,
                offset=offset,
                length_bytes=len(encoded.png),
                pixel_sha256=encoded.pixel_sha256,
                perceptual_hash=encoded.perceptual_hash,
                width_px=decoded.width_px,
                height_px=decoded.height_px,
                mode=decoded.mode,
                format=decoded.format,
                byte_size=read.byte_size or 0,
            )
            offset += len(encoded.png)


def _reject(image: ImageFile, read: ReadImage) -> Reject:
    reason, error = read.reason or "unreadable", read.error or "no reason given"
    return Reject(image.image_id, image.uri, "decode", reason, error)


def read_png(folder: str, image: PreparedImage) -> bytes:
    """The PNG of a stored picture.

    Raises:
        OSError: if it cannot be read, or the store is shorter than the record says.
    """
    return read_range(f"{folder}/{image.store}", image.offset, image.length_bytes)


class StorePixels(beam.DoFn):
    """Decodes a batch of a listing of pictures into a store; yields records and rejects.

    Args:
        listing: URI of the listing.
        folder: where the stores go.
        config: size of the pictures.
        read_timeout_sec: most seconds to read and decode one of them.
    """

    def __init__(
        self, listing: str, folder: str, config: ImageConfig, read_timeout_sec: float
    ) -> None:
        self.listing, self.folder, self.config = listing, folder, config
        self.read_timeout_sec = read_timeout_sec

    def process(self, element: int) -> Iterator[PreparedImage | Reject]:
        images = read_batch(self.listing, element, ImageFile)
        # A name of its own: another worker that does the same may fail to read another picture, and
        # its pixels lie elsewhere then.
        store = f"pixels-{element:06d}-{uuid.uuid4().hex}.bin"
        with files.atomic_path(f"{self.folder}/{store}") as path:
            yield from store_pixels(images, self.config, self.read_timeout_sec, path, store)

    def teardown(self) -> None:
        close_containers()
