"""Checkpoints of a run: one folder an epoch, there whole or not at all."""

import errno
import json
import math
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from model.errors import CaptionerError
from model.whole_files import load_weights, write_whole

if TYPE_CHECKING:
    from model.training import Training

# What a checkpoint takes beside its numbers of four bytes.
_MARGIN_BYTES = 1 << 20
# 0.0 where it is shown, as 0 to 1,000.
_LEAST_CIDER = 5e-4
# Share of a CIDEr: what another draw of the pictures would change several times over. The loss, of
# every word of all captions, tells more then.
_SAME_SHARE = 0.005
_CAPTIONER, _TRAINING, _PROGRESS = "captioner.weights.h5", "training.weights.h5", "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs done, of both phases.
        best_epoch: the epoch of the highest validation CIDEr, of those that hardly differ that of
            the lowest validation loss; 0 before the first.
        best_cider: that CIDEr, 0 to 10; what would be shown as 0.0 is 0.
        best_loss: that loss, in nats a token; None before the first.
        cross_entropy_epochs: epochs that the first phase took; None while it goes on.
        start_cider: the same of what the run started from; None if from nothing.
        ended: why training is over, or None while it may go on.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_cider: float = -1.0
    best_loss: float | None = None
    cross_entropy_epochs: int | None = None
    start_cider: float | None = None
    ended: str | None = None

    def starting_at(self, cider: float) -> "Progress":
        """The progress of a run that starts from weights of this validation CIDEr."""
        return replace(self, start_cider=_telling(cider))

    def after(self, cider: float, loss: float) -> "Progress":
        """The progress after one more epoch of this validation CIDEr and loss."""
        epoch = self.epoch + 1
        cider = _telling(cider)
        # CIDEr stays 0 for a while where there are few captions to learn from or to compare with.
        lower = self.best_loss is None or loss < self.best_loss
        margin = _SAME_SHARE * max(self.best_cider, 0.0)
        if cider > self.best_cider + margin or (cider >= self.best_cider - margin and lower):
            return replace(self, epoch=epoch, best_epoch=epoch, best_cider=cider, best_loss=loss)
        return replace(self, epoch=epoch)


def _telling(cider: float) -> float:
    """A validation CIDEr, 0 where it tells nothing.

    Captions far shorter than their references have one of 1e-16 or so.
    """
    return 0.0 if abs(cider) < _LEAST_CIDER else cider


class Checkpoints:
    """The last and the best epoch in ``run/checkpoints``.

    Each has the captioner's averaged weights, which captions are made with, and all that training
    needs to go on: the weights of the last step, the averages, the optimiser's state.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def _epoch_folder(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:05d}"

    def _epochs(self) -> list[int]:
        # Not the copies of them that a person puts beside them.
        numbers = (path.name.removeprefix("epoch-") for path in self.folder.glob("epoch-*"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def save(self, training: "Training", progress: Progress) -> None:
        """Writes an epoch under a temporary name, renames it, then drops what is superseded.

        Raises:
            CaptionerError: if it cannot be written; the checkpoints before it stay.
        """
        target = self._epoch_folder(progress.epoch)
        temporary = self.folder / f"_{target.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            _check_room(temporary, training)
            with training.averages.in_place():
                training.captioner.save_weights(temporary / _CAPTIONER)
            training.save_weights(temporary / _TRAINING)
            _write_progress(temporary, progress)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
        except (OSError, RuntimeError) as error:  # h5py raises either
            shutil.rmtree(temporary, ignore_errors=True)
            raise CaptionerError(
                f"the checkpoint of epoch {progress.epoch} cannot be written to {self.folder} "
                f"({error}); those before it are kept: make room and run the same command again"
            ) from error
        for epoch in self._epochs():
            if epoch not in (progress.epoch, progress.best_epoch):
                shutil.rmtree(self._epoch_folder(epoch))

    def note(self, progress: Progress) -> None:
        """Replaces the last epoch's progress."""
        _write_progress(self._epoch_folder(progress.epoch), progress)

    def progress(self) -> Progress:
        """How far the run has come.

        Raises:
            CaptionerError: if the last checkpoint does not tell, or the best is missing.
        """
        epochs = self._epochs()
        if not epochs:
            return Progress()
        path = self._epoch_folder(epochs[-1]) / _PROGRESS
        try:
            progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CaptionerError(
                f"{path}: expected what a checkpoint tells of its run, got {error}; delete "
                f"{path.parent}, and go on from the epoch before"
            ) from error
        if progress.best_epoch not in epochs:
            raise CaptionerError(
                f"{self._epoch_folder(progress.best_epoch)} is missing, the checkpoint of the best "
                f"epoch; put it back, or delete {self.folder.parent} and train again"
            )
        return progress

    def load(self, training: "Training", epoch: int) -> None:
        """Loads an epoch's state of a compiled `training`, the optimiser's included."""
        load_weights(training, self._epoch_folder(epoch) / _TRAINING)

    def load_best(self, captioner: keras.Model) -> int:
        """Loads the weights of the highest validation CIDEr; returns their epoch.

        Raises:
            CaptionerError: if the run has no checkpoint, or one that cannot be loaded.
        """
        progress = self.progress()
        if not progress.epoch:
            raise CaptionerError(f"{self.folder} holds no checkpoint; run captioner train first")
        load_weights(captioner, self._epoch_folder(progress.best_epoch) / _CAPTIONER)
        return progress.best_epoch


def _check_room(folder: Path, training: "Training") -> None:
    """Raises:
    OSError: if the disk has no room for a checkpoint: HDF5 may crash where it finds that out.
    """
    optimiser = getattr(training, "optimizer", None)  # absent before it is compiled
    variables = [*training.captioner.variables, *training.variables]
    variables += optimiser.variables if optimiser else []
    wanted = _MARGIN_BYTES + 4 * sum(math.prod(variable.shape) for variable in variables)
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise OSError(errno.ENOSPC, f"{free} bytes are free, {wanted} wanted")


def _write_progress(folder: Path, progress: Progress) -> None:
    text = json.dumps(asdict(progress), indent=2) + "\n"
    write_whole(folder / _PROGRESS, text.encode())
