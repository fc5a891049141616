"""The steps of the preprocessing pipeline: verbs over the pure functions that do the work."""

from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam

from model.config import ImageConfig
from model.dataset import SPLITS
from pipelines.joins import join_image
from pipelines.preprocessing_fn import (
    PASSED_THROUGH,
    from_record_batch,
    make_preprocessing_fn,
    tensor_adapter_config,
    to_record_batch,
)
from pipelines.records import CaptionedImage, Reject, TokenisedImage
from pipelines.shards import WriteShard, shard_key
from pipelines.splits import SplitRatios

_TRANSFORM_BATCH = 256


class SeparateRejects(beam.PTransform):
    """Elements of `kind` and `Reject`s, mixed, to two collections."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def expand(self, mixed: beam.PCollection) -> Any:
        kept = mixed | "Keep" >> beam.Filter(isinstance, self.kind).with_output_types(self.kind)
        rejects = mixed | "Reject" >> beam.Filter(isinstance, Reject).with_output_types(Reject)
        return kept, rejects


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
            | beam.Map(
                lambda group, ratios: join_image(group[0], **group[1], ratios=ratios), self.ratios
            )
            | beam.Filter(lambda joined: joined is not None)
            | SeparateRejects(CaptionedImage)
        )


class TokeniseCaptions(beam.PTransform):
    """Captions to token ids by tensorflow-transform, its vocabulary analysed on train alone.

    Writes the transform function to `folder`.
    """

    def __init__(self, folder: str, min_count: int) -> None:
        super().__init__()
        self.folder, self.min_count = folder, min_count

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        adapter = tensor_adapter_config()
        with tft_beam.Context(temp_dir=f"{self.folder}/tft", passthrough_keys=set(PASSED_THROUGH)):
            train = images | "Train" >> beam.Filter(lambda image: image.split == SPLITS[0])
            transform_fn = (
                train | "Batch train" >> _Batch(),
                adapter,
            ) | tft_beam.AnalyzeDataset(make_preprocessing_fn(self.min_count))
            batches, _ = (
                (images | "Batch all" >> _Batch(), adapter),
                transform_fn,
            ) | tft_beam.TransformDataset(output_record_batches=True)
        _ = transform_fn | tft_beam.WriteTransformFn(self.folder)
        return batches | beam.FlatMap(lambda pair: from_record_batch(pair[0]))


class _Batch(beam.PTransform):
    """Captioned pictures to record batches."""

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        return (
            images
            | beam.BatchElements(min_batch_size=1, max_batch_size=_TRANSFORM_BATCH)
            | beam.Map(to_record_batch)
        )


class WriteShards(beam.PTransform):
    """Decodes pictures and writes Examples, one TFRecord file a shard; yields tallies, rejects.

    Args:
        folder: where the shards go.
        image: size of the pictures.
        images_per_shard: about how many pictures a shard holds.
    """

    def __init__(self, folder: str, image: ImageConfig, images_per_shard: int) -> None:
        super().__init__()
        self.folder, self.image, self.images_per_shard = folder, image, images_per_shard

    def expand(self, images: beam.PCollection) -> Any:
        counts = (
            images
            | "Split of" >> beam.Map(lambda image: image.image.split)
            | beam.combiners.Count.PerElement()
        )
        return (
            images
            | "Key by shard"
            >> beam.Map(
                lambda image, counts, size: (shard_key(image, counts, size), image),
                beam.pvalue.AsDict(counts),
                self.images_per_shard,
            ).with_output_types(tuple[tuple[str, int, int], TokenisedImage])
            | beam.GroupByKey()
            | beam.ParDo(WriteShard(self.folder, self.image)).with_outputs(
                WriteShard.REJECTS, main="tallies"
            )
        )
