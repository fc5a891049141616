"""Tests of a disk that fills: a clear error, nothing that looks whole, and a clean second run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_builders import captioner, files_of, preprocess_arguments

from model.dataset import read_dataset_info


def _mount(*options: str) -> bool:
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 KiB, which no dataset fits on."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", "size=48k", "none", str(folder)):
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(
    captioned: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_disk / "dataset"
    assert captioner(*preprocess_arguments(captioned, output)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("captioner preprocess: error: No space left on device")
    assert not files_of(small_disk)

    assert _mount("-o", "remount,size=64m", str(small_disk))
    assert captioner(*preprocess_arguments(captioned, output)) == 0
    assert sum(read_dataset_info(output).examples.values()) == 19
