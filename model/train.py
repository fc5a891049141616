"""`captioner train`: a dataset to a run. Run again, it goes on after the last whole epoch."""

import argparse
import dataclasses
import math
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from model.artifacts import VOCABULARY_FILE, DatasetInfo, RunConfig
from model.callbacks import (
    ShowCaptions,
    ShowSpeed,
    StopOnNaN,
    ValidateAndSave,
    WriteHistory,
    WriteScalars,
)
from model.caption_graph import CaptionGraph
from model.captioner import Captioner
from model.checkpoints import Checkpoints, Progress
from model.cider import CiderD
from model.command import local_path
from model.config import SamplerConfig
from model.dataset import (
    fill_up,
    number,
    read_dataset_info,
    read_dataset_vocabulary,
    read_split,
    read_token_ids,
    training_batches,
    whole_shards,
)
from model.devices import (
    check_batch_size,
    compiles,
    count_gpus,
    enough_memory,
    make_strategy,
)
from model.errors import CaptionerError
from model.neighbours import Neighbours, find_neighbours, write_neighbours
from model.optimiser import make_optimiser
from model.run_config import configure, encoder_weights, learns_from_features, notes
from model.run_folder import check_run, make_captioner, open_run
from model.training import CrossEntropyTraining, SelfCriticalTraining, Training
from model.validation import Validator
from model.vocabulary import Vocabulary
from model.warm_start import start_from

# Pictures whose captions are logged after every epoch.
_SHOWN = 3


