"""Tests of disks, files and reads that fail: a clear error, nothing lost, a clean second run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipeline_builders import (
    FINGERPRINT,
    ROOT,
    assert_same_rows,
    caption_arguments,
    captioner,
    files_of,
    preprocess_arguments,
    read_rows,
    statuses,
    write_picture,
)

from model.dataset import read_dataset_info
from pipelines import caption


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
    # Lazily: the traceback of a failed write, which the test's log keeps, holds its file open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_full_disk_is_told_and_no_dataset_is_left(
    captioned: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = small_disk / "dataset"
    assert captioner(*preprocess_arguments(captioned, output)) == 2
    error = "captioner preprocess: error: No space left on device"
    assert last_error(capsys).startswith(error)
    assert not files_of(small_disk)

    assert _mount("-o", "remount,size=64m", str(small_disk))
    assert captioner(*preprocess_arguments(captioned, output)) == 0
    assert sum(read_dataset_info(output).examples.values()) == 19


def test_a_full_disk_costs_no_caption_that_was_written(
    archive: Path,
    captions: Path,
    tiny_bundle: Path,
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = small_disk / "captions"
    arguments = caption_arguments(tiny_bundle, archive, output, "--unit-size", "4")
    assert captioner(*arguments) == 2
    assert last_error(capsys).startswith("captioner caption: error: No space left on device")
    names = list(files_of(output))
    assert names, "the disk is too small for a single unit"
    assert all(name.startswith(f"model={FINGERPRINT}/part-") for name in names)
    done = len(read_rows(output))

    assert _mount("-o", "remount,size=64m", str(small_disk))
    assert captioner(*arguments) == 0
    assert f"30 images = {done} already done" in capsys.readouterr().out
    assert_same_rows(read_rows(output), read_rows(captions))


def test_a_disk_that_must_not_be_written_is_told_before_work_starts(
    archive: Path, tiny_bundle: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _mount("-o", "remount,ro", str(small_disk))
    assert captioner(*caption_arguments(tiny_bundle, archive, small_disk / "captions")) == 2
    line = last_error(capsys)
    assert line.startswith(f"captioner caption: error: --output {small_disk}/captions cannot be")
    assert "Read-only file system" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_told(
    archive: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o500)
    assert captioner(*caption_arguments(tiny_bundle, archive, tmp_path / "captions")) == 2
    assert "Permission denied" in last_error(capsys)


def test_a_file_that_is_gone_when_it_is_read_is_a_reject(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    for seed in range(3):
        write_picture(archive / f"{seed}.jpg", seed)
    plan = caption.plan

    def then_delete(*arguments: Any) -> Any:
        units = plan(*arguments)
        (archive / "1.jpg").unlink()
        return units

    monkeypatch.setattr(caption, "plan", then_delete)
    arguments = caption_arguments(tiny_bundle, archive, output, "--max-reject-ratio", "1")
    assert captioner(*arguments) == 0
    rows = read_rows(output)
    assert [row["reason"] for row in rows] == [None, "missing", None]
    assert rows[1]["byte_size"] > 0, "the size that the listing gave"


# What was a file when it was listed is a pipe when it is read: its bytes never come.
_THEN_STALLS = """
import os, sys
from pipelines import caption, cli
path, plan = sys.argv.pop(1), caption.plan
def then_stalls(*arguments):
    units = plan(*arguments)
    os.remove(path)
    os.mkfifo(path)
    return units
caption.plan = then_stalls
cli.console()
"""


def test_a_read_that_stalls_is_a_reject_and_keeps_no_process_alive(
    archive: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_picture(tmp_path / "stalls.jpg", seed=99)
    sound = sorted(str(path) for path in archive.glob("picture-*.jpg"))
    manifest = tmp_path / "pictures.txt"
    manifest.write_text("\n".join([*sound[:3], "stalls.jpg", *sound[3:]]), encoding="utf-8")
    arguments = caption_arguments(
        tiny_bundle, manifest, tmp_path / "captions", "--read-timeout-sec", "2"
    )
    line = [sys.executable, "-c", _THEN_STALLS, tmp_path / "stalls.jpg", *arguments]
    done = subprocess.run(
        [*line, "--max-reject-ratio", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rejected: stalled 1" in done.stdout
    assert statuses(read_rows(tmp_path / "captions")) == {None: len(sound), "stalled": 1}
