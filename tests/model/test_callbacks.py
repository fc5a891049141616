"""Tests of what is shown and decided between steps and epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from model import callbacks
from model.callbacks import (
    ShowCaptions,
    ShowSpeed,
    StopOnNaN,
    ValidateAndSave,
    WriteHistory,
    check_finite,
)
from model.checkpoints import Progress
from model.errors import CaptionerError
from model.training import CrossEntropyTraining, SelfCriticalTraining
from model.validation import Quality


def test_the_progress_bar_is_told_captions_per_second() -> None:
    speed = ShowSpeed(captions=40.0)
    started = time.perf_counter()
    speed.on_epoch_begin(0)
    time.sleep(0.05)
    logs: dict = {"loss": 1.0}
    speed.on_train_batch_end(2, logs)
    slowest = 3 * 40.0 / (time.perf_counter() - started)
    assert slowest <= logs["captions_per_sec"] <= 3 * 40.0 / 0.05


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_it_with_place_and_advice(loss: float) -> None:
    check_finite(1.5, "step 1", "--learning-rate")
    with pytest.raises(CaptionerError, match=r"step 7 of epoch 2.*lower --learning-rate or"):
        check_finite(loss, "step 7 of epoch 2", "--learning-rate")


@pytest.mark.parametrize(
    ("phase", "option"),
    [
        (CrossEntropyTraining, "--learning-rate"),
        (SelfCriticalTraining, "--self-critical-learning-rate"),
    ],
)
def test_the_learning_rate_that_is_to_be_lower_is_the_phases(phase: type, option: str) -> None:
    stop = StopOnNaN()
    stop.set_model(SimpleNamespace(rate_option=phase.rate_option))
    stop.on_epoch_begin(1)
    with pytest.raises(CaptionerError, match=f"step 7 of epoch 2.*lower {option} or"):
        stop.on_train_batch_end(6, {"loss": math.nan})


def test_epochs_that_are_trained_again_have_one_row(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    for done, epochs in ((0, 3), (1, 2), (0, 1)):
        table = WriteHistory(path, done)
        table.set_model(SimpleNamespace(stop_training=False))
        table.on_train_begin()
        for epoch in range(done, done + epochs):
            table.on_epoch_end(epoch, {"val_loss": 10.0 * done + epoch})
        table.on_train_end()
        if done:
            assert path.read_text().split() == ["epoch,val_loss", "1,0.0", "2,11.0", "3,12.0"]
    assert path.read_text().split() == ["epoch,val_loss", "1,0.0"]


def epochs_until_the_end(
    progress: Progress, qualities: list[tuple[float, float]], first_epoch: int, patience: int
) -> Progress:
    """How far a run at `progress` comes whose epochs have these CIDErs and losses."""
    numbers: list[int] = []
    training = SimpleNamespace(
        averages=SimpleNamespace(in_place=nullcontext),
        optimizer=SimpleNamespace(learning_rate=0.1),
        rate_option="--learning-rate",
        begin_epoch=lambda number: numbers.append(number),
        end_epoch=lambda: None,
    )
    found = iter([Quality(loss, cider, [[]]) for cider, loss in qualities])
    parts: dict[str, Any] = {
        "training": training,
        "checkpoints": SimpleNamespace(save=lambda *_: None),
        "progress": progress,
        "validator": lambda: next(found),
        "vocabulary": SimpleNamespace(words=lambda ids: ids),
    }
    save = ValidateAndSave(**parts, captions=1, first_epoch=first_epoch, patience=patience)
    save.set_model(SimpleNamespace(stop_training=False))
    for epoch in range(progress.epoch, progress.epoch + len(qualities)):
        save.on_epoch_begin(epoch)
        save.on_epoch_end(epoch)
        if save.model.stop_training:
            break
    assert numbers == [progress.epoch - first_epoch + n for n in range(len(numbers))]
    return save.progress


def test_it_ends_after_as_many_epochs_without_a_better_one_as_its_patience() -> None:
    worse = [(0.5, 2.0), *[(0.4, 1.0)] * 9]
    assert epochs_until_the_end(Progress(), worse, 0, patience=3).epoch == 4


def test_a_cider_of_zero_is_waited_out_while_the_loss_falls() -> None:
    falling = [(0.0, 9.0 - epoch) for epoch in range(6)]
    reached = epochs_until_the_end(Progress(), [*falling, (0.1, 5.0)], 0, patience=2)
    assert (reached.epoch, reached.best_epoch) == (7, 7)
    flat = [(0.0, 2.0)] * 9
    assert epochs_until_the_end(Progress(), flat, 0, patience=2).epoch == 3


def test_patience_is_of_the_phase_and_not_of_a_start() -> None:
    worse = [(0.4, 1.0)] * 9
    interrupted = Progress(epoch=3, best_epoch=1, best_cider=0.5, best_loss=2.0)
    assert epochs_until_the_end(interrupted, worse, first_epoch=0, patience=3).epoch == 4
    # A second phase gives what it starts from, which may be better, its own time.
    assert epochs_until_the_end(interrupted, worse, first_epoch=3, patience=3).epoch == 6


def measured_epoch(quality: Quality, events: list[object]) -> dict[str, float]:
    """The logs of a first epoch of this quality; what happens after it is added to `events`."""

    @contextmanager
    def in_place() -> Iterator[None]:
        events.append("averages")
        yield
        events.append("weights")

    def validate() -> Quality:
        events.append("validation")
        return quality

    parts: dict[str, Any] = {
        "training": SimpleNamespace(
            averages=SimpleNamespace(in_place=in_place),
            optimizer=SimpleNamespace(learning_rate=0.1),
            rate_option="--learning-rate",
            begin_epoch=lambda _: None,
            end_epoch=lambda: events.append("end"),
        ),
        "checkpoints": SimpleNamespace(save=lambda _, progress: events.append(progress)),
        "progress": Progress(),
        "validator": validate,
        "vocabulary": SimpleNamespace(words=lambda ids: ["a", "dog", "on"][: len(ids)]),
    }
    save = ValidateAndSave(**parts, captions=12, first_epoch=0, patience=3)
    save.set_model(SimpleNamespace(stop_training=False))
    logs: dict[str, float] = {}
    save.on_epoch_begin(0)
    save.on_epoch_end(0, logs)
    return logs


def test_the_averages_of_a_whole_epoch_are_measured_and_then_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(perf_counter=iter([10.0, 14.0]).__next__)
    monkeypatch.setattr(callbacks, "time", clock)
    events: list[object] = []
    logs = measured_epoch(Quality(2.0, 0.5, [[4, 5], [4, 5, 6]]), events)
    saved = Progress(epoch=1, best_epoch=1, best_cider=0.5, best_loss=2.0)
    assert events == ["end", "averages", "validation", "weights", saved]
    assert logs == {
        "val_loss": 2.0,
        "val_cider": 0.5,
        "val_dangling": 0.5,
        "captions_per_sec": 3.0,
        "learning_rate": 0.1,
    }


def test_an_epoch_whose_validation_is_no_number_is_not_saved() -> None:
    events: list[object] = []
    with pytest.raises(CaptionerError, match="the loss is nan at the validation of epoch 1; "):
        measured_epoch(Quality(math.nan, 0.5, [[4]]), events)
    assert events[-1] == "weights"


def test_the_captions_shown_are_those_of_the_averages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, shown = tf.Variable("raw"), []

    @contextmanager
    def in_place() -> Iterator[None]:
        weight.assign("mean")
        yield
        weight.assign("raw")

    def attend(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.stack([weight.read_value(), "dog", ""])
        return {"words": words[None], "attention": tf.zeros([1, 3, 2, 2])}

    def figure(picture: np.ndarray, words: list[str], attention: np.ndarray, title: str) -> Any:
        shown.append((words, attention.shape, title))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(callbacks, "attention_figure", figure)
    training: Any = SimpleNamespace(averages=SimpleNamespace(in_place=in_place))
    ShowCaptions(training, attend, np.zeros((1, 8, 8, 3), np.uint8), tmp_path).on_epoch_end(0)
    assert shown == [(["mean", "dog"], (2, 2, 2), "mean dog")]
