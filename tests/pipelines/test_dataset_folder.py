"""Tests of a dataset's way to its place: whole, or nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines.dataset_folder import is_done, publish, staging_folder

NAMES = ["a.tfrecord", "dataset.json", "train.tfrecord"]


def stage(folder: str) -> None:
    for name in NAMES:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text('{"request": "asked"}', encoding="utf-8")


def make(output: str) -> None:
    with staging_folder(output) as staging:
        stage(staging)
        publish(staging, output)


def test_a_published_dataset_is_done_for_the_same_request(tmp_path: Path) -> None:
    output = str(tmp_path / "dataset")
    make(output)
    assert sorted(path.name for path in (tmp_path / "dataset").iterdir()) == NAMES
    assert is_done(output, lambda: "asked")
    with pytest.raises(CaptionerError, match="already holds another dataset"):
        is_done(output, lambda: "other")


def test_a_folder_made_in_a_clouds_console_is_empty(memory: dict[str, bytes]) -> None:
    memory["memory://bucket/dataset/"] = b""
    assert not is_done("memory://bucket/dataset", lambda: pytest.fail("there is no dataset"))


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
    assert not [goal for goal in moved if goal.endswith(".json")], "what makes it whole goes last"
    assert list(tmp_path.iterdir()) == []
    assert not is_done(output, lambda: pytest.fail("there is nothing to compare"))


def test_what_a_killed_run_moved_is_deleted(tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    stage(str(output))
    (output / "dataset.json").rename(output / "train-of-others.tfrecord")
    (output / "_incomplete").mkdir()
    (output / "_incomplete" / "moving").write_bytes(b"")
    assert not is_done(str(output), lambda: "asked")
    make(str(output))
    assert sorted(path.name for path in output.iterdir()) == NAMES


@pytest.mark.parametrize("text", ["", '{"request": ', "{}", "[]"])
def test_a_damaged_dataset_is_another_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(CaptionerError, match="already holds another dataset"):
        is_done(str(tmp_path), lambda: "asked")


def test_a_folder_of_other_files_is_refused_and_so_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(CaptionerError, match=r"files that are no dataset, e\.g\. .*notes\.txt"):
        is_done(str(tmp_path), lambda: "asked")
    with pytest.raises(CaptionerError, match="is a file"):
        is_done(str(tmp_path / "notes.txt"), lambda: "asked")


def test_a_folder_that_was_there_stays_when_nothing_comes_of_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a defect"), staging_folder(str(tmp_path / "new")):
        raise ValueError("a defect")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="a defect"), staging_folder(str(tmp_path)):
        raise ValueError("a defect")
    assert list(tmp_path.iterdir()) == []


def be_overtaken(output: str) -> None:
    with staging_folder(output) as first:
        stage(first)
        with staging_folder(output) as second:
            assert list(Path(first).iterdir()) == []
            Path(first, "late.tfrecord").write_bytes(b"of a worker that does not know")
            Path(second, "c.tfrecord").write_bytes(b"")
            stage(second)
            publish(second, output)
        raise FileNotFoundError("what the first had written is gone")


def test_of_two_runs_the_later_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    with pytest.raises(CaptionerError, match="another run") as told:
        be_overtaken(str(output))
    assert isinstance(told.value.__cause__, FileNotFoundError)
    assert sorted(path.name for path in output.iterdir()) == sorted([*NAMES, "c.tfrecord"])


def test_a_run_that_was_overtaken_does_not_publish(tmp_path: Path) -> None:
    output = str(tmp_path / "dataset")
    with staging_folder(output) as first, staging_folder(output) as later:
        stage(first)
        with pytest.raises(CaptionerError, match="another run"):
            publish(first, output)
        assert [path.name for path in Path(output).iterdir()] == ["_incomplete"]
        stage(later)
        publish(later, output)
    assert sorted(path.name for path in Path(output).iterdir()) == NAMES


def test_a_dataset_that_another_run_has_just_finished_is_kept(tmp_path: Path) -> None:
    output = str(tmp_path / "dataset")
    make(output)
    before = {path.name: path.read_bytes() for path in Path(output).iterdir()}
    with pytest.raises(CaptionerError, match="just finished"):
        staging_folder(output).__enter__()
    assert {path.name: path.read_bytes() for path in Path(output).iterdir()} == before


def test_no_file_of_the_later_run_is_deleted_by_one_that_is_overtaken_while_it_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, rename = str(tmp_path / "dataset"), FileSystems.rename
    later, staged = staging_folder(output), []

    def overtaken(sources: list[str], goals: list[str]) -> None:
        rename(sources, goals)
        if not staged:
            monkeypatch.setattr(FileSystems, "rename", rename)
            staged.append(later.__enter__())
            stage(staged[0])

    monkeypatch.setattr(FileSystems, "rename", overtaken)
    with pytest.raises(CaptionerError, match="another run"):
        make(output)
    publish(staged[0], output)
    later.__exit__(None, None, None)
    assert sorted(path.name for path in Path(output).iterdir()) == NAMES
    assert is_done(output, lambda: "asked")
