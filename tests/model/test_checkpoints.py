"""Tests of checkpoints: whole or not there, and enough to go on identically."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from model.checkpoints import Checkpoints, Progress
from model.errors import CaptionerError

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(16, 3)), RNG.normal(size=(16, 2))


def small_model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    return model


def train_an_epoch(model: keras.Model) -> None:
    model.fit(INPUTS, TARGETS, batch_size=4, shuffle=False, verbose=0)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.weights]


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def save_epochs(folder: Path, losses: list[float]) -> list[keras.Model]:
    """Saves an epoch for each validation loss; returns their models."""
    checkpoints, progress, models = Checkpoints(folder), Progress(0, 0, float("inf")), []
    for epoch, loss in enumerate(losses):
        models.append(small_model(seed=epoch + 1))
        progress = progress.after(loss)
        checkpoints.save(models[-1], progress)
    return models


def test_progress_notes_the_epoch_of_the_lowest_loss() -> None:
    start = Progress(0, 0, float("inf"))
    first = start.after(2.0)
    assert first == Progress(1, 1, 2.0)
    assert first.after(1.5) == Progress(2, 2, 1.5)
    assert first.after(2.0) == Progress(2, 1, 2.0)
    assert first.after(3.0).after(1.0) == Progress(3, 3, 1.0)


def test_training_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    model, checkpoints = small_model(seed=1), Checkpoints(tmp_path)
    train_an_epoch(model)
    checkpoints.save(model, Progress(1, 1, 1.0))
    resumed = small_model(seed=2)
    resumed.optimizer.build(resumed.trainable_variables)
    checkpoints.load(resumed, 1)
    for one in (model, resumed):
        train_an_epoch(one)
    assert int(resumed.optimizer.iterations) == 8
    for left, right in zip(weights(model), weights(resumed), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_only_the_last_and_the_best_epoch_are_kept(tmp_path: Path) -> None:
    save_epochs(tmp_path, [3.0, 1.0, 2.0, 2.5])
    assert saved(tmp_path) == ["epoch-00002", "epoch-00004"]
    assert Checkpoints(tmp_path).progress() == Progress(4, 2, 1.0)


def test_a_new_best_replaces_all_before_it(tmp_path: Path) -> None:
    save_epochs(tmp_path, [3.0, 1.0, 2.0, 0.5])
    assert saved(tmp_path) == ["epoch-00004"]


def test_the_best_and_not_the_last_epoch_is_restored(tmp_path: Path) -> None:
    models = save_epochs(tmp_path, [3.0, 1.0, 2.0])
    restored = small_model(seed=9)
    assert Checkpoints(tmp_path).load_best(restored) == 2
    for left, right in zip(weights(restored)[:2], weights(models[1])[:2], strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_end_is_noted_without_losing_the_weights(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0, 2.0])
    ended = Checkpoints(tmp_path).end("all epochs done")
    assert ended == Progress(2, 1, 1.0, "all epochs done") == Checkpoints(tmp_path).progress()
    assert Checkpoints(tmp_path).load_best(small_model(3)) == 1


def test_a_leftover_of_a_crash_while_saving_is_ignored_and_replaced(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    leftover = tmp_path / "checkpoints" / "_epoch-00002.tmp"
    leftover.mkdir()
    (leftover / "model.weights.h5").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.progress() == Progress(1, 1, 1.0)
    checkpoints.save(small_model(2), Progress(2, 2, 0.5))
    assert saved(tmp_path) == ["epoch-00002"]


def test_a_crash_before_superseded_epochs_are_dropped_is_mended(tmp_path: Path) -> None:
    save_epochs(tmp_path, [1.0])
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "epoch-00001", folder / "epoch-00000")
    Checkpoints(tmp_path).save(small_model(2), Progress(2, 2, 0.5))
    assert saved(tmp_path) == ["epoch-00002"]


def test_a_failed_save_leaves_the_epochs_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_epochs(tmp_path, [1.0])
    model = small_model(2)

    def fail(path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(model, "save_weights", fail)
    with pytest.raises(OSError, match="no space"):
        Checkpoints(tmp_path).save(model, Progress(2, 2, 0.5))
    assert Checkpoints(tmp_path).progress() == Progress(1, 1, 1.0)


def test_a_run_without_checkpoints_says_so(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.progress() is None
    with pytest.raises(CaptionerError, match="holds no checkpoint; run captioner train first"):
        checkpoints.load_best(small_model(1))
    with pytest.raises(CaptionerError, match="train at least one epoch"):
        checkpoints.end("done")
