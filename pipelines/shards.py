"""Writing the dataset's files: TFRecord shards, a table of examples, rejects and duplicates."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.utils.shared import Shared

from model.artifacts import FeatureConfig
from model.config import ImageConfig
from model.features import encode_example
from model.views import make_views
from model.vocabulary import OOV
from pipelines import files
from pipelines.encoding import FeatureExtractor
from pipelines.pixel_store import read_png
from pipelines.ranges import close_ranges
from pipelines.records import DuplicatePair, Reject, Tally, TokenisedImage
from pipelines.schemas import DUPLICATES, EXAMPLES, REJECTS, check_no_nulls
from pipelines.splits import hash_fraction, shard_of
from pipelines.threads import map_ahead

REJECT_FILES = 16
# What tallies of `pictures_of_tokens` are of.
PICTURES_OF_TOKENS = "pictures of tokens"
# Shards are planned this much below their bound, so that few exceed it and need a second part.
_FILLED = 0.9
_RECORD_OVERHEAD_BYTES = 16
_FLOAT16_BYTES = 2
# Pictures whose views go through the encoder together.
_ENCODED_TOGETHER = 32

ShardKey = tuple[str, int, int]


def views_of(split: str, features: FeatureConfig | None) -> int:
    """Views stored of a picture of `split`."""
    return features.views if features and split == "train" else 1


def example_bytes(image: TokenisedImage, features: FeatureConfig | None) -> int:
    """About how many bytes the picture's Example takes."""
    grid = features.patches * features.channels * _FLOAT16_BYTES if features else 0
    text = sum(len(text) + 8 * len(text.split()) for text in image.image.captions)
    return image.image.image.length_bytes + views_of(image.image.split, features) * grid + text


