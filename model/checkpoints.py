"""Checkpoints of a run: one folder an epoch, there whole or not at all."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import keras

from model.errors import CaptionerError

_WEIGHTS, _PROGRESS = "model.weights.h5", "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs done.
        best_epoch: the epoch of the lowest validation loss.
        best_loss: that loss, in nats per token.
        ended: why training is over, or None while it may go on.
    """

    epoch: int
    best_epoch: int
    best_loss: float
    ended: str | None = None

    def after(self, loss: float) -> "Progress":
        """The progress after one more epoch with the validation loss `loss`."""
        if loss < self.best_loss:
            return Progress(self.epoch + 1, self.epoch + 1, loss)
        return Progress(self.epoch + 1, self.best_epoch, self.best_loss)


class Checkpoints:
    """The last and the best epoch's weights and optimiser state in ``run/checkpoints``.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def _epoch_folder(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:05d}"

    def _epochs(self) -> list[int]:
        return sorted(int(path.name.removeprefix("epoch-")) for path in self.folder.glob("epoch-*"))

    def save(self, model: keras.Model, progress: Progress) -> None:
        """Writes an epoch under a temporary name, renames it, then drops what is superseded."""
        target = self._epoch_folder(progress.epoch)
        temporary = self.folder / f"_{target.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.save_weights(temporary / _WEIGHTS)
        _write_progress(temporary, progress)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
        for epoch in self._epochs():
            if epoch not in (progress.epoch, progress.best_epoch):
                shutil.rmtree(self._epoch_folder(epoch))

    def end(self, reason: str) -> Progress:
        """Notes that training is over, and why; returns the final progress."""
        progress = self.progress()
        if progress is None:
            raise CaptionerError(f"{self.folder} holds no checkpoint; train at least one epoch")
        ended = Progress(progress.epoch, progress.best_epoch, progress.best_loss, reason)
        _write_progress(self._epoch_folder(progress.epoch), ended)
        return ended

    def progress(self) -> Progress | None:
        """How far the run has come; None before its first epoch."""
        epochs = self._epochs()
        if not epochs:
            return None
        path = self._epoch_folder(epochs[-1]) / _PROGRESS
        return Progress(**json.loads(path.read_text(encoding="utf-8")))

    def load(self, model: keras.Model, epoch: int) -> None:
        """Loads an epoch's weights, and the optimiser's state if `model` is compiled."""
        model.load_weights(self._epoch_folder(epoch) / _WEIGHTS)

    def load_best(self, model: keras.Model) -> int:
        """Loads the weights of the lowest validation loss; returns their epoch.

        Raises:
            CaptionerError: if the run has no checkpoint.
        """
        progress = self.progress()
        if progress is None:
            raise CaptionerError(f"{self.folder} holds no checkpoint; run captioner train first")
        self.load(model, progress.best_epoch)
        return progress.best_epoch


def _write_progress(folder: Path, progress: Progress) -> None:
    temporary = folder / f"_{_PROGRESS}.tmp"
    temporary.write_text(json.dumps(asdict(progress), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / _PROGRESS)
