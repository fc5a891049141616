"""The account of a captioning run: where every picture went, as record and as summary."""

import dataclasses
import datetime
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from model.artifacts import BundleConfig
from pipelines.caption_config import CaptionConfig
from pipelines.sources import SkippedFiles, normalise_uri
from pipelines.stages import stage_lines
from pipelines.units import Remaining

_CONTAINERS_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Account:
    """Where every picture of the inputs went: inputs = already done + captioned + rejected.

    Attributes:
        inputs: pictures of all inputs.
        already_done: those that had their row before the run.
        captioned: those that the run captioned.
        rejected: those that it rejected.
        reasons: these, by reason.
        already_rejected: those already done whose row tells of a reject.
        retried: pictures that the run did again because they had been rejected before.
        rejected_again: those of them that it rejected.
    """

    inputs: int
    already_done: int
    captioned: int
    rejected: int
    reasons: dict[str, int]
    already_rejected: int = 0
    retried: int = 0
    rejected_again: int = 0

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
        """Whether too large a share was rejected, of this run's pictures or of all inputs.

        Of all, so that to run again is no way to success. Pictures that were rejected before count
        there alone: they may be all that a rerun has left to do.
        """
        new = self.captioned + self.rejected - self.retried
        of_run = self.rejected - self.rejected_again > max_reject_ratio * new
        return of_run or self.all_rejected > max_reject_ratio * self.inputs

    @property
    def all_rejected(self) -> int:
        """Pictures of the inputs whose row tells of a reject."""
        return self.already_rejected + self.rejected


@dataclasses.dataclass(frozen=True)
class Unlisted:
    """Rows of pictures that no input lists: deleted, renamed, or of another run's inputs.

    Attributes:
        count: how many.
        to_remove: whether they go.
    """

    count: int = 0
    to_remove: bool = False

    @property
    def removed(self) -> int:
        """How many go."""
        return self.count if self.to_remove else 0

    def lines(self, going: str) -> Iterator[str]:
        """What a person is told of them, if there are any; `going` says how those go."""
        fate = going if self.to_remove else "stay; --remove-unlisted removes them"
        if self.count:
            yield f"  rows of pictures that these inputs do not list: {self.count} (they {fate})"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run has to tell: its account, what it passed over, the seconds of each stage."""

    account: Account
    skipped: SkippedFiles
    stages: Mapping[str, float]
    unlisted: Unlisted = Unlisted()


def run_record(
    config: CaptionConfig,
    bundle: BundleConfig,
    outcome: Outcome,
    seconds: float,
) -> str:
    """The run's record as JSON; `seconds` is what all of it took."""
    inputs = [normalise_uri(source) for source in config.inputs]  # wherever it was run
    record: dict[str, Any] = {
        "config": {**dataclasses.asdict(config), "inputs": inputs},
        "bundle": dataclasses.asdict(bundle),
        "account": dataclasses.asdict(outcome.account),
        "unlisted_rows": outcome.unlisted.count,
        "skipped_by_suffix": dict(outcome.skipped.by_suffix),
        "ended_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "duration_sec": round(seconds, 1),
        "stages_sec": {stage: round(spent, 3) for stage, spent in outcome.stages.items()},
    }
    return json.dumps(record, indent=2) + "\n"


def summary(outcome: Outcome, folder: str, seconds: float) -> Iterator[str]:
    """What a person is told at the end of a run, line by line."""
    account = outcome.account
    yield (
        f"{account.inputs} images = {account.already_done} already done + {account.captioned} "
        f"captioned + {account.rejected} rejected"
    )
    for reason, count in sorted(account.reasons.items()):
        yield f"  rejected: {reason} {count}"
    if account.already_done == account.inputs:
        yield "Nothing to do: every image has its row."
    else:
        done = account.captioned + account.rejected
        rate = f"{done / seconds:.1f} images/s"
        yield f"  {done} images in {seconds:.1f} s, start-up and listing included: {rate}"
        yield from stage_lines(outcome.stages, done)
    if account.already_rejected:
        yield (
            f"  rejected before, of those already done: {account.already_rejected} "
            "(--retry-rejected does them again)"
        )
    yield from outcome.unlisted.lines("were removed")
    yield from outcome.skipped.lines()
    yield f"captions in {folder}"


def forecast(
    remaining: Remaining, unit_size: int, skipped: SkippedFiles, unlisted: Unlisted, folder: str
) -> Iterator[str]:
    """What a person is told by a dry run, line by line. `remaining` has been iterated."""
    yield "Dry run: nothing is written."
    yield (
        f"{remaining.inputs} images = {remaining.already_done} already done + "
        f"{remaining.to_do} to do"
    )
    again = {"changed": remaining.changed, "rejected before": remaining.retried}
    for why, count in again.items():
        if count:
            yield f"  {count} of them again: {why}"
    units = -(-remaining.to_do // unit_size)
    yield f"  units of up to {unit_size} images: {units}"
    yield from _by_container(remaining.by_container)
    yield from unlisted.lines("would be removed")
    yield from skipped.lines()
    yield f"captions would go to {folder}"


def _by_container(to_do: Counter[str | None]) -> Iterator[str]:
    shown = to_do.most_common(_CONTAINERS_SHOWN)
    for container, count in shown:
        yield f"  to do in {container or 'files of their own'}: {count}"
    if len(to_do) > len(shown):
        rest = to_do.total() - sum(count for _, count in shown)
        yield f"  to do in {len(to_do) - len(shown)} other containers: {rest}"
