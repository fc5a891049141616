"""What happens between epochs: validation, checkpoints, and the end."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model.attention_figure import attention_figure
from model.checkpoints import Checkpoints, Progress
from model.errors import CaptionerError
from model.flaws import has_dangling_ending
from model.training import Training
from model.validation import Validator
from model.vocabulary import Vocabulary
from model.whole_files import write_whole


class StopOnNaN(keras.callbacks.Callback):
    """Ends training at the first step whose loss is no number."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        where = f"step {batch + 1} of epoch {self.epoch + 1}"
        check_finite(float((logs or {})["loss"]), where, self.model.rate_option)


def check_finite(loss: float, where: str, rate_option: str) -> None:
    """Raises:
    CaptionerError: if `loss` is no number: training cannot go on from there. It advises a lower
        `rate_option`, the one of the learning rate in use.
    """
    if not math.isfinite(loss):
        raise CaptionerError(
            f"the loss is {loss} at {where}; the checkpoint of the epoch before, if there was one, "
            f"is kept: lower {rate_option} or --clip-norm, and train into another folder"
        )


class ShowSpeed(keras.callbacks.Callback):
    """Adds ``captions_per_sec``, so far in the epoch, to what the progress bar shows.

    Args:
        captions: told in a step, on average.
    """

    def __init__(self, captions: float) -> None:
        super().__init__()
        self.captions = captions

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if logs is not None:
            seconds = time.perf_counter() - self.started
            logs["captions_per_sec"] = (batch + 1) * self.captions / seconds


class WriteHistory(keras.callbacks.CSVLogger):
    """A table with a row for each epoch, counted from 1 as everywhere but in Keras.

    Args:
        path: of the table, gone on with if it is there.
        done: epochs done before. Rows of later ones, whose checkpoints are gone, are dropped: these
            epochs are trained again.
    """

    def __init__(self, path: Path, done: int) -> None:
        super().__init__(str(path), append=True)
        self.path, self.done = path, done

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.path.exists():
            rows = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_whole(self.path, "".join(filter(self._is_done, rows)).encode())
        super().on_train_begin(logs)

    def _is_done(self, row: str) -> bool:
        """Whether it is of an epoch done before, or none of an epoch, as the header."""
        epoch = row.split(",")[0]
        return not epoch.isdecimal() or int(epoch) <= self.done

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)


class WriteScalars(keras.callbacks.TensorBoard):
    """TensorBoard's curves of epochs, counted from 1 as in the table."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch + 1, logs)


class ShowCaptions(keras.callbacks.Callback):
    """Writes some validation pictures with captions and attention maps for TensorBoard.

    Args:
        training: what is trained.
        attend: `CaptionGraph.attend_pixels` of its captioner.
        pictures: `uint8[B, H, W, 3]`.
        folder: of the logs.
    """

    def __init__(
        self,
        training: Training,
        attend: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
        pictures: np.ndarray,
        folder: Path,
    ) -> None:
        super().__init__()
        self.training, self.attend, self.pictures = training, attend, pictures
        self.writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        with self.training.averages.in_place():
            seen = self.attend(tf.constant(self.pictures))
        with self.writer.as_default(step=epoch + 1):
            for number, (words, attention) in enumerate(
                zip(seen["words"].numpy(), seen["attention"].numpy(), strict=True)
            ):
                told = [word.decode() for word in words if word]
                picture = attention_figure(
                    self.pictures[number], told, attention[: len(told)], " ".join(told)
                )
                tf.summary.image(f"validation/{number}", picture[None])
        self.writer.flush()


class ValidateAndSave(keras.callbacks.Callback):
    """Measures the averaged weights after every epoch, saves a checkpoint, stops when it is time.

    Adds ``val_loss``, ``val_cider``, ``val_dangling`` (share of captions that break off),
    ``captions_per_sec`` and ``learning_rate`` to the epoch's logs.

    Args:
        training: what is trained.
        checkpoints: of the run.
        progress: where the run is.
        validator: of the validation split.
        vocabulary: the dataset's.
        captions: captions told in an epoch.
        first_epoch: epochs done when the phase began, in this run or one that it goes on.
        patience: epochs of a phase without a better one after which it ends.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: Checkpoints,
        progress: Progress,
        validator: Validator,
        vocabulary: Vocabulary,
        captions: int,
        first_epoch: int,
        patience: int,
    ) -> None:
        super().__init__()
        self.training, self.checkpoints, self.progress = training, checkpoints, progress
        self.validator, self.vocabulary = validator, vocabulary
        self.captions, self.patience = captions, patience
        self.first_epoch = first_epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.training.begin_epoch(epoch - self.first_epoch)
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.perf_counter() - self.started
        self.training.end_epoch()
        with self.training.averages.in_place():
            quality = self.validator()
        where = f"the validation of epoch {epoch + 1}"
        check_finite(quality.loss, where, self.training.rate_option)
        words = [self.vocabulary.words(ids) for ids in quality.captions]
        logs = {} if logs is None else logs
        logs["val_loss"], logs["val_cider"] = quality.loss, quality.cider
        logs["val_dangling"] = sum(map(has_dangling_ending, words)) / len(words)
        logs["captions_per_sec"] = self.captions / seconds
        logs["learning_rate"] = float(self.training.optimizer.learning_rate)
        self.progress = self.progress.after(quality.cider, quality.loss)
        self.checkpoints.save(self.training, self.progress)
        if self.out_of_patience:
            self.model.stop_training = True

    @property
    def out_of_patience(self) -> bool:
        """Whether the phase is over, as no epoch has been better for too long."""
        # What a phase starts from may be better than its first epochs.
        since = self.progress.epoch - max(self.progress.best_epoch, self.first_epoch)
        return since >= self.patience
