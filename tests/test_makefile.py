"""Tests of the Makefile's own set-up, as far as they go without doing it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pipeline_builders import ROOT


def test_a_machine_without_python_is_told_which_one_is_wanted(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "setup.py"):
        (tmp_path / name).touch()
    (tmp_path / "bin").mkdir()
    steps = subprocess.run(
        [make, "--dry-run", "setup"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert steps.stdout.startswith("python3.11 -c ")
