"""Tests of the end of a worker's process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest
from pipeline_builders import ROOT

HARNESS = "apache_beam.runners.worker.sdk_worker_main"
# A main module of another name, with something that would be taken apart at its end.
PROGRAM = textwrap.dedent("""
    import atexit, sys
    from importlib.machinery import ModuleSpec
    from pipelines.worker_end import end_at_once

    __spec__ = ModuleSpec({name!r}, None)
    atexit.register(print, "taken apart")
    end_at_once()
    print("all done")
    {last}
""")


def run(name: str, last: str = "") -> subprocess.CompletedProcess:
    program = PROGRAM.format(name=name, last=last)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_the_harness_is_where_beam_has_it() -> None:
    assert importlib.util.find_spec(HARNESS) is not None


def test_a_worker_ends_at_once_and_what_it_said_is_there() -> None:
    done = run(HARNESS)
    assert (done.returncode, done.stdout) == (0, "all done\n")


def test_a_worker_that_fails_says_so() -> None:
    done = run(HARNESS, "raise ValueError('no luck')")
    assert (done.returncode, done.stdout) == (1, "all done\n")
    assert "ValueError: no luck" in done.stderr


@pytest.mark.parametrize("name", ["__main__", "somebody.elses.program"])
def test_any_other_process_ends_as_ever(name: str) -> None:
    done = run(name)
    assert (done.returncode, done.stdout) == (0, "all done\ntaken apart\n")
