"""Tests of `captioner train`: it learns, goes on after a crash, and refuses what is wrong."""

from __future__ import annotations

import csv
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import builders
import h5py
import numpy as np
import pytest
import tensorflow as tf

from model import train as trainer
from model.artifacts import RunConfig
from model.checkpoints import Checkpoints
from model.config import ModelConfig, TrainConfig
from model.config_json import read_json, to_json
from model.dataset import read_dataset_info, read_split
from model.errors import CaptionerError
from model.evaluate import predict
from model.loading import load_model
from model.run_config import make_run_config
from model.run_folder import check_run, open_run, restore_captioner

ROOT = Path(__file__).resolve().parents[2]
STEPS_PER_EPOCH = builders.SPLITS["train"] // builders.TINY_RUN["batch_size"]


def history(run: Path) -> list[int]:
    """The epochs of history.csv, in its order."""
    with (run / "history.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def validation_losses(run: Path) -> list[float]:
    with (run / "history.csv").open(newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


def optimiser_steps(run: Path) -> int:
    """The steps that the optimiser counted up to the last checkpoint."""
    epoch = Checkpoints(run).progress().epoch
    with h5py.File(run / "checkpoints" / f"epoch-{epoch:05d}" / "training.weights.h5") as file:
        return int(file["optimizer/vars/0"][()])


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_it_learns_to_name_the_colours(trained_run: Path, squares: Path) -> None:
    model = load_model(trained_run)
    examples = read_split(squares, "validation", read_dataset_info(squares))
    rows = list(predict(model, examples, batch_size=5))
    assert len(rows) == 8
    right = [row["image_id"].split("-")[-1] in row["caption"].split() for row in rows]
    assert np.mean(right) >= 0.9
    assert all(row["caption"].split()[2:4] == ["square", "on"] for row in rows)


def test_every_epoch_is_in_the_history_and_the_logs(trained_run: Path) -> None:
    assert history(trained_run) == list(range(1, builders.TINY_RUN["epochs"] + 1))
    losses = validation_losses(trained_run)
    assert losses[-1] < losses[0] / 2
    for kind in ("train", "validation", "captions"):
        (events,) = (trained_run / "logs" / kind).glob("events.out.tfevents.*")
        steps = {
            e.step
            for e in tf.compat.v1.train.summary_iterator(str(events))
            if e.HasField("summary")
        }
        assert steps == set(history(trained_run))


def test_the_run_keeps_what_the_next_steps_need(trained_run: Path, squares: Path) -> None:
    assert (trained_run / "vocabulary.txt").read_bytes() == (
        squares / "vocabulary.txt"
    ).read_bytes()
    progress = Checkpoints(trained_run).progress()
    assert progress.epoch == builders.TINY_RUN["epochs"]
    assert progress.ended == "all epochs done"
    captioner, config, epoch = restore_captioner(trained_run)
    assert epoch == progress.best_epoch
    assert config.train.batch_size == builders.TINY_RUN["batch_size"]
    assert captioner.image_encoder.patches == 16


def test_the_optimiser_takes_as_many_steps_as_there_are_batches(trained_run: Path) -> None:
    epoch = Checkpoints(trained_run).progress().epoch
    assert optimiser_steps(trained_run) == epoch * STEPS_PER_EPOCH


def test_a_second_run_of_the_same_command_has_nothing_to_do(
    trained_run: Path, squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained_run / "history.csv").read_bytes()
    assert builders.train(squares, trained_run) == 0
    assert "is trained (all epochs done): nothing to do." in capsys.readouterr().out
    assert (trained_run / "history.csv").read_bytes() == before


def test_other_options_for_the_same_run_are_refused(
    trained_run: Path, squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert builders.train(squares, trained_run, units=65) == 2
    error = error_of(capsys)
    assert "already holds a run of another dataset or other options" in error
    assert "(differing: units: got 64, asked for 65)" in error


def concepts_run(squares: Path, count: int) -> RunConfig:
    """The configuration of a run that learns `count` concepts."""
    words = tuple(f"concept{number}" for number in range(count))
    made = make_run_config(read_dataset_info(squares), ModelConfig(), TrainConfig(), words)
    return dataclasses.replace(made, concept_shares=(0.25,) * count)


def test_a_run_from_before_shares_of_concepts_is_the_same_run(
    squares: Path, tmp_path: Path
) -> None:
    asked = concepts_run(squares, 2)
    (tmp_path / "config.json").write_text(to_json(dataclasses.replace(asked, concept_shares=())))
    check_run(tmp_path, asked, b"words")


def test_hundreds_of_other_concepts_are_told_in_short(squares: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(to_json(concepts_run(squares, 300)))
    with pytest.raises(CaptionerError, match=r"concepts: got \('concept0', .*…, asked") as caught:
        check_run(tmp_path, concepts_run(squares, 200), b"words")
    assert len(str(caught.value)) < 600
    assert "concept_shares" not in str(caught.value)


def test_another_dataset_for_the_same_run_is_refused(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.write_dataset(tmp_path / "d", {"train": 4, "validation": 4}, fingerprint="other")
    assert builders.train(tmp_path / "d", trained_run) == 2
    assert "dataset_fingerprint: got squares, asked for other" in error_of(capsys)


def test_other_words_of_the_same_dataset_are_refused(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(squares, tmp_path / "d")
    vocabulary = tmp_path / "d" / "vocabulary.txt"
    words = vocabulary.read_text().split("\n")
    vocabulary.write_text("\n".join([*words[:-3], words[-2], words[-3], words[-1]]))
    before = (trained_run / "vocabulary.txt").read_bytes()
    assert builders.train(tmp_path / "d", trained_run) == 2
    assert "holds a run of other words than the dataset's vocabulary.txt" in error_of(capsys)
    assert (trained_run / "vocabulary.txt").read_bytes() == before


def test_a_run_is_trained_by_one_process_at_a_time(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (progress_file,) = (run / "checkpoints").glob(f"epoch-*{builders.TINY_RUN['epochs']}/pro*")
    progress = json.loads(progress_file.read_text())
    progress_file.write_text(json.dumps({**progress, "ended": None}))
    with (run / "config.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert builders.train(squares, run) == 2
    assert f"--output {run}: another process trains into it" in error_of(capsys)
    assert builders.train(squares, run) == 0


def test_a_run_that_cannot_begin_leaves_nothing_that_hinders_the_next(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, words = read_json(RunConfig, trained_run / "config.json", "run"), b"words"

    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fill)
        with pytest.raises(CaptionerError, match="make room"):
            open_run(tmp_path / "run", config, words).__enter__()
    with open_run(tmp_path / "run", config, words):
        assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "vocabulary.txt"]


def test_a_folder_that_holds_something_else_is_left_alone(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    assert builders.train(squares, tmp_path) == 2
    assert "holds files that are no run" in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_dataset_without_validation_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.write_dataset(tmp_path / "d", {"train": 4, "validation": 0})
    assert builders.train(tmp_path / "d", tmp_path / "run") == 2
    assert "has no validation split to choose the best epoch by" in error_of(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("damage", "split"), [("cut short", "train"), ("missing", "validation")])
def test_a_damaged_dataset_is_one_line(
    damage: str, split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.write_dataset(tmp_path / "d", {"train": 6, "validation": 4})
    builders.DAMAGES[damage](tmp_path / "d" / f"{split}-00001-of-00002.tfrecord")
    assert builders.train(tmp_path / "d", tmp_path / "run") == 2
    error = error_of(capsys)
    assert f"the dataset {tmp_path / 'd'} is damaged: a shard is cut short, changed or" in error
    assert error.count("captioner train: error: ") == 1


def test_too_little_memory_is_one_line(
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(_: trainer.Trainer) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(trainer.Trainer, "run", run)
    assert builders.train(squares, tmp_path / "run") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "too little memory for a step of 6 pictures (OOM when allocating tensor); " in line


def test_another_backend_of_keras_is_refused(
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    assert builders.train(squares, tmp_path / "run") == 2
    assert "KERAS_BACKEND: got jax, expected tensorflow" in error_of(capsys)


def test_a_folder_that_is_no_run_cannot_be_restored(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="is no run"):
        restore_captioner(tmp_path)


def test_divergence_stops_with_an_error_and_keeps_the_last_good_epoch(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One step an epoch: the warm-up's first step has a rate of 0, the second one of 5e29.
    changes = {"batch_size": 48, "epochs": 40, "learning_rate": 1e30}
    assert builders.train(squares, tmp_path / "run", **changes) == 2
    error = error_of(capsys)
    assert (
        "of epoch 2; the checkpoint of the epoch before, if there was one, is kept: lower" in error
    )
    assert Checkpoints(tmp_path / "run").progress().epoch == 1
    assert history(tmp_path / "run") == [1]
    captioner, _, _ = restore_captioner(tmp_path / "run")
    assert all(np.isfinite(np.asarray(weight)).all() for weight in captioner.weights)


def kill_after_epoch(process: subprocess.Popen, run: Path, epoch: int) -> None:
    """Kills the training process once `epoch` is saved and in the history."""
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() or len(history(run)) < epoch:
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_run_goes_on_after_the_last_whole_epoch(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, epochs = tmp_path / "run", 4
    arguments = builders.train_arguments(squares, run, epochs=epochs)
    process = subprocess.Popen(
        [sys.executable, "-m", "model.train", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kill_after_epoch(process, run, epoch=1)
    reached = Checkpoints(run).progress()
    assert 1 <= reached.epoch < epochs
    assert reached.ended is None
    rows_before = history(run)
    assert builders.train(squares, run, epochs=epochs) == 0
    assert f"going on after epoch {reached.epoch}" in capsys.readouterr().out
    # The row of an epoch is written after its checkpoint: killed in between, it is missing.
    assert history(run) == rows_before + list(range(reached.epoch + 1, epochs + 1))
    assert Checkpoints(run).progress().epoch == epochs
    # Weights and optimiser went on too: the loss falls further and the steps add up.
    losses = validation_losses(run)
    assert losses[len(rows_before)] < 0.8 * losses[0]
    assert optimiser_steps(run) == epochs * STEPS_PER_EPOCH


def test_a_run_killed_after_its_last_epoch_is_ended_by_the_next_start(
    trained_run: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[str, int] = {}

    def read(dataset: Path, split: str, *others: Any, seed: int = 0, **more: Any) -> Any:
        seeds.setdefault(split, seed)
        return read_split(dataset, split, *others, seed=seed, **more)

    monkeypatch.setattr(trainer, "read_split", read)
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (progress_file,) = (run / "checkpoints").glob(
        f"epoch-{builders.TINY_RUN['epochs']:05d}/progress.json"
    )
    progress = json.loads(progress_file.read_text())
    progress_file.write_text(json.dumps({**progress, "ended": None}))
    assert builders.train(squares, run) == 0
    assert Checkpoints(run).progress().ended == "all epochs done"
    assert history(run) == history(trained_run)
    # Views of pictures are drawn by another seed than in the epochs before.
    assert seeds["train"] == TrainConfig().seed + builders.TINY_RUN["epochs"]


def test_a_run_killed_when_its_patience_was_over_is_ended_by_the_next_start(
    trained_run: Path, squares: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    config = json.loads((run / "config.json").read_text())
    config["train"] |= {"epochs": 20, "patience": 2}
    (run / "config.json").write_text(json.dumps(config))
    epoch = builders.TINY_RUN["epochs"]
    progress_file = run / "checkpoints" / f"epoch-{epoch:05d}" / "progress.json"
    progress = json.loads(progress_file.read_text())
    waited = {"best_epoch": epoch - 2, "cross_entropy_epochs": None, "ended": None}
    best = progress_file.parent.with_name(f"epoch-{epoch - 2:05d}")
    shutil.copytree(progress_file.parent, best, dirs_exist_ok=True)
    progress_file.write_text(json.dumps({**progress, **waited}))
    assert builders.train(squares, run, epochs=20, patience=2) == 0
    progress = Checkpoints(run).progress()
    assert (progress.epoch, progress.ended) == (epoch, "validation CIDEr stopped rising")
