"""Tests of progress: it is counted from what was committed, and told on one line."""

from __future__ import annotations

import io
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from container_builders import caption_row, write_part
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines import progress
from pipelines.progress import (
    Committed,
    Progress,
    progress_bar,
    progress_line,
    rate_of,
    shown_progress,
)
from pipelines.records import Unit
from pipelines.schemas import CAPTIONED, REJECTED
from pipelines.units import unit_uri

UNITS = [Unit(name, "plan", number) for number, name in enumerate(("abc", "def", "ghi"))]


def commit(folder: Path, unit: Unit, captioned: int, *reasons: str) -> None:
    rows = [caption_row(f"/{unit.unit_id}/{i}.jpg") for i in range(captioned)]
    rows += [caption_row(f"/{reason}.jpg", status=REJECTED, reason=reason) for reason in reasons]
    write_part(Path(unit_uri(str(folder), unit)), rows)


def test_rows_are_counted_once_and_those_of_other_runs_never(tmp_path: Path) -> None:
    commit(tmp_path, Unit("another", "plan", 0), 100)
    committed = Committed(str(tmp_path), UNITS)
    commit(tmp_path, UNITS[0], 3, "empty")
    for _ in range(2):
        committed.update()
        assert committed.statuses == {CAPTIONED: 3, REJECTED: 1}
    commit(tmp_path, UNITS[2], 2, "empty", "bomb")
    committed.update()
    assert committed.statuses == {CAPTIONED: 5, REJECTED: 3}
    assert committed.reasons == {"empty": 2, "bomb": 1}


def test_pictures_that_are_rejected_again_are_counted(tmp_path: Path) -> None:
    committed = Committed(str(tmp_path), UNITS, {"/empty.jpg", "/abc/0.jpg", "/bomb.jpg"})
    commit(tmp_path, UNITS[0], 3, "empty", "missing")
    committed.update()
    assert (committed.statuses[REJECTED], committed.rejected_again) == (2, 1)


def test_a_unit_that_was_not_committed_is_a_defect(tmp_path: Path) -> None:
    committed = Committed(str(tmp_path), UNITS[:2])
    commit(tmp_path, UNITS[0], 1)
    committed.update()
    with pytest.raises(
        CaptionerError, match=r"1 units were not committed, e\.g\. .*/part-def\.parquet, though"
    ):
        committed.check_complete()
    commit(tmp_path, UNITS[1], 1)
    committed.update()
    committed.check_complete()


def test_remote_units_are_counted_too(memory: dict[str, bytes], tmp_path: Path) -> None:
    commit(tmp_path, UNITS[0], 2)
    part = next(tmp_path.iterdir())
    memory[f"memory://bucket/captions/{part.name}"] = part.read_bytes()
    committed = Committed("memory://bucket/captions", UNITS)
    committed.update()
    assert committed.statuses == {CAPTIONED: 2}


def test_a_line_tells_all_of_it() -> None:
    line = progress_line(Progress(12_345, 1_000_000, 37, 113.4))
    assert line == "12,345 of 1,000,000 images (1.2%), 113.4 images/s, 2 h 25 min left, 37 rejected"
    start = progress_line(Progress(0, 1_000_000, 0, None))
    assert start == "0 of 1,000,000 images (0.0%), 0 rejected"
    step = progress_line(Progress(5, 10, rate=1.0, step="decoding"))
    assert step == "decoding: 5 of 10 images (50.0%), 1.0 images/s, 5 s left"


counts = st.integers(1, 10**8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.none() | st.floats(1e-6, 1e6), st.integers(2, 300))
def test_a_bar_always_fits_its_line(
    counts: tuple[int, int], rate: float | None, columns: int
) -> None:
    bar = progress_bar(Progress(*counts, 0, rate), columns)
    assert len(bar) < columns
    assert "\n" not in bar


