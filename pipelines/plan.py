"""`captioner plan`: what captioning an archive would take, measured on a sample of it."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial

import apache_beam as beam

from model.errors import CaptionerError
from pipelines import caption, files
from pipelines.beam_options import give_no_options, make_options
from pipelines.caption_config import check_model
from pipelines.claims import claim
from pipelines.failures import failures_told
from pipelines.images import threads_for
from pipelines.plan_config import PlanConfig, read_plan_config
from pipelines.progress import Committed, shown_progress
from pipelines.projection import Archive, Measured, projection_table, stage_table
from pipelines.readable import duration, plural, share
from pipelines.records import ImageFile
from pipelines.sampling import spread_sample
from pipelines.schemas import CAPTIONED, REJECTED
from pipelines.sources import SkippedFiles, list_all_images
from pipelines.stages import busy_seconds, stage_seconds
from pipelines.threads import THREADS
from pipelines.units import plan_units


def measure(images: list[ImageFile], config: PlanConfig) -> tuple[Measured, Committed]:
    """Captions `images` as `captioner caption` would, in this process."""
    output = config.caption.output
    folder = f"{output}/captions"
    with claim(output, "plan") as claimed:
        units = plan_units(images, config.caption.unit_size, claimed.plan_uri)
        committed = Committed(folder, units)
        started = time.monotonic()
        pipeline = beam.Pipeline(options=make_options([]))
        with shown_progress(partial(committed.look, len(images))), pipeline:
            caption.build(pipeline, units, config.caption, folder, claimed)
        seconds = time.monotonic() - started
    committed.update()
    committed.check_complete()
    busy_sec = busy_seconds(pipeline.result)
    measured = Measured(
        images=len(images),
        stages=stage_seconds(pipeline.result),
        readers=threads_for(images),
        decoders=THREADS,
        busy_sec=busy_sec,
        start_up_sec=max(0.0, seconds - busy_sec),
        byte_size=sum(os.path.getsize(path) for path in files.list_tree(folder)),
    )
    return measured, committed


def _told(
    archive: Archive,
    skipped: SkippedFiles,
    measured: Measured,
    committed: Committed,
    config: PlanConfig,
) -> Iterator[str]:
    """What a person is told, line by line."""
    yield f"archive: {plural(archive.images, 'image')}, listed in {archive.listing_sec:.1f} s"
    yield from skipped.lines()
    captioned, rejected = (committed.statuses[status] for status in (CAPTIONED, REJECTED))
    yield (
        f"sample: {plural(measured.images, 'image')} from all over it = {captioned} captioned + "
        f"{rejected} rejected ({share(rejected, measured.images)})"
    )
    for reason, count in sorted(committed.reasons.items()):
        yield f"  rejected: {reason} {count}"
    yield (
        f"a worker like this machine, {plural(measured.readers, 'thread')} that read, of which "
        f"{measured.decoders} decode at a time, ready after {duration(measured.start_up_sec)}"
    )
    yield from stage_table(measured)
    yield from projection_table(archive, measured, config.workers, config.price_per_worker_hour)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    give_no_options()
    with failures_told(), tempfile.TemporaryDirectory(prefix="captioner-plan-") as folder:
        config = read_plan_config(options, folder)
        check_model(config.caption)
        skipped, started = SkippedFiles(), time.monotonic()
        images = list_all_images(config.caption.inputs, skipped, config.caption.image_column)
        sample = spread_sample(images, config.sample_images)
        listing_sec = time.monotonic() - started
        measured, committed = measure(sample.images, config)
    if not committed.statuses[CAPTIONED]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in committed.reasons.items())
        raise CaptionerError(
            f"none of the {plural(measured.images, 'image')} of the sample could be captioned "
            f"({reasons}), so there is nothing to project from; see that --input names pictures"
        )
    archive = Archive(sample.total, listing_sec, config.caption.unit_size)
    for line in _told(archive, skipped, measured, committed, config):
        print(line)
    return 0


if __name__ == "__main__":
    from pipelines.cli import leave, main

    leave(main(["plan", *sys.argv[1:]]))
