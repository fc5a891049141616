"""Tests of checkpoints: whole or not there, and enough to go on identically."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model.averages import WeightAverages
from model.checkpoints import Checkpoints, Progress
from model.errors import CaptionerError

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(16, 3)), RNG.normal(size=(16, 2))


class SmallTraining(keras.Model):
    """What `Checkpoints` needs of a `model.training.Training`."""

    def __init__(self, seed: int) -> None:
        super().__init__(name="training")
        keras.utils.set_random_seed(seed)
        self.captioner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        self.averages = WeightAverages(self.captioner.trainable_variables, 0.9)
        self.built = True
        self.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")

    def call(self, inputs: Any) -> Any:
        return self.captioner(inputs)

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        self.averages.update()
        return logs


def train_an_epoch(training: SmallTraining) -> None:
    training.fit(INPUTS, TARGETS, batch_size=4, shuffle=False, verbose=0)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.weights]


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def save_epochs(folder: Path, ciders: list[float]) -> list[SmallTraining]:
    """Saves an epoch for each validation CIDEr; returns what was saved."""
    checkpoints, progress, saved_ones = Checkpoints(folder), Progress(), []
    for epoch, cider in enumerate(ciders):
        saved_ones.append(SmallTraining(seed=epoch + 1))
        progress = progress.after(cider, loss=1.0)
        checkpoints.save(saved_ones[-1], progress)
    return saved_ones


def test_progress_notes_the_epoch_of_the_highest_cider() -> None:
    first = Progress().after(0.0, 3.0)
    assert first == Progress(1, 1, 0.0, 3.0)
    assert first.after(0.5, 4.0) == Progress(2, 2, 0.5, 4.0)
    assert first.after(-0.5, 2.0) == Progress(2, 1, 0.0, 3.0)
    assert first.after(-0.5, 2.0).after(1.0, 5.0) == Progress(3, 3, 1.0, 5.0)


def test_of_equal_ciders_the_lower_loss_is_the_better() -> None:
    first = Progress().after(0.0, 3.0)
    assert first.after(0.0, 2.0) == Progress(2, 2, 0.0, 2.0)
    assert first.after(0.0, 3.0) == Progress(2, 1, 0.0, 3.0)
    assert first.after(0.0, 4.0) == Progress(2, 1, 0.0, 3.0)
    # Of a run that an earlier version began.
    assert Progress(1, 1, 0.0).after(0.0, 9.0) == Progress(2, 2, 0.0, 9.0)


def test_of_epochs_whose_cider_hardly_differs_that_of_the_lower_loss_is_the_best() -> None:
    first = Progress().after(6.4, 3.0)
    assert first.after(6.38, 2.9) == Progress(2, 2, 6.38, 2.9)
    assert first.after(6.42, 3.1) == Progress(2, 1, 6.4, 3.0)
    assert first.after(6.3, 2.0) == Progress(2, 1, 6.4, 3.0)
    assert first.after(6.5, 9.0) == Progress(2, 2, 6.5, 9.0)


def test_a_cider_that_is_shown_as_0_chooses_no_epoch() -> None:
    # Captions of 20 words are compared with descriptions of 70.
    first = Progress().after(1e-16, 3.0)
    assert first.after(1e-18, 2.0) == Progress(2, 2, 0.0, 2.0)
    assert first.after(4e-4, 4.0) == Progress(2, 1, 0.0, 3.0)
    assert first.after(6e-4, 4.0) == Progress(2, 2, 6e-4, 4.0)
    assert Progress().starting_at(1e-16).start_cider == 0.0
    assert Progress().starting_at(0.5).start_cider == 0.5


def test_training_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    training, checkpoints = SmallTraining(seed=1), Checkpoints(tmp_path)
    train_an_epoch(training)
    checkpoints.save(training, Progress(1, 1, 1.0))
    resumed = SmallTraining(seed=2)
    resumed.optimizer.build(resumed.captioner.trainable_variables)
    checkpoints.load(resumed, 1)
    for one in (training, resumed):
        train_an_epoch(one)
    assert int(resumed.optimizer.iterations) == 8
    for left, right in zip(weights(training), weights(resumed), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_captions_are_made_with_the_averaged_weights(tmp_path: Path) -> None:
    training = SmallTraining(seed=1)
    train_an_epoch(training)
    Checkpoints(tmp_path).save(training, Progress(1, 1, 1.0))
    restored = SmallTraining(seed=2).captioner
    Checkpoints(tmp_path).load_best(restored)
    for weight, average, last in zip(
        restored.weights, training.averages.averages, training.captioner.weights, strict=True
    ):
        np.testing.assert_array_equal(weight, average)
        assert np.abs(np.asarray(weight) - np.asarray(last)).max() > 1e-4


def test_only_the_last_and_the_best_epoch_are_kept(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0, 3.0, 2.0, 1.5])
    assert saved(tmp_path) == ["epoch-00002", "epoch-00004"]
    assert Checkpoints(tmp_path).progress() == Progress(4, 2, 3.0, 1.0)


def test_a_new_best_replaces_all_before_it(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0, 3.0, 2.0, 3.5])
    assert saved(tmp_path) == ["epoch-00004"]


def test_the_best_and_not_the_last_epoch_is_restored(tmp_path: Path) -> None:
    saved_ones = save_epochs(tmp_path, [1.0, 3.0, 2.0])
    restored = SmallTraining(seed=9).captioner
    assert Checkpoints(tmp_path).load_best(restored) == 2
    for left, right in zip(weights(restored), weights(saved_ones[1].captioner), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_end_is_noted_without_losing_the_weights(tmp_path: Path) -> None:
    save_epochs(tmp_path, [2.0, 1.0])
    ended = Progress(2, 1, 2.0, cross_entropy_epochs=2, ended="all epochs done")
    Checkpoints(tmp_path).note(ended)
    assert Checkpoints(tmp_path).progress() == ended
    assert Checkpoints(tmp_path).load_best(SmallTraining(3).captioner) == 1


def test_a_leftover_of_a_crash_while_saving_is_ignored_and_replaced(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    leftover = tmp_path / "checkpoints" / "_epoch-00002.tmp"
    leftover.mkdir()
    (leftover / "model.weights.h5").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.progress() == Progress(1, 1, 1.0, 1.0)
    checkpoints.save(SmallTraining(2), Progress(2, 2, 2.5))
    assert saved(tmp_path) == ["epoch-00002"]


def test_a_crash_before_superseded_epochs_are_dropped_is_mended(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "epoch-00001", folder / "epoch-00000")
    Checkpoints(tmp_path).save(SmallTraining(2), Progress(2, 2, 2.5))
    assert saved(tmp_path) == ["epoch-00002"]


@pytest.mark.parametrize("error", [OSError, RuntimeError])  # h5py raises either
def test_a_failed_save_leaves_the_epochs_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    save_epochs(tmp_path, [1.0])
    training = SmallTraining(2)

    def fail(path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise error("no space left on device")

    monkeypatch.setattr(training, "save_weights", fail)
    with pytest.raises(CaptionerError, match=r"epoch 2 cannot be written.*no space.*make room"):
        Checkpoints(tmp_path).save(training, Progress(2, 2, 2.5))
    assert Checkpoints(tmp_path).progress() == Progress(1, 1, 1.0, 1.0)
    assert saved(tmp_path) == ["epoch-00001"]


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_epochs(tmp_path, [1.0])
    training, usage = SmallTraining(2), shutil.disk_usage(tmp_path)
    written: list[Path] = []
    monkeypatch.setattr(training, "save_weights", written.append)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(CaptionerError, match=r"1048576 bytes are free, .* wanted.*: make"):
        Checkpoints(tmp_path).save(training, Progress(2, 2, 2.5))
    # Nor is room for the weights enough, without any for what the optimiser remembers of them.
    training.optimizer.build(training.captioner.trainable_variables)
    numbers = sum(weight.size for weight in weights(training.captioner) + weights(training))
    free = (1 << 20) + 4 * numbers
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    with pytest.raises(CaptionerError, match=rf"{free} bytes are free, {free + 4 * 18} wanted"):
        Checkpoints(tmp_path).save(training, Progress(2, 2, 2.5))
    assert not written
    assert saved(tmp_path) == ["epoch-00001"]
    assert Checkpoints(tmp_path).progress() == Progress(1, 1, 1.0, 1.0)


def test_a_checkpoint_that_does_not_tell_its_progress_is_named(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    (path,) = tmp_path.glob("checkpoints/epoch-00001/progress.json")
    path.write_text("{")
    with pytest.raises(CaptionerError, match=r"epoch-00001/progress\.json: expected what a"):
        Checkpoints(tmp_path).progress()


def test_copies_beside_checkpoints_are_left_alone(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    copies = ["epoch-00001 (copy)", "epoch-00001.bak"]
    for name in copies:
        shutil.copytree(tmp_path / "checkpoints" / "epoch-00001", tmp_path / "checkpoints" / name)
    progress = Checkpoints(tmp_path).progress()
    assert progress == Progress(1, 1, 1.0, 1.0)
    Checkpoints(tmp_path).save(SmallTraining(2), progress.after(2.0, loss=1.0))
    assert saved(tmp_path) == [*copies, "epoch-00002"]


def test_a_best_epoch_that_is_gone_is_told_before_more_is_trained(tmp_path: Path) -> None:
    save_epochs(tmp_path, [2.0, 1.0])
    shutil.rmtree(tmp_path / "checkpoints" / "epoch-00001")
    with pytest.raises(CaptionerError, match=r"epoch-00001 is missing, the checkpoint of the best"):
        Checkpoints(tmp_path).progress()


def test_a_run_without_checkpoints_says_so(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.progress() == Progress()
    with pytest.raises(CaptionerError, match="holds no checkpoint; run captioner train first"):
        checkpoints.load_best(SmallTraining(1).captioner)
