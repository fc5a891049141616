"""Captioning a unit: read, decode, caption and commit, fused, so that no bytes leave a worker."""

import dataclasses
import datetime
import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from model.artifacts import BundleConfig
from model.bundle_folder import NO_CAPTION, ModelError
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import DEFAULT_ENGINE, Engine
from model.errors import CaptionerError
from model.open_bundle import open_bundle
from pipelines import files
from pipelines.allocator import keep_freed_memory
from pipelines.archives.containers import close_containers, is_parquet_row
from pipelines.batches import BatchCaptioner, Result
from pipelines.claims import Claim
from pipelines.images import ReadImage, read_ahead
from pipelines.kept import KEEP_ALL, Kept, check_planned, partition_of
from pipelines.listing import read_batch
from pipelines.records import ImageFile, Unit
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED, check_no_nulls
from pipelines.stages import CAPTION, DECODE, NAMESPACE, READ, STAGES, WRITE, StageCounters
from pipelines.triage import flags_of
from pipelines.units import unit_uri
from pipelines.worker_end import end_at_once

# Beam says so wherever PyTorch is missing, which it imports beside that module.
logging.getLogger().addFilter(lambda record: "Resource module is not" not in str(record.msg))


@dataclass(frozen=True)
class UnitRows:
    """The rows of a unit, ready to be committed, and the seconds that each stage took."""

    unit: Unit
    rows: list[dict[str, Any]]
    seconds: dict[str, float]


def caption_images(
    images: Iterable[tuple[ImageFile, ReadImage]],
    caption: BatchCaptioner,
    config: BundleConfig,
    kept: Kept,
    seconds: dict[str, float],
) -> Iterator[dict[str, Any]]:
    """One row of `schemas.CAPTIONS` for every picture, in order.

    Args:
        seconds: the time of each of `stages.STAGES` is added to it.
    """
    # Before anything is read: a file that changes from now on is newer than its row.
    began = datetime.datetime.now(datetime.UTC)
    while batch := list(itertools.islice(images, caption.batch_size)):
        pixels = [read.decoded.pixels for _, read in batch if read.decoded]
        started = time.perf_counter()
        results = iter(caption(pixels))
        seconds[CAPTION] += time.perf_counter() - started
        for image, read in batch:
            seconds[READ] += read.read_sec
            seconds[DECODE] += read.decode_sec
            row = _row(image, read, config.model_fingerprint, began)
            if read.decoded:
                _fill(row, next(results), config.low_score, kept)
            yield row


def _row(
    image: ImageFile, read: ReadImage, model_fingerprint: str, began: datetime.datetime
) -> dict[str, Any]:
    """What is known of a picture before it is captioned; a rejected one is told in full."""
    decoded = read.decoded
    return {
        "image_uri": image.uri,
        "container": image.container,
        "member": image.member,
        "sha256": read.sha256,
        "status": CAPTIONED if decoded else REJECTED,
        "reason": read.reason,
        "error": read.error,
        "alternatives": [],
        "tags": [],
        "flags": [],
        "width_px": decoded.width_px if decoded else None,
        "height_px": decoded.height_px if decoded else None,
        "format": decoded.format if decoded else None,
        "byte_size": _byte_size(image, read),
        "model_fingerprint": model_fingerprint,
        "captioned_at": began,
    }


def _byte_size(image: ImageFile, read: ReadImage) -> int | None:
    """The bytes of the picture; of an unread row of a Parquet file none are known."""
    if read.byte_size is None:
        return None if is_parquet_row(image) else image.byte_size
    return read.byte_size