def shard_key(image: TokenisedImage, total_bytes: dict[str, int], shard_bytes: int) -> ShardKey:
    """The `(split, shard, shards)` of a picture, for shards of at most about `shard_bytes`."""
    split = image.image.split
    shards = max(1, -(-total_bytes[split] // int(_FILLED * shard_bytes)))
    return split, shard_of(image.image.image_id, shards), shards


def write_records(
    records: Iterator[bytes], name: Callable[[int], str], most_bytes: int
) -> list[tuple[str, str]]:
    """Writes serialised Examples to one TFRecord file, or to more where one would be too large.

    Args:
        name: the URI of part 0, 1, ...
        most_bytes: bound of a file; a single larger record has a file of its own.

    Returns:
        the name and the SHA-256 of each file.
    """
    written: list[tuple[str, str]] = []
    record = next(records, None)
    while record is not None:
        uri, size = name(len(written)), 0
        with files.atomic_path(uri) as path:
            with tf.io.TFRecordWriter(path) as writer:
                while record is not None and (not size or size + len(record) <= most_bytes):
                    writer.write(record)
                    size += len(record) + _RECORD_OVERHEAD_BYTES
                    record = next(records, None)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        written.append((Path(uri).name, digest))
    return written


def example_row(image: TokenisedImage) -> dict[str, Any]:
    """The row of `schemas.EXAMPLES` of a picture."""
    source = image.image
    record = {name: value for name, value in asdict(source.image).items() if name in EXAMPLES.names}
    return {
        **record,
        "image_uri": source.image.uri,
        "split": source.split,
        "captions": list(source.captions),
        "token_counts": [len(ids) for ids in image.token_ids],
        "unknown_counts": [ids.count(OOV) for ids in image.token_ids],
    }


def pictures_of_tokens(images: Iterable[TokenisedImage]) -> Counter[int]:
    """Of each token id, how many pictures have a caption with it."""
    return Counter(
        token_id for image in images for token_id in set(itertools.chain(*image.token_ids))
    )


class WriteShard(beam.DoFn):
    """Writes the Examples of one shard, and its part of the table of examples.

    Yields tallies of what was written.

    Args:
        folder: where the shards go; the pixel stores are in its `pixels`.
        config: size of the pictures.
        features: which features to store; None for none.
        shard_bytes: bound of a file.
    """

    def __init__(
        self, folder: str, config: ImageConfig, features: FeatureConfig | None, shard_bytes: int
    ) -> None:
        self.folder, self.config = folder, config
        self.features, self.shard_bytes = features, shard_bytes
        # Of a process: a worker of a cluster has an instance of this for each of its threads.
        self._shared = Shared()

    def setup(self) -> None:
        if features := self.features:
            self.extract = self._shared.acquire(
                lambda: FeatureExtractor(features, self.config, self.folder)
            )

    def teardown(self) -> None:
        close_ranges()  # of the pixel stores

    def process(self, element: tuple[ShardKey, Iterable[TokenisedImage]]) -> Iterator[Tally]:
        (split, shard, shards), images = element
        # Sorted, so that a retry on other workers writes the same file.
        ordered = sorted(images, key=lambda image: image.image.image_id)

        def name(part: int) -> str:
            suffix = f"-part-{part}" if part else ""
            return f"{self.folder}/{split}-{shard:05d}-of-{shards:05d}{suffix}.tfrecord"

        written = write_records(self._records(ordered), name, self.shard_bytes)
        rows = pa.Table.from_pylist([example_row(image) for image in ordered], EXAMPLES)
        with files.atomic_path(f"{self.folder}/examples/{split}-{shard:05d}.parquet") as path:
            pq.write_table(check_no_nulls(rows), path, compression="zstd")
        yield Tally("examples", split, len(ordered))
        yield Tally("captions", split, sum(len(image.token_ids) for image in ordered))
        if split == "train":
            for token_id, pictures in pictures_of_tokens(ordered).items():
                yield Tally(PICTURES_OF_TOKENS, str(token_id), pictures)
        for file, digest in written:
            yield Tally("shards", f"{file} {digest}", 1)

    def _records(self, images: Sequence[TokenisedImage]) -> Iterator[bytes]:
        pngs = map_ahead(lambda image: read_png(f"{self.folder}/pixels", image.image.image), images)
        pairs = zip(images, pngs, strict=True)
        while group := list(itertools.islice(pairs, _ENCODED_TOGETHER)):
            grids = self._grids(group) if self.features else [None] * len(group)
            for (image, png), grid in zip(group, grids, strict=True):
                source = image.image
                yield encode_example(source.image_id, png, source.captions, image.token_ids, grid)

    def _grids(self, group: list[tuple[TokenisedImage, bytes]]) -> list[np.ndarray]:
        views = []
        for image, png in group:
            pixels = tf.io.decode_png(png, channels=3).numpy()
            seed = int(hash_fraction(image.image.image_id) * 2**32)
            views.append(make_views(pixels, views_of(image.image.split, self.features), seed))
        return self.extract(views)


def write_rejects(element: tuple[int, Iterable[Reject]], folder: str) -> Iterator[Tally]:
    """Writes one Parquet file of rejects and yields their tallies by reason."""
    number, rejects = element
    rows = [asdict(reject) for reject in rejects]
    rows.sort(key=lambda row: (row["image_id"], row["image_uri"] or "", row["caption"] or ""))
    with files.atomic_path(f"{folder}/part-{number:05d}.parquet") as path:
        pq.write_table(check_no_nulls(pa.Table.from_pylist(rows, REJECTS)), path)
    for row in rows:
        what = "rejects" if row["caption"] is None else "rejected captions"
        yield Tally(what, row["reason"], 1)
        if row["caption"] is None and row["image_uri"] is None:
            yield Tally("unlisted", "", 1)  # captions name it, and no listing does


def example_reject(folder: str, reason: str) -> str:
    """One of the rejects that `write_rejects` wrote to `folder`, as a person is told of it.

    Args:
        reason: of it; there is one.
    """
    for uri in files.list_tree(folder):
        with files.open_bytes(uri) as file:
            rows = pq.read_table(file, filters=[("reason", "==", reason)])
        if len(rows):
            return "e.g. {image_id}: {error}".format(**rows.slice(0, 1).to_pylist()[0])
    raise ValueError(f"no reject in {folder} has the reason {reason!r}")


def write_duplicates(pairs: Iterable[DuplicatePair], uri: str) -> Iterator[Tally]:
    """Writes the table of duplicates, if there are any, and yields their tallies by action."""
    rows = sorted((asdict(pair) for pair in set(pairs)), key=lambda row: tuple(row.values()))
    if rows:
        with files.atomic_path(uri) as path:
            pq.write_table(check_no_nulls(pa.Table.from_pylist(rows, DUPLICATES)), path)
    for row in rows:
        yield Tally("duplicates", row["action"], 1)
