"""Tests of a dataset's way to its place: whole, or nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines.dataset_folder import is_done, publish, staging_folder


def stage(folder: str) -> None:
    for name in ("a.tfrecord", "b.tfrecord", "dataset.json"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text('{"request": "asked"}', encoding="utf-8")


def make(output: str) -> None:
    with staging_folder(output) as staging:
        stage(staging)
        publish(staging, output)


def test_a_published_dataset_is_done_for_the_same_request(tmp_path: Path) -> None:
    output = str(tmp_path / "dataset")
    make(output)
    names = sorted(path.name for path in (tmp_path / "dataset").iterdir())
    assert names == ["a.tfrecord", "b.tfrecord", "dataset.json"]
    assert is_done(output, lambda: "asked")
    with pytest.raises(CaptionerError, match="already holds another dataset"):
        is_done(output, lambda: "other")


@pytest.mark.parametrize("fails_at", range(3))
def test_a_move_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    output, moved, rename = str(tmp_path / "dataset"), [], FileSystems.rename

    def interrupted(sources: list[str], goals: list[str]) -> None:
        if len(moved) == fails_at:
            raise KeyboardInterrupt
        moved.extend(goals)
        rename(sources, goals)

    monkeypatch.setattr(FileSystems, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(output)
    assert list(tmp_path.iterdir()) == []
    assert not is_done(output, lambda: pytest.fail("there is nothing to compare"))


def test_what_a_killed_run_moved_is_deleted(tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    stage(str(output))
    (output / "dataset.json").unlink()
    (output / "_incomplete").mkdir()
    (output / "_incomplete" / "moving").write_bytes(b"")
    assert not is_done(str(output), lambda: "asked")
    assert [path.name for path in output.iterdir()] == ["_incomplete"]