def _fill(
    row: dict[str, Any],
    result: Result,
    low_score: float | None,
    kept: Kept,
) -> None:
    """Adds to `row` what the model says of the picture, or that it failed."""
    if isinstance(result, ModelError):
        row.update(status=REJECTED, reason="model_error", error=str(result))
        return
    if not result.captions:
        row.update(status=REJECTED, reason="model_error", error=NO_CAPTION)
        return
    best, *others = result.captions[: kept.num_captions]
    tags = sorted(result.tags, key=lambda tag: -tag.score)[: kept.tags]
    row.update(
        caption=best.text,
        score=best.score,
        alternatives=[{"caption": other.text, "score": other.score} for other in others],
        tags=[{"tag": tag.text, "score": tag.score} for tag in tags],
        flags=flags_of(best.text, best.score, low_score),
    )


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A bundle in memory, and the steps that it takes: all threads of a process share them."""

    config: BundleConfig
    caption: BatchCaptioner


class UnitCaptioner(ModelHandler[Unit, UnitRows, LoadedModel]):
    """Captions units; to be used with batches of one unit.

    Args:
        bundle: folder of the bundle.
        batch_size: most pictures in a step of the model.
        read_timeout_sec: most seconds to read and decode a picture.
        kept: what of its results becomes part of a row.
        engine: what computes the bundle.
        decoding: what is decoded otherwise than the bundle was exported with.
        planned: the partition that its rows go to; None for that of whichever bundle is there.
    """

    def __init__(
        self,
        bundle: str,
        batch_size: int,
        read_timeout_sec: float,
        kept: Kept = KEEP_ALL,
        engine: Engine = DEFAULT_ENGINE,
        decoding: Decoding = AS_EXPORTED,
        planned: str | None = None,
    ) -> None:
        super().__init__()
        self.bundle, self.batch_size = bundle, batch_size
        self.read_timeout_sec, self.kept = read_timeout_sec, kept
        self.engine, self.decoding, self.planned = engine, decoding, planned

    def load_model(self) -> LoadedModel:
        """Loads the bundle and makes it get ready for batches before the first unit."""
        keep_freed_memory()
        end_at_once()
        bundle = open_bundle(Path(self.bundle), self.engine, self.decoding)
        size_px = bundle.config.image.image_size_px
        caption = BatchCaptioner(bundle.caption, self.batch_size)
        blank = np.zeros((size_px, size_px, 3), np.uint8)
        for result in caption([blank] * self.batch_size):
            # The bundle's fault, or the sampler's: it would reject every picture.
            if isinstance(result, ModelError):
                raise result
            if not result.captions:
                raise CaptionerError(
                    f"{NO_CAPTION} for a blank picture; give other options of the sampler, or "
                    "train the model again"
                )
        mark = partition_of(bundle.config, self.engine, self.kept)
        check_planned(mark, self.planned, self.bundle)
        return LoadedModel(dataclasses.replace(bundle.config, model_fingerprint=mark), caption)

    def run_inference(
        self, batch: Sequence[Unit], model: LoadedModel, inference_args: dict | None = None
    ) -> Iterator[UnitRows]:
        """The rows of each unit of `batch`."""
        for unit in batch:
            images = read_batch(unit.plan_uri, unit.batch, ImageFile)
            reads = read_ahead(images, model.config.image, self.read_timeout_sec)
            pairs = zip(images, reads, strict=True)
            seconds = dict.fromkeys(STAGES, 0.0)
            rows = list(caption_images(pairs, model.caption, model.config, self.kept, seconds))
            if len(rows) != len(images):
                raise RuntimeError(f"unit {unit}: got {len(rows)} rows of {len(images)} pictures")
            yield UnitRows(unit, rows, seconds)

    def get_num_bytes(self, batch: Sequence[Unit]) -> int:
        """Bytes of the elements; pickling a unit to measure it, as Beam does, tells nothing."""
        return len(batch)

    def get_metrics_namespace(self) -> str:
        return NAMESPACE


class CommitUnit(beam.DoFn):
    """Writes the rows of a unit as one Parquet file: the unit is done once the file is there.

    Args:
        folder: where the files go.
        claimed: the run's hold on it.
    """

    def __init__(self, folder: str, claimed: Claim) -> None:
        self.folder, self.claimed = folder, claimed
        self.captioned = Metrics.counter(NAMESPACE, CAPTIONED)
        self.rejected = Metrics.counter(NAMESPACE, REJECTED)
        self.stages = StageCounters()

    def process(self, element: UnitRows) -> Iterator[str]:
        started = time.perf_counter()
        table = pa.Table.from_pylist(element.rows, CAPTIONS)
        uri = unit_uri(self.folder, element.unit)
        with files.atomic_path(uri) as path:
            pq.write_table(check_no_nulls(table), path, compression="zstd")
            files.flush(path)
            self.claimed.check()  # with the file ready, and nothing slow to come: see `claims`
        rejected = sum(row["status"] == REJECTED for row in element.rows)
        self.captioned.inc(len(element.rows) - rejected)
        self.rejected.inc(rejected)
        self.stages.update({**element.seconds, WRITE: time.perf_counter() - started})
        yield uri

    def teardown(self) -> None:
        close_containers()  # which the captioner, fused before this step, has opened
