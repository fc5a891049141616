"""The steps of the preprocessing pipeline: verbs over the pure functions that do the work."""

from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam

from model.artifacts import SPLITS, FeatureConfig
from model.config import ImageConfig
from pipelines.duplicates import banded, drop_near_copy, near_pairs, nearest, unite_copies
from pipelines.joins import join_image
from pipelines.pixel_store import StorePixels
from pipelines.preprocessing_fn import (
    PASSED_THROUGH,
    TextConfig,
    copy_transform_fn,
    from_record_batch,
    make_preprocessing_fn,
    tensor_adapter_config,
    to_record_batch,
)
from pipelines.records import (
    CaptionedImage,
    DuplicatePair,
    Reject,
    TokenisedImage,
)
from pipelines.shards import ShardKey, WriteShard, example_bytes, shard_key
from pipelines.splits import SplitRatios

_TRANSFORM_BATCH = 256


class Separate(beam.PTransform):
    """Elements of two kinds, mixed, to two collections.

    Args:
        kind: of the first collection.
        other: of the second.
    """

    def __init__(self, kind: type, other: type = Reject) -> None:
        super().__init__()
        self.kind, self.other = kind, other

    def expand(self, mixed: beam.PCollection) -> Any:
        first = mixed | "First" >> beam.Filter(isinstance, self.kind).with_output_types(self.kind)
        second = mixed | "Second" >> beam.Filter(isinstance, self.other).with_output_types(
            self.other
        )
        return first, second


class PreparePictures(beam.PTransform):
    """Decodes the pictures of a listing into the pixel store; yields records and rejects.

    Args:
        listing: URI and number of batches.
        folder: where the stores go.
        image: size of the pictures.
        read_timeout_sec: most seconds to read and decode one of them.
    """

    def __init__(
        self,
        listing: tuple[str, int],
        folder: str,
        image: ImageConfig,
        read_timeout_sec: float,
    ) -> None:
        super().__init__()
        self.listing, self.folder, self.image = listing, folder, image
        self.read_timeout_sec = read_timeout_sec

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        uri, batches = self.listing
        store = StorePixels(uri, self.folder, self.image, self.read_timeout_sec)
        return (
            begin
            | "Number" >> beam.Create(range(batches), reshuffle=True)
            | "Store" >> beam.ParDo(store)
        )


class JoinImages(beam.PTransform):
    """Joins captions, pictures and splits by image id into captioned pictures and rejects."""

    def __init__(self, ratios: SplitRatios | None) -> None:
        super().__init__()
        self.ratios = ratios

    def expand(self, inputs: Any) -> Any:
        keyed = {
            name: rows | f"Key {name}" >> beam.Map(lambda row: (row.image_id, row))
            for name, rows in inputs.items()
        }
        return (
            keyed
            | beam.CoGroupByKey()
            | beam.FlatMap(
                lambda group, ratios: join_image(group[0], **group[1], ratios=ratios), self.ratios
            )
            | Separate(CaptionedImage)
        )


class UniteCopies(beam.PTransform):
    """Moves pictures of the same pixels into one split; yields pictures and duplicate pairs.

    Args:
        ratios: shares of a split by hash; None if lists or captions give the splits.
    """

    def __init__(self, ratios: SplitRatios | None = None) -> None:
        super().__init__()
        self.ratios = ratios

    def expand(self, images: beam.PCollection[CaptionedImage]) -> Any:
        return (
            images
            | beam.WithKeys(lambda image: image.image.pixel_sha256)
            | beam.GroupByKey()
            | beam.FlatMap(lambda group, ratios: unite_copies(group[1], ratios), self.ratios)
            | Separate(CaptionedImage, DuplicatePair)
        )


class FindNearCopies(beam.PTransform):
    """Pairs of nearly the same picture in two splits.

    Args:
        dropped_split: the split whose pictures are to be dropped, each with its nearest alone; None
            for all pairs.
    """

    def __init__(self, dropped_split: str | None = None) -> None:
        super().__init__()
        self.dropped_split = dropped_split

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection[DuplicatePair]:
        return (
            images
            | beam.FlatMap(banded)
            | beam.GroupByKey()
            | beam.FlatMap(lambda group, of: near_pairs(group[0], group[1], of), self.dropped_split)
        )