def test_a_bar_grows_and_gives_way_to_what_is_said() -> None:
    half = Progress(1000, 2000, 0, 10.0)
    assert progress_bar(half, 200).startswith("[" + "#" * 15 + " " * 15 + "] 1,000 of")
    assert progress_bar(half, 65).startswith("1,000 of 2,000 images (50.0%)")
    assert progress_bar(half, 10) == "1,000 of "
    assert progress_bar(Progress(2000, 2000, 0, 1.0), 200).startswith("[" + "#" * 30 + "]")


def test_the_rate_is_that_of_the_last_commits() -> None:
    assert rate_of([]) is None
    assert rate_of([(5.0, 0)]) is None
    assert rate_of([(5.0, 0), (5.0, 10)]) is None
    assert rate_of([(5.0, 100), (6.0, 110), (10.0, 200)]) == 20.0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, line_sec: float
) -> str:
    """What is shown while three units are committed."""
    monkeypatch.setattr(progress, "_LIVE_SEC", 0.01)
    monkeypatch.setattr(progress, "_LINE_SEC", line_sec)
    monkeypatch.setattr(progress.sys, "stderr", stream)
    before = threading.active_count()
    with shown_progress(partial(Committed(str(tmp_path), UNITS).look, 6)):
        for unit in UNITS:
            commit(tmp_path, unit, 1, "empty")
            end = time.monotonic() + 20
            while f"{2 * unit.batch + 2} of 6" not in stream.getvalue():
                assert time.monotonic() < end, stream.getvalue()
                time.sleep(0.01)
    assert threading.active_count() == before
    return stream.getvalue()


def test_a_terminal_has_one_live_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(tmp_path, monkeypatch, Terminal(), 60)
    assert "\n" not in text
    assert "6 of 6 images (100.0%)" in text
    assert text.endswith("\r\x1b[K"), "the line is cleared for what follows"


def test_a_log_has_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(tmp_path, monkeypatch, io.StringIO(), 0.01)
    assert "\r" not in text
    assert text.splitlines()[-1].startswith("6 of 6 images (100.0%), ")
    assert text.splitlines()[-1].endswith("3 rejected")


def test_a_short_job_says_nothing_in_a_log(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with shown_progress(partial(Committed(str(tmp_path), UNITS).look, 6)):
        time.sleep(0.05)
    assert capfd.readouterr().err == ""


def test_a_look_that_fails_is_told_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of a cloud may fail, and a part may be gone as soon as it is listed."""
    look, failures = Committed.update, [OSError("503"), CaptionerError("403")]

    def fail_at_first(committed: Committed) -> None:
        if failures:
            raise failures.pop()
        look(committed)

    monkeypatch.setattr(Committed, "update", fail_at_first)
    assert "6 of 6 images" in shown(tmp_path, monkeypatch, io.StringIO(), 0.01)


def test_a_failure_passes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of the job"):  # noqa: SIM117
        with shown_progress(partial(Committed(str(tmp_path), UNITS).look, 6)):
            raise ValueError("of the job")


def test_each_step_has_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done in the one says nothing of how long the next will take."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "_LIVE_SEC", 0.01)
    monkeypatch.setattr(progress, "_LINE_SEC", 0.0)
    monkeypatch.setattr(progress.sys, "stderr", stream)
    steps = [Progress(n, 100, step="decoding") for n in (10, 50)]
    left = iter([*steps, Progress(10, 20, step="writing")])
    last = Progress(15, 20, step="writing")
    with shown_progress(lambda: next(left, last)):
        end = time.monotonic() + 20
        while "15 of 20" not in stream.getvalue():
            assert time.monotonic() < end
            time.sleep(0.01)
    lines = stream.getvalue().splitlines()
    told = [line.split(" images (")[0] for line in lines[:4]]
    assert told[:2] == ["decoding: 10 of 100", "decoding: 50 of 100"]
    assert told[2:] == ["writing: 10 of 20", "writing: 15 of 20"]
    assert ["images/s" in line for line in lines[:4]] == [False, True, False, True]
