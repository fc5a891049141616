"""Tests that every local runner gives what the default runner gives."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from pipeline_builders import (
    TWO_PROCESSES,
    assert_same_dataset,
    assert_same_rows,
    caption_arguments,
    captioner,
    preprocess_arguments,
    read_rows,
)

PRISM = shutil.which("prism")
JOB_SERVICE = os.environ.get("CAPTIONER_JOB_SERVICE")

RUNNERS = {
    "processes": TWO_PROCESSES,
    # As on a cloud where workers die: what was done is done again, its output thrown away.
    "bundles repeated": ["--direct_runner_bundle_repeat=1"],
    # It downloads another runner, Prism, unless told of one; where there is none, it does without.
    "DirectRunner": ["--runner=DirectRunner", "--prism_location=/absent/prism"],
    # As with Flink or Spark: a job service, and a worker that is a process of its own.
    "PortableRunner": [
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
    ],
    # Beam's job server for Flink or Spark, the cluster behind it or inside.
    "job server": [
        "--runner=PortableRunner",
        f"--job_endpoint={JOB_SERVICE}",
        "--environment_type=LOOPBACK",
    ],
    # What `--runner=DirectRunner` downloads, of Beam's own source.
    "Prism": ["--runner=PrismRunner", f"--prism_location={PRISM}"],
}

each_runner = pytest.mark.parametrize(
    "runner",
    [
        pytest.param(
            name,
            marks=[
                pytest.mark.skipif(
                    name == "Prism" and not PRISM, reason="no `prism` on PATH (docs/scaling.md)"
                ),
                pytest.mark.skipif(
                    name == "job server" and not JOB_SERVICE,
                    reason="CAPTIONER_JOB_SERVICE names no job server (docs/scaling.md)",
                ),
            ],
        )
        for name in RUNNERS
    ],
)


@each_runner
def test_captions_do_not_depend_on_the_runner(
    archive: Path, tiny_bundle: Path, captions: Path, tmp_path: Path, runner: str
) -> None:
    arguments = caption_arguments(tiny_bundle, archive, tmp_path / "captions")
    assert captioner(*arguments, "--", *RUNNERS[runner]) == 0
    assert_same_rows(read_rows(tmp_path / "captions"), read_rows(captions))


@each_runner
def test_datasets_do_not_depend_on_the_runner(
    captioned: Path, preprocessed: Path, tmp_path: Path, runner: str
) -> None:
    arguments = preprocess_arguments(captioned, tmp_path / "dataset")
    assert captioner(*arguments, "--", *RUNNERS[runner]) == 0
    assert_same_dataset(tmp_path / "dataset", preprocessed)