class DropNearCopies(beam.PTransform):
    """Drops pictures near to those of a split that goes before theirs.

    First of validation, then of train: what is dropped drops nothing. Yields the pictures kept, the
    rejects and the pairs, these two of each split by itself.
    """

    def expand(self, images: beam.PCollection[CaptionedImage]) -> Any:
        rejects, told = [], []
        for split in ("validation", "train"):
            pairs = (
                images
                | f"Find in {split}" >> FindNearCopies(split)
                | f"Key {split}" >> beam.WithKeys(lambda pair: pair.image_id)
                | f"Nearest in {split}" >> beam.CombinePerKey(nearest)
            )
            images, dropped = (
                images
                | f"Drop from {split}" >> beam.Map(drop_near_copy, beam.pvalue.AsDict(pairs))
                | f"Separate {split}" >> Separate(CaptionedImage)
            )
            rejects.append(dropped)
            told.append(pairs | f"Pairs of {split}" >> beam.Values())
        return images, rejects, told


class TokeniseCaptions(beam.PTransform):
    """Captions to token ids by tensorflow-transform, its vocabulary analysed on train alone.

    Writes the transform function to `folder`.
    """

    def __init__(self, folder: str, text: TextConfig) -> None:
        super().__init__()
        self.folder, self.text = folder, text

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        adapter = tensor_adapter_config()
        with tft_beam.Context(temp_dir=f"{self.folder}/tft", passthrough_keys={PASSED_THROUGH}):
            train = images | "Train" >> beam.Filter(lambda image: image.split == SPLITS[0])
            transform_fn = (
                train | "Batch train" >> _Batch(analysed=True),
                adapter,
            ) | tft_beam.AnalyzeDataset(make_preprocessing_fn(self.text))
            batches, _ = (
                (images | "Batch all" >> _Batch(), adapter),
                transform_fn,
            ) | tft_beam.TransformDataset(output_record_batches=True)
        _write_transform_fn(transform_fn, self.folder)
        return batches | beam.FlatMap(lambda pair: from_record_batch(pair[0]))


def _write_transform_fn(transform_fn: Any, folder: str) -> None:
    """Writes what `tft.TFTransformOutput` reads to `folder`.

    `tft_beam.WriteTransformFn` moves it there, which fails where a runner repeats the step.
    """
    graph, metadata = transform_fn
    described = metadata | tft_beam.WriteMetadata(
        f"{folder}/tft/metadata", graph.pipeline, write_to_unique_subdirectory=True
    )
    _ = (
        graph.pipeline
        | "Transform function" >> beam.Create([folder])
        # Side inputs: however often it is done, it is the same that is copied.
        | "Write transform function"
        >> beam.Map(
            copy_transform_fn, beam.pvalue.AsSingleton(graph), beam.pvalue.AsSingleton(described)
        )
    )


class _Batch(beam.PTransform):
    """Captioned pictures to record batches."""

    def __init__(self, analysed: bool = False) -> None:
        super().__init__()
        self.analysed = analysed

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        return (
            images
            | beam.BatchElements(min_batch_size=1, max_batch_size=_TRANSFORM_BATCH)
            | beam.Map(to_record_batch, self.analysed)
        )


class WriteShards(beam.PTransform):
    """Writes Examples to TFRecord files of bounded size; yields tallies.

    Args:
        folder: where the shards go; the pixel stores are in its `pixels`.
        image: size of the pictures.
        features: which features to store; None for none.
        shard_bytes: bound of a file.
    """

    def __init__(
        self, folder: str, image: ImageConfig, features: FeatureConfig | None, shard_bytes: int
    ) -> None:
        super().__init__()
        self.folder, self.image = folder, image
        self.features, self.shard_bytes = features, shard_bytes

    def expand(self, images: beam.PCollection[TokenisedImage]) -> beam.PCollection:
        sizes = (
            images
            | "Size"
            >> beam.Map(
                lambda i, features: (i.image.split, example_bytes(i, features)), self.features
            )
            | beam.CombinePerKey(sum)
        )
        return (
            images
            | "Key by shard"
            >> beam.Map(
                lambda image, sizes, most: (shard_key(image, sizes, most), image),
                beam.pvalue.AsDict(sizes),
                self.shard_bytes,
            ).with_output_types(tuple[ShardKey, TokenisedImage])
            | beam.GroupByKey()
            | beam.ParDo(WriteShard(self.folder, self.image, self.features, self.shard_bytes))
        )
