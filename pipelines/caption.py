"""`captioner caption`: an archive of pictures to Parquet captions, one row a picture."""

import argparse
import dataclasses
import datetime
import json
import os
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference

from model.bundle import read_bundle_config
from model.config import BundleConfig
from model.errors import CaptionerError
from pipelines import files
from pipelines.beam_options import make_options
from pipelines.inference import CommitUnit, UnitCaptioner
from pipelines.records import Unit
from pipelines.schemas import CAPTIONED, REJECTED
from pipelines.sources import SkippedFiles, list_all_images, normalise_uri
from pipelines.units import Remaining, done_uris, plan_units, unit_uri

TOO_MANY_REJECTS = 3
_RUNS = "_runs"


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """What `captioner caption` was asked for."""

    bundle: str
    inputs: tuple[str, ...]
    output: str
    unit_size: int
    batch_size: int
    max_reject_ratio: float

    def __post_init__(self) -> None:
        for name in ("unit_size", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                raise CaptionerError(f"--{name.replace('_', '-')}: got {value}, expected 1 or more")
        if not 0 <= self.max_reject_ratio <= 1:
            raise CaptionerError(
                f"--max-reject-ratio: got {self.max_reject_ratio}, expected a share from 0 to 1"
            )


@dataclasses.dataclass(frozen=True)
class Account:
    """Where every picture of the inputs went: inputs = already done + captioned + rejected."""

    inputs: int
    already_done: int
    captioned: int
    rejected: int
    reasons: dict[str, int]

    def check(self) -> None:
        """Raises:
        RuntimeError: if the sum does not hold: a defect, never the user's fault.
        """
        total = self.already_done + self.captioned + self.rejected
        if total != self.inputs:
            raise RuntimeError(
                f"got {self.inputs} images, but {total} rows ({self}): please report this"
            )

    def exceeds(self, max_reject_ratio: float) -> bool:
        """Whether too large a share of this run's pictures was rejected."""
        return self.rejected > max_reject_ratio * (self.captioned + self.rejected)


def read_config(options: argparse.Namespace) -> CaptionConfig:
    """The configuration that the command's options ask for."""
    return CaptionConfig(
        bundle=normalise_uri(options.bundle),
        inputs=tuple(options.input),
        output=normalise_uri(options.output),
        unit_size=options.unit_size,
        batch_size=options.batch_size,
        max_reject_ratio=options.max_reject_ratio,
    )


def check_output(output: str) -> None:
    """Checks that `output` is absent, empty, or holds captions.

    Raises:
        CaptionerError: if it holds anything else.
    """
    if not files.is_local(output) or not os.path.lexists(output):
        return
    if not os.path.isdir(output):
        raise CaptionerError(f"--output {output} is a file; expected a folder")
    foreign = [name for name in os.listdir(output) if name != _RUNS and "model=" not in name]
    if foreign:
        raise CaptionerError(
            f"--output {output} holds files that are no captions, e.g. {sorted(foreign)[0]}; "
            "choose another folder"
        )


def build(pipeline: beam.Pipeline, units: list[Unit], config: CaptionConfig, folder: str) -> None:
    """The whole pipeline: units to committed Parquet files in `folder`."""
    captioner = UnitCaptioner(config.bundle, config.batch_size)
    _ = (
        pipeline
        | "Units" >> beam.Create([[unit] for unit in units], reshuffle=True)
        | "Caption" >> RunInference(captioner.with_no_batching())
        | "Commit" >> beam.ParDo(CommitUnit(folder))
    )


def count_rows(folder: str, units: list[Unit]) -> tuple[Counter, Counter]:
    """Rows by status, and rejected rows by reason, of the files that `units` committed.

    Raises:
        RuntimeError: if a unit has no file.
    """
    statuses: Counter = Counter()
    reasons: Counter = Counter()
    for unit in units:
        try:
            with files.open_bytes(unit_uri(folder, unit)) as file:
                table = pq.read_table(file, columns=["status", "reason"])
        except FileNotFoundError as error:
            raise RuntimeError(f"unit {unit.unit_id} was not committed; run again") from error
        statuses.update(table.column("status").to_pylist())
        reasons.update(reason for reason in table.column("reason").to_pylist() if reason)
    return statuses, reasons


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    pipeline_options = make_options(options.beam)
    config = read_config(options)
    bundle = read_bundle_config(Path(config.bundle))
    check_output(config.output)
    started = time.monotonic()
    folder = f"{config.output}/model={bundle.model_fingerprint}"
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    # Named as a temporary: the next run deletes what a killed one leaves.
    plan_uri = f"{config.output}/{_RUNS}/_{run_id}.plan.tmp"
    skipped = SkippedFiles()
    images = list_all_images(config.inputs, skipped)
    files.delete_temporaries(config.output)
    remaining = Remaining(images, done_uris(folder))
    units = plan_units(remaining, config.unit_size, plan_uri)
    try:
        if units:
            with files.full_disk_told(), beam.Pipeline(options=pipeline_options) as pipeline:
                build(pipeline, units, config, folder)
        statuses, reasons = count_rows(folder, units)
    finally:
        FileSystems.delete([plan_uri])
    account = Account(
        inputs=remaining.inputs,
        already_done=remaining.already_done,
        captioned=statuses[CAPTIONED],
        rejected=statuses[REJECTED],
        reasons=dict(reasons),
    )
    account.check()
    seconds = time.monotonic() - started
    if units:
        manifest = _manifest(config, bundle, account, skipped, seconds)
        files.write_text(f"{config.output}/{_RUNS}/{run_id}.json", manifest)
    _print_summary(account, skipped, folder, seconds)
    if account.exceeds(config.max_reject_ratio):
        print(
            f"captioner caption: rejected {account.rejected} of "
            f"{account.captioned + account.rejected} images, more than --max-reject-ratio "
            f"{config.max_reject_ratio}",
            file=sys.stderr,
        )
        return TOO_MANY_REJECTS
    return 0


def _manifest(
    config: CaptionConfig,
    bundle: BundleConfig,
    account: Account,
    skipped: SkippedFiles,
    seconds: float,
) -> str:
    """The run's record as JSON."""
    record: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "bundle": dataclasses.asdict(bundle),
        "account": dataclasses.asdict(account),
        "skipped_by_suffix": dict(skipped.by_suffix),
        "ended_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "duration_sec": round(seconds, 1),
    }
    return json.dumps(record, indent=2) + "\n"


def _print_summary(account: Account, skipped: SkippedFiles, folder: str, seconds: float) -> None:
    print(
        f"{account.inputs} images = {account.already_done} already done + {account.captioned} "
        f"captioned + {account.rejected} rejected"
    )
    for reason, count in sorted(account.reasons.items()):
        print(f"  rejected: {reason} {count}")
    if account.already_done == account.inputs:
        print("Nothing to do: every image has its row.")
    else:
        done = account.captioned + account.rejected
        print(f"  {done} images in {seconds:.1f} s, start-up and listing included")
    print(f"  files of the folders that are no pictures: {skipped}")
    print(f"captions in {folder}")


if __name__ == "__main__":
    from pipelines.cli import main

    sys.exit(main(["caption", *sys.argv[1:]]))
