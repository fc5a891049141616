"""`captioner caption`: an archive of pictures to Parquet captions, one row a picture."""

import argparse
import datetime
import sys
import time
import uuid
from collections.abc import Iterable
from functools import partial

import apache_beam as beam
import pyarrow as pa
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from model.artifacts import BundleConfig
from model.errors import CaptionerError
from pipelines import files
from pipelines.account import Account, Outcome, Unlisted, forecast, run_record, summary
from pipelines.beam_options import check_workers_see, make_options
from pipelines.caption_config import CaptionConfig, check_model, check_output, read_config
from pipelines.claims import RUNS, Claim, claim
from pipelines.failures import dead_workers_told, failures_told
from pipelines.inference import CommitUnit, UnitCaptioner
from pipelines.kept import partition_folder, partition_in, partition_of
from pipelines.ledger import read_ledger, remove_rows
from pipelines.progress import Committed, shown_progress
from pipelines.records import Unit
from pipelines.schemas import CAPTIONED, REJECTED
from pipelines.sources import SkippedFiles, check_sources, list_all_images
from pipelines.stages import stage_seconds
from pipelines.units import Remaining, lacks_file, plan_units

TOO_MANY_REJECTS = 3


def build(
    pipeline: beam.Pipeline, units: list[Unit], config: CaptionConfig, folder: str, claimed: Claim
) -> None:
    """The whole pipeline: units to committed Parquet files in `folder`."""
    captioner = UnitCaptioner(
        config.bundle,
        config.batch_size,
        config.read_timeout_sec,
        config.kept,
        config.engine,
        config.decoding,
        planned=partition_in(folder),
    )
    _ = (
        pipeline
        | "Units" >> beam.Create([[unit] for unit in units], reshuffle=True)
        | "Lacking" >> beam.Filter(lacks_file, folder)
        | "Caption" >> RunInference(captioner.with_no_batching())
        | "Commit" >> beam.ParDo(CommitUnit(folder, claimed))
    )


def find_remaining(config: CaptionConfig, folder: str, skipped: SkippedFiles) -> Remaining:
    """The pictures of the inputs that lack a row in `folder`, to be iterated once."""
    images = list_all_images(config.inputs, skipped, config.image_column)
    return Remaining(images, read_ledger(folder), config.selection)


def plan(remaining: Remaining, config: CaptionConfig, claimed: Claim) -> list[Unit]:
    """The work: units of what lacks a row or has a stale one."""
    taken = remaining.ledger.parts
    units = plan_units(remaining, config.unit_size, claimed.plan_uri, taken)
    _check_selected(remaining, config)
    return units


def _check_selected(remaining: Remaining, config: CaptionConfig) -> None:
    if not remaining.inputs:
        raise CaptionerError(
            f"--sample: got {config.sample}, which takes none of the images; give a larger share"
        )


def _note_unflagged(bundle: BundleConfig) -> None:
    """Says so where no caption can be flagged: that none is would look like good news."""
    if bundle.low_score is None:
        print(
            "note: no caption will be flagged as low_score: the bundle was not evaluated with this "
            "decoding; give captioner evaluate the same options, and export then",
            file=sys.stderr,
        )


def _caption(
    config: CaptionConfig,
    bundle: BundleConfig,
    pipeline_options: PipelineOptions,
    folder: str,
    claimed: Claim,
) -> Outcome:
    """Captions what lacks a row, until everything has one."""
    skipped, stages = SkippedFiles(), dict[str, float]()
    remaining = find_remaining(config, folder, skipped)
    units = plan(remaining, config, claimed)
    committed = Committed(folder, units, remaining.retried_uris)
    if units:
        _note_unflagged(bundle)
        pipeline = beam.Pipeline(options=pipeline_options)
        look = partial(committed.look, remaining.to_do)
        with dead_workers_told(), shown_progress(look), pipeline:
            build(pipeline, units, config, folder, claimed)
        stages = stage_seconds(pipeline.result)
    committed.update()
    committed.check_complete()
    # Last: whatever ended the run before would have cost captions that nothing replaces yet.
    unlisted = remaining.unlisted()
    _remove_stale(remaining, unlisted if config.remove_unlisted else None, folder, claimed)
    account = Account(
        inputs=remaining.inputs,
        already_done=remaining.already_done,
        captioned=committed.statuses[CAPTIONED],
        rejected=committed.statuses[REJECTED],
        reasons=dict(committed.reasons),
        already_rejected=remaining.already_rejected,
        retried=remaining.retried,
        rejected_again=committed.rejected_again,
    )
    account.check()
    return Outcome(account, skipped, stages, Unlisted(len(unlisted), config.remove_unlisted))


def _remove_stale(
    remaining: Remaining, unlisted: pa.ChunkedArray | None, folder: str, claimed: Claim
) -> None:
    """Removes the rows that others took the place of, and those of the pictures `unlisted`."""
    gone = [pa.array(remaining.listed_at_last(), pa.large_string())]
    gone += unlisted.chunks if unlisted is not None else []
    if remaining.changed or remaining.retried or remaining.ledger.doubles or any(map(len, gone)):
        ledger = read_ledger(folder)
        places = ledger.places_of(pa.chunked_array(gone))
        remove_rows(ledger, [*ledger.doubles, *places], claimed.check)


def _dry_run(config: CaptionConfig, folder: str) -> int:
    skipped = SkippedFiles()
    remaining = find_remaining(config, folder, skipped)
    for _ in remaining:
        pass
    _check_selected(remaining, config)
    unlisted = Unlisted(len(remaining.unlisted()), config.remove_unlisted)
    _print(forecast(remaining, config.unit_size, skipped, unlisted, folder))
    return 0


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    started = time.monotonic()
    pipeline_options = make_options(options.beam)
    config = read_config(options)
    check_workers_see(pipeline_options, {"--output": [config.output], "--input": config.inputs})
    bundle = check_model(config)
    check_output(config)
    partition = partition_of(bundle, config.engine, config.kept)
    folder = partition_folder(config.output, partition)
    if config.dry_run:
        return _dry_run(config, folder)
    # Before the folder is taken over from a run that may be at work there.
    check_sources(config.inputs, config.image_column)
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    with failures_told(), claim(config.output, run_id) as claimed:
        outcome = _caption(config, bundle, pipeline_options, folder, claimed)
        account, seconds = outcome.account, time.monotonic() - started
        if account.captioned or account.rejected or outcome.unlisted.removed:
            record = run_record(config, bundle, outcome, seconds)
            files.write_text(f"{config.output}/{RUNS}/{run_id}.json", record)
    _print(summary(outcome, folder, seconds))
    if account.exceeds(config.max_reject_ratio):
        print(
            f"captioner caption: rejected {account.rejected} of "
            f"{account.captioned + account.rejected} images in this run, {account.all_rejected} of "
            f"{account.inputs} in all, more than --max-reject-ratio {config.max_reject_ratio}",
            file=sys.stderr,
        )
        return TOO_MANY_REJECTS
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    from pipelines.cli import leave, main

    leave(main(["caption", *sys.argv[1:]]))
