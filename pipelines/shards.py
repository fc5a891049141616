"""Writing the dataset's files: one TFRecord shard or one Parquet file of rejects at a time."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from model.config import ImageConfig
from model.features import encode_example
from model.image import encode_png
from pipelines import files
from pipelines.images import ReadImage, map_ahead, read_image
from pipelines.records import Reject, Tally, TokenisedImage
from pipelines.schemas import REJECTS, check_no_nulls
from pipelines.splits import shard_of

REJECT_FILES = 16


def shard_key(
    image: TokenisedImage, counts: dict[str, int], per_shard: int
) -> tuple[str, int, int]:
    """The `(split, shard, shards)` of a picture, for shards of about `per_shard` pictures."""
    split = image.image.split
    shards = -(-counts[split] // per_shard)
    return split, shard_of(image.image.image_id, shards), shards


class WriteShard(beam.DoFn):
    """Decodes the pictures of one shard and writes their Examples as one TFRecord file.

    Yields tallies of what was written; rejects go to the output `rejects`.

    Args:
        folder: where the shards go.
        config: size of the pictures.
    """

    REJECTS = "rejects"

    def __init__(self, folder: str, config: ImageConfig) -> None:
        self.folder, self.config = folder, config

    def process(
        self, element: tuple[tuple[str, int, int], Iterable[TokenisedImage]]
    ) -> Iterator[Any]:
        (split, shard, shards), images = element
        # Sorted, so that a retry on other workers writes the same file.
        ordered = sorted(images, key=lambda image: image.image.image_id)
        uri = f"{self.folder}/{split}-{shard:05d}-of-{shards:05d}.tfrecord"
        good, captions = 0, 0
        with files.atomic_path(uri) as path:
            with tf.io.TFRecordWriter(path) as writer:
                for image, (read, png) in zip(ordered, map_ahead(self._read, ordered), strict=True):
                    if png is None:
                        yield beam.pvalue.TaggedOutput(self.REJECTS, _reject(image, read))
                        continue
                    source = image.image
                    writer.write(
                        encode_example(source.image_id, png, source.captions, image.token_ids)
                    )
                    good, captions = good + 1, captions + len(image.token_ids)
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        yield Tally("examples", split, good)
        yield Tally("captions", split, captions)
        yield Tally("shards", f"{Path(uri).name} {digest}", 1)

    def _read(self, image: TokenisedImage) -> tuple[ReadImage, bytes | None]:
        """The picture read and its PNG; None for the PNG of one that failed."""
        read = read_image(image.image.uri, self.config)
        return read, encode_png(read.decoded.pixels) if read.decoded else None


def _reject(image: TokenisedImage, read: ReadImage) -> Reject:
    source = image.image
    return Reject(source.image_id, source.uri, "decode", read.reason or "", read.error or "")


def write_rejects(element: tuple[int, Iterable[Reject]], folder: str) -> Iterator[Tally]:
    """Writes one Parquet file of rejects and yields their tallies by reason."""
    number, rejects = element
    rows = [asdict(reject) for reject in rejects]
    rows.sort(key=lambda row: (row["image_id"], row["caption"] or ""))
    with files.atomic_path(f"{folder}/part-{number:05d}.parquet") as path:
        pq.write_table(check_no_nulls(pa.Table.from_pylist(rows, REJECTS)), path)
    for row in rows:
        what = "rejects" if row["caption"] is None else "rejected captions"
        yield Tally(what, row["reason"], 1)
