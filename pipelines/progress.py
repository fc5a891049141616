"""Progress of a run, counted from what it has committed: the same whichever workers do the work."""

import contextlib
import shutil
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.errors import CaptionerError
from pipelines import files
from pipelines.beam_options import NOTHING_DONE
from pipelines.readable import duration
from pipelines.records import Unit
from pipelines.schemas import REJECTED
from pipelines.units import unit_uri

_LIVE_SEC, _LINE_SEC = 1.0, 60.0
# Looking costs at most this share of a core, however many files there are.
_SHARE_OF_TIME = 0.05
# Commits that the rate is measured over: one alone says little, old ones are of another time.
_COMMITS = 12
_BAR_WIDTH, _LEAST_BAR_WIDTH = 30, 5


@dataclass(frozen=True)
class Progress:
    """How far a run, or a step of it, is.

    Attributes:
        done: pictures that are done with.
        total: pictures to do.
        rejected: of those done; None if it is not known yet.
        rate: pictures a second; None before the first is done.
        step: what is done with them, "" for a run of one step.
    """

    done: int
    total: int
    rejected: int | None = None
    rate: float | None = None
    step: str = ""


class Committed:
    """The rows of the files that `units` have committed to `folder` so far.

    Attributes:
        statuses: rows by status.
        reasons: rejects by reason.
        rejected_again: rejects among the pictures `retried`.
    """

    def __init__(self, folder: str, units: Sequence[Unit], retried: Set[str] = frozenset()) -> None:
        self._folder, self._retried = folder, retried
        self._pending = {unit_uri(folder, unit): unit.unit_id for unit in units}
        self.statuses: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.rejected_again = 0

    def update(self) -> None:
        """Counts the rows of the files that are new."""
        for uri in files.list_tree(self._folder):
            if uri in self._pending:
                with files.open_bytes(uri) as file:
                    table = pq.read_table(file, columns=["image_uri", "status", "reason"])
                del self._pending[uri]
                self.statuses.update(table["status"].to_pylist())
                self.reasons.update(filter(None, table["reason"].to_pylist()))
                rejected = table.filter(pc.equal(table["status"], REJECTED))
                again = self._retried & set(rejected["image_uri"].to_pylist())
                self.rejected_again += len(again)

    def look(self, total: int) -> Progress:
        """The progress towards `total` pictures, after another `update`."""
        self.update()
        return Progress(self.statuses.total(), total, self.statuses[REJECTED])

    def check_complete(self) -> None:
        """Checks that `update` has found every unit.

        Raises:
            CaptionerError: if a unit has no file.
        """
        if self._pending:
            raise CaptionerError(
                f"{len(self._pending)} units were not committed, e.g. {min(self._pending)}, "
                f"{NOTHING_DONE}"
            )


def progress_line(progress: Progress) -> str:
    """What a person is told of a run's progress, on one line."""
    share = progress.done / progress.total
    step = f"{progress.step}: " if progress.step else ""
    parts = [f"{step}{progress.done:,} of {progress.total:,} images ({100 * share:.1f}%)"]
    if progress.rate:
        left = duration((progress.total - progress.done) / progress.rate)
        parts += [f"{progress.rate:.1f} images/s", f"{left} left"]
    if progress.rejected is not None:
        parts.append(f"{progress.rejected:,} rejected")
    return ", ".join(parts)


def progress_bar(progress: Progress, columns: int) -> str:
    """`progress_line` behind a bar if there is room, in less than `columns`: on one line."""
    line = progress_line(progress)
    width = min(_BAR_WIDTH, columns - len(line) - 4)
    if width < _LEAST_BAR_WIDTH:
        return line[: columns - 1]
    return f"[{'#' * (width * progress.done // progress.total):<{width}}] {line}"


def rate_of(commits: Sequence[tuple[float, int]]) -> float | None:
    """Pictures a second from the first to the last of `commits`, pairs of seconds and pictures."""
    if len(commits) < 2:
        return None
    (start, before), (end, done) = commits[0], commits[-1]
    return (done - before) / (end - start) if end > start else None


@contextlib.contextmanager
def shown_progress(look: Callable[[], Progress]) -> Iterator[None]:
    """Shows the progress of what runs within: a bar on a terminal, else a line a minute.

    Args:
        look: tells how far it is, without a rate.
    """
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(look, over, sys.stderr), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(look: Callable[[], Progress], over: threading.Event, stream: TextIO) -> None:
    live = stream.isatty()
    interval, next_line = _LIVE_SEC, time.monotonic() + _LINE_SEC
    progress, commits = Progress(0, 0), deque([(time.monotonic(), 0)], _COMMITS)
    while not over.wait(interval):
        started, step = time.monotonic(), progress.step
        # The run counts once more at its end, and says then what is wrong.
        with contextlib.suppress(OSError, pa.ArrowException, CaptionerError):
            progress = look()
        now = time.monotonic()
        if progress.step != step:
            commits = deque([(now, progress.done)], _COMMITS)
        if progress.done > commits[-1][1]:
            commits.append((now, progress.done))
        told = replace(progress, rate=rate_of(commits))
        if live and told.total:
            bar = progress_bar(told, shutil.get_terminal_size().columns)
            print(f"\r\x1b[K{bar}", end="", file=stream, flush=True)
        elif now >= next_line and told.total:
            next_line = now + _LINE_SEC
            print(progress_line(told), file=stream, flush=True)
        interval = max(_LIVE_SEC, (now - started) / _SHARE_OF_TIME)
    if live:
        print("\r\x1b[K", end="", file=stream, flush=True)
