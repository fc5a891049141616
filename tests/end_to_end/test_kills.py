"""Tests of runs killed again and again, at moments drawn by chance: the last one ends it all well.

The environment variable CAPTIONER_KILLS says how often; 2 unless set.
"""

from __future__ import annotations

import datetime
import json
import os
import random
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as pads
import pytest
from pipeline_builders import (
    FINGERPRINT,
    TWO_PROCESSES,
    assert_same_rows,
    caption_arguments,
    captioner,
    files_of,
    kill_when,
    read_rows,
    start,
    write_archive,
    write_picture,
)

KILLS = int(os.environ.get("CAPTIONER_KILLS", "2"))
SEED = 5


def times_of_captions(output: Path) -> dict[str, object]:
    """When each picture was captioned; fails if one has two captions.

    Of a reject that is tried again there may be two rows, until the next run.
    """
    folder = output / f"model={FINGERPRINT}"
    if not folder.exists():
        return {}
    table = pads.dataset(str(folder), format="parquet").to_table()
    rows = table.filter(pc.equal(table["status"], "captioned"))
    times = dict(
        zip(*(rows[name].to_pylist() for name in ("image_uri", "captioned_at")), strict=True)
    )
    assert len(times) == len(rows), "a picture has two captions"
    return times


def units_in(output: Path) -> int:
    return sum(1 for _ in output.glob("model=*/part-*.parquet"))


def claims_in(output: Path) -> set[str]:
    return {path.name for path in output.glob("_runs/_*.claim.tmp")}


def run_and_kill(output: Path, rng: random.Random, *arguments: object) -> bool:
    """A run killed some units after it began; whether it was still running then."""
    claims, goal = claims_in(output), units_in(output) + rng.randrange(6)

    def is_far_enough() -> bool:
        return bool(claims_in(output) - claims) and units_in(output) >= goal

    process = start("caption", *arguments)
    was_running = kill_when(process, is_far_enough, rng.uniform(0, 0.1))
    process.communicate()
    return was_running


@pytest.mark.timeout(300 + 60 * KILLS)
def test_runs_killed_at_any_moment_are_finished_by_the_last(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    expected = write_archive(archive, 60 * max(2, KILLS))
    arguments = caption_arguments(
        tiny_bundle, archive, output, "--unit-size", "2", "--max-reject-ratio", "1"
    )
    rng, killed = random.Random(SEED), 0
    done: dict[str, object] = {}
    for _ in range(KILLS):
        # Rejected pictures are done again by some of the runs: their rows are remade and removed.
        retry = ["--retry-rejected"] if rng.random() < 0.5 else []
        killed += run_and_kill(output, rng, *arguments[1:], *retry)
        before, done = done, times_of_captions(output)
        again = {uri for uri, moment in before.items() if done.get(uri) != moment}
        assert not again, f"lost, or done twice: {again}"
    assert killed, "every run ended before it was killed"
    assert len(done) < len(expected), "nothing was left for the last run"
    # Runs killed at other moments would have left these.
    (output / "_runs" / "_killed.json.0.tmp").write_bytes(b"half")
    (output / f"model={FINGERPRINT}" / "_part-half.parquet.0.tmp").write_bytes(b"half")
    before = {row["image_uri"] for row in read_rows(output)}

    assert captioner(*arguments) == 0
    (record,) = output.glob("_runs/*.json")
    account = json.loads(record.read_text(encoding="utf-8"))["account"]
    assert (account["inputs"], account["already_done"]) == (len(expected), len(before))
    again = {uri for uri, moment in done.items() if times_of_captions(output)[uri] != moment}
    assert not again, f"done twice: {again}"
    rows = read_rows(output)
    assert len(rows) == len(expected), "a picture has two rows"
    assert {row["image_uri"]: row["reason"] for row in rows} == expected
    undisturbed = tmp_path / "undisturbed"
    assert captioner(*caption_arguments(tiny_bundle, archive, undisturbed)) == 0
    assert_same_rows(rows, read_rows(undisturbed))
    assert not [name for name in files_of(output) if name.endswith(".tmp")], "leftovers"


@pytest.mark.timeout(300 + 60 * KILLS)
def test_pictures_that_all_changed_have_a_row_at_every_moment(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    expected = write_archive(archive, 30 * max(2, KILLS))
    arguments = caption_arguments(
        tiny_bundle, archive, output, "--unit-size", "2", "--max-reject-ratio", "1"
    )
    assert captioner(*arguments) == 0
    touched, before = datetime.datetime.now(datetime.UTC), read_rows(output)
    for uri in expected:
        Path(uri).touch()
    rng, killed = random.Random(SEED), 0
    for _ in range(KILLS):
        killed += run_and_kill(output, rng, *arguments[1:])
        assert {row["image_uri"] for row in read_rows(output)} == set(expected)
    assert killed, "every run ended before it was killed"
    assert captioner(*arguments) == 0
    assert_same_rows(read_rows(output), before)
    table = pads.dataset(str(output / f"model={FINGERPRINT}"), format="parquet").to_table()
    assert len(table) == len(expected)
    assert min(table["captioned_at"].to_pylist()) > touched


@pytest.mark.timeout(600)
def test_workers_that_outlive_their_driver_do_nothing_twice(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    write_picture(archive / "0.jpg", 0)
    for number in range(1, 600):
        os.link(archive / "0.jpg", archive / f"{number}.jpg")
    # So large that some are in the making when the driver dies; workers outlive it by a second.
    arguments = caption_arguments(tiny_bundle, archive, output, "--unit-size", "60")
    assert captioner(*arguments, "--dry-run") == 0  # what the next run needs is imported now
    process = start("caption", *arguments[1:], "--", *TWO_PROCESSES)
    assert kill_when(process, lambda: units_in(output) >= 1), "it ended before it was killed"
    # At once, and with other units: what a worker still commits would not be the same file.
    assert captioner(*arguments, "--unit-size", "50") == 0
    process.communicate()  # its workers are gone now
    assert len(times_of_captions(output)) == 600
