"""Tests of worker processes that the kernel kills: the job ends, and the next run finishes it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pipeline_builders import (
    FINGERPRINT,
    TWO_PROCESSES,
    caption_arguments,
    captioner,
    read_rows,
    start,
    write_archive,
)


def workers_of(pid: int) -> list[int]:
    """The worker processes below `pid`, without the shells that start them."""
    children = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    below = [worker for child in children for worker in workers_of(child)]
    own = [child for child in children if b"sdk_worker_main" in command_of(child)]
    return below or own


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_worker_ends_the_job_and_the_next_run_finishes_it(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    expected = write_archive(archive, 200)
    arguments = caption_arguments(tiny_bundle, archive, output, "--unit-size", "1")[1:]
    parts = output / f"model={FINGERPRINT}"
    process = start("caption", *arguments, "--", *TWO_PROCESSES)
    end = time.monotonic() + 200
    while len(list(parts.glob("part-*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no worker came so far"
        time.sleep(0.01)
    workers = workers_of(process.pid)
    os.kill(workers[0], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert process.returncode == 2
    line = errors.splitlines()[-1]
    assert line.startswith("captioner caption: error: a worker process ended before its time")
    done = len(read_rows(output))
    assert 3 <= done < len(expected), "it ended before the worker was killed"

    assert captioner("caption", *arguments) == 0
    rows = read_rows(output)
    assert {row["image_uri"]: row["reason"] for row in rows} == expected
    assert len(rows) == len(expected), "a picture has two rows"