class Trainer:
    """Trains a captioner on a dataset into the folder of a run, phase by phase.

    Args:
        captioner: the model.
        config: of the run.
        dataset: folder of the dataset.
        info: its `dataset.json`.
        vocabulary: its vocabulary.
        folder: of the run.
        strategy: how it is spread over devices.
        neighbours: that captions are ordered by; None for none.
    """

    def __init__(
        self,
        captioner: Captioner,
        config: RunConfig,
        dataset: Path,
        info: DatasetInfo,
        vocabulary: Vocabulary,
        folder: Path,
        strategy: tf.distribute.Strategy,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.captioner, self.config = captioner, config
        self.dataset, self.folder = dataset, folder
        self.strategy = strategy
        self.info, self.vocabulary = info, vocabulary
        self.checkpoints = Checkpoints(folder)
        train = config.train
        self.steps = math.ceil(info.examples["train"] / train.batch_size)
        # Another seed for each start: a resumed run sees other views than its first epochs.
        seed = train.seed + self.checkpoints.progress().epoch
        cached = learns_from_features(config, info)
        self.examples = number(
            read_split(dataset, "train", info, cached, seed=seed, augmentation=train.augmentation)
        )
        graph = CaptionGraph(
            captioner,
            vocabulary,
            SamplerConfig(),
            train.max_length,
            config.image,
            config.concept_shares,
            neighbours,
        )
        validation = read_split(dataset, "validation", info, cached)
        self.validator = Validator(
            graph,
            training_batches(validation, train.batch_size, train.max_length, shuffle_seed=None),
            read_token_ids(dataset, "validation", info),
        )
        # Traced once for both phases. Told again: what the pages show is what validation measures.
        self.attend = tf.function(graph.attend_pixels, jit_compile=False, autograph=False)
        pictures = read_split(dataset, "validation", info).take(_SHOWN)
        self.shown = np.stack([example["image"].numpy() for example in pictures])

    def run(self) -> Progress:
        """Trains from the last checkpoint on, to the end; returns how far it came."""
        progress, train = self.checkpoints.progress(), self.config.train
        if progress.epoch:
            print(f"going on after epoch {progress.epoch}")
        elif self.config.init_from:
            start = self.validator().cider
            print(f"it starts with a validation CIDEr of {100 * start:.1f}")
            progress = progress.starting_at(start)
        if progress.cross_entropy_epochs is None and train.epochs:
            with self.strategy.scope():
                training: Training = CrossEntropyTraining(self.captioner, train)
            progress = self._fit(training, progress, progress.epoch, train.epochs)
            progress = dataclasses.replace(progress, cross_entropy_epochs=progress.epoch)
            self.checkpoints.note(progress)
        first = progress.cross_entropy_epochs or 0
        critical = train.self_critical_epochs * train.self_critical_passes
        if train.self_critical_epochs:
            if 0 < progress.epoch == first:
                self.checkpoints.load_best(self.captioner)
            references = read_token_ids(self.dataset, "train", self.info, end=True)
            with self.strategy.scope():
                training = SelfCriticalTraining(self.captioner, train, CiderD(references))
            done = progress.epoch - first
            progress = self._fit(training, progress, done, critical)
        planned = first + critical == progress.epoch and first == train.epochs
        reason = "all epochs done" if planned else "validation CIDEr stopped rising"
        progress = dataclasses.replace(progress, ended=reason)
        self.checkpoints.note(progress)
        return progress

    def _fit(self, training: Training, progress: Progress, done: int, epochs: int) -> Progress:
        """One phase of `epochs` epochs, of which `done` are done; returns how far it came."""
        train = self.config.train
        critical = isinstance(training, SelfCriticalTraining)
        peak = train.self_critical_learning_rate if critical else train.learning_rate
        # In each pass of self-critical training the rate falls to zero.
        steps = self.steps * (train.self_critical_epochs if critical else epochs)
        by_xla = compiles(count_gpus(), self.config.model.decoder, critical)
        fine_tuned = self.captioner.image_encoder.trainable_variables
        if self.config.model.encoder == "cnn":
            fine_tuned = []
        with self.strategy.scope():
            training.compile(
                optimizer=make_optimiser(train, peak, steps, fine_tuned),
                jit_compile=by_xla,
            )
            training.optimizer.build(training.trained_variables())
        if done:
            self.checkpoints.load(training, progress.epoch)
        drawn = train.self_critical_samples * self.info.examples["train"]
        save = ValidateAndSave(
            training,
            self.checkpoints,
            progress,
            self.validator,
            self.vocabulary,
            captions=drawn if critical else self.info.captions["train"],
            first_epoch=progress.epoch - done,
            patience=train.patience_epochs(critical),
        )
        if save.out_of_patience:  # killed before it was told
            return progress
        # Another order for each start, too.
        batches = training_batches(
            fill_up(self.examples, self.strategy.num_replicas_in_sync),
            train.batch_size,
            train.max_length,
            train.seed + progress.epoch,
            train.batches_sorted,
            few_shapes=by_xla,
        )
        training.fit(
            batches,
            initial_epoch=progress.epoch,
            epochs=progress.epoch - done + epochs,
            callbacks=self._callbacks(save),
            shuffle=False,  # tf.data shuffles
            verbose=1 if sys.stdout.isatty() else 2,
        )
        return save.progress

    def _callbacks(self, save: ValidateAndSave) -> list[keras.callbacks.Callback]:
        """The checkpoint is saved before history.csv is written: a row there has its weights."""
        critical = isinstance(save.training, SelfCriticalTraining)
        history = "history_self_critical.csv" if critical else "history.csv"
        return [
            StopOnNaN(),
            ShowSpeed(save.captions / self.steps),
            save,
            WriteHistory(self.folder / history, save.progress.epoch),
            WriteScalars(str(self.folder / "logs"), write_graph=False),
            # Last: it takes long, and a run killed in it would lack the row.
            ShowCaptions(save.training, self.attend, self.shown, self.folder / "logs" / "captions"),
        ]


def _check_dataset(dataset: Path, info: DatasetInfo) -> None:
    if not info.examples.get("train"):
        raise CaptionerError(
            f"{dataset} has no train split to learn from; give captioner preprocess a --train-list "
            "or --split-ratios with a first share"
        )
    if not info.examples.get("validation"):
        raise CaptionerError(
            f"{dataset} has no validation split to choose the best epoch by; give captioner "
            "preprocess a --validation-list or --split-ratios with a second share"
        )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    dataset = local_path("--dataset", options.dataset)
    folder = local_path("--output", options.output)
    info = read_dataset_info(dataset)
    vocabulary = read_dataset_vocabulary(dataset, info)
    _check_dataset(dataset, info)
    config = configure(options, dataset, info)
    train, init_from = config.train, config.init_from
    keras.utils.set_random_seed(train.seed)
    keras.mixed_precision.set_global_policy(train.precision)
    words = (dataset / VOCABULARY_FILE).read_bytes()
    check_run(folder, config, words)
    progress = Checkpoints(folder).progress()
    if progress.ended:
        print(f"{folder} is trained ({progress.ended}): nothing to do.")
        return 0
    strategy = make_strategy()
    check_batch_size(train.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        captioner = make_captioner(config, vocabulary, encoder_weights(config, dataset))
    if init_from and not progress.epoch:
        new = start_from(captioner, config, Path(init_from), vocabulary)
        if new:
            print(f"{new} of the dataset's {len(vocabulary)} tokens are new to {init_from}")
    _print_start(captioner, config, info)
    for note in notes(config, vars(options)):
        print(f"note: {note}")
    with whole_shards(dataset), enough_memory(train.batch_size):
        found = find_neighbours(dataset, info) if config.neighbours else None
        trainer = Trainer(captioner, config, dataset, info, vocabulary, folder, strategy, found)
        with open_run(folder, config, words):
            if found:
                write_neighbours(folder, found)
            progress = trainer.run()
    print(
        f"{progress.ended} after epoch {progress.epoch}; best epoch {progress.best_epoch} with a "
        f"validation CIDEr of {100 * progress.best_cider:.1f} (over tokens); run in {folder}"
    )
    if progress.start_cider is not None and progress.best_cider < progress.start_cider:
        print(
            f"note: no epoch was as good as {init_from}, which it started from with "
            f"{100 * progress.start_cider:.1f}: keep that"
        )
    return 0


def _print_start(captioner: Captioner, config: RunConfig, info: DatasetInfo) -> None:
    trainable = sum(math.prod(weight.shape) for weight in captioner.trainable_weights)
    stored = ", its stored features" if learns_from_features(config, info) else ""
    concepts = f", {len(config.concepts)} concepts" if config.concepts else ""
    devices = len(tf.config.list_physical_devices("GPU")) or "no"
    print(
        f"training {config.model.encoder}{stored}{concepts} + {config.model.decoder}, "
        f"{trainable:,} weights, on {info.examples['train']} images with "
        f"{info.captions['train']} captions; {devices} GPU"
    )


if __name__ == "__main__":
    from model.arguments import train_parser
    from model.command import run_command

    sys.exit(run_command(train_parser(), run, sys.argv[1:]))
