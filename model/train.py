"""`captioner train`: a dataset to a run. Run again, it goes on after the last whole epoch."""

import argparse
import dataclasses
import math
import sys
from pathlib import Path

import keras

from model.captioner import Captioner, build_captioner
from model.checkpoints import Checkpoints, Progress
from model.config import (
    ENCODER_WEIGHTS_FILE,
    VOCABULARY_FILE,
    DatasetInfo,
    ModelConfig,
    RunConfig,
    TrainConfig,
    from_options,
    read_json,
    to_json,
)
from model.dataset import read_dataset_info, read_dataset_vocabulary, read_split, training_batches
from model.errors import CaptionerError
from model.image import check_decoder_version
from model.losses import MaskedCrossentropy

RUN_FILE = "config.json"
# Stands for a file when the weights are those that the dataset's features were made with.
WEIGHTS_OF_DATASET = "dataset"
# Share of all steps in which the learning rate rises to its peak.
_WARM_UP = 0.05


def make_run_config(info: DatasetInfo, model: ModelConfig, train: TrainConfig) -> RunConfig:
    """The configuration of a run of `model` on a dataset.

    A dataset with stored features brings its image encoder along.

    Raises:
        CaptionerError: if `model` asks for another encoder than the one of the stored features.
    """
    if info.features:
        default, stored = ModelConfig(), info.features.encoder
        if model.encoder not in (default.encoder, stored):
            raise CaptionerError(
                f"--encoder: got {model.encoder!r}, the dataset holds features of {stored!r}; "
                "leave the option out, or preprocess with that --encoder"
            )
        if model.encoder_weights != default.encoder_weights:
            raise CaptionerError(
                f"--encoder-weights: got {model.encoder_weights!r}, but the dataset holds features "
                "and the weights that made them; leave the option out"
            )
        model = dataclasses.replace(model, encoder=stored, encoder_weights=WEIGHTS_OF_DATASET)
    return RunConfig(
        dataset_fingerprint=info.fingerprint,
        decoder_version=info.decoder_version,
        vocabulary_size=info.vocabulary_size,
        image=info.image,
        model=model,
        train=train,
    )


def open_run(folder: Path, config: RunConfig) -> None:
    """Makes the run's folder, or checks that it is a run of the same configuration.

    Raises:
        CaptionerError: if it holds something else, or a run of another configuration.
    """
    if (folder / RUN_FILE).exists():
        found = read_json(RunConfig, folder / RUN_FILE, "run")
        if found != config:
            raise CaptionerError(
                f"--output {folder} already holds a run of another dataset or other options; "
                f"choose another folder or delete this one (differing: {_differing(found, config)})"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise CaptionerError(
            f"--output {folder} holds files that are no run; choose another folder or empty it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(to_json(config), encoding="utf-8")


def _differing(found: RunConfig, wanted: RunConfig) -> str:
    """The fields that differ, as ``name: got X, asked for Y``."""
    parts = []
    for name in RunConfig.__dataclass_fields__:
        old, new = getattr(found, name), getattr(wanted, name)
        if old != new:
            parts.append(f"{name}: got {old}, asked for {new}")
    return "; ".join(parts)


def restore_captioner(folder: Path) -> tuple[Captioner, RunConfig, int]:
    """The captioner of a run with its best weights, its configuration, and their epoch.

    Raises:
        CaptionerError: if `folder` is no run, has no checkpoint, or is of another decoder version.
    """
    config = read_json(RunConfig, folder / RUN_FILE, "run")
    check_decoder_version(config.decoder_version, folder)
    # The checkpoint holds the encoder's weights too: the file they came from may be gone.
    model = dataclasses.replace(config.model, encoder_weights=None)
    captioner = build_captioner(model, config.image, config.vocabulary_size)
    epoch = Checkpoints(folder).load_best(captioner)
    return captioner, config, epoch


def learning_rate_schedule(train: TrainConfig, steps_per_epoch: int) -> keras.optimizers.schedules:
    """Linear warm-up, then cosine decay to zero over all epochs (Loshchilov & Hutter 2017)."""
    total = train.epochs * steps_per_epoch
    warm_up = max(1, round(_WARM_UP * total))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=train.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, total - warm_up),
    )


class _SaveEpoch(keras.callbacks.Callback):
    """Saves a checkpoint after every epoch and stops when the validation loss stops falling."""

    def __init__(self, checkpoints: Checkpoints, progress: Progress, patience: int) -> None:
        super().__init__()
        self.checkpoints, self.progress, self.patience = checkpoints, progress, patience

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        loss = float((logs or {})["val_loss"])
        if not math.isfinite(loss):
            raise CaptionerError(
                f"validation loss is {loss} after epoch {epoch + 1}; the checkpoint of the epoch "
                "before, if there was one, is kept; lower --learning-rate or --clip-norm"
            )
        self.progress = self.progress.after(loss)
        self.checkpoints.save(self.model, self.progress)
        if self.progress.epoch - self.progress.best_epoch >= self.patience:
            self.model.stop_training = True


def _callbacks(folder: Path, save: _SaveEpoch) -> list[keras.callbacks.Callback]:
    """The checkpoint is saved before history.csv is written: a row there has its weights."""
    return [
        save,
        keras.callbacks.CSVLogger(str(folder / "history.csv"), append=True),
        keras.callbacks.TensorBoard(str(folder / "logs"), update_freq="epoch"),
        keras.callbacks.TerminateOnNaN(),
    ]


def fit(
    captioner: Captioner, config: RunConfig, info: DatasetInfo, dataset: Path, folder: Path
) -> Progress:
    """Trains `captioner` from the run's last checkpoint on; returns how far it came."""
    train = config.train
    checkpoints = Checkpoints(folder)
    steps = math.ceil(info.examples["train"] / train.batch_size)
    captioner.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate_schedule(train, steps), global_clipnorm=train.clip_norm
        ),
        loss=MaskedCrossentropy(),
        # Keras would pick XLA, which makes convolutions several times slower on CPU.
        jit_compile=False,
    )
    progress = checkpoints.progress()
    if progress:
        captioner.optimizer.build(captioner.trainable_variables)
        checkpoints.load(captioner, progress.epoch)
        print(f"going on after epoch {progress.epoch} of {train.epochs}")
    else:
        progress = Progress(epoch=0, best_epoch=0, best_loss=math.inf)
    save = _SaveEpoch(checkpoints, progress, train.patience)
    # Another seed for each start, so that a resumed run does not see the first epochs' order again.
    batches = training_batches(
        read_split(dataset, "train", info, cached=True),
        train.batch_size,
        train.max_length,
        shuffle_seed=train.seed + progress.epoch,
    )
    validation = training_batches(
        read_split(dataset, "validation", info, cached=True),
        train.batch_size,
        train.max_length,
        shuffle_seed=None,
    )
    captioner.fit(
        batches,
        validation_data=validation,
        initial_epoch=progress.epoch,
        epochs=train.epochs,
        callbacks=_callbacks(folder, save),
        shuffle=False,  # tf.data shuffles
        verbose=1 if sys.stdout.isatty() else 2,
    )
    early = save.progress.epoch < train.epochs
    return checkpoints.end("validation loss stopped falling" if early else "all epochs done")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    dataset, folder = Path(options.dataset), Path(options.output)
    info = read_dataset_info(dataset)
    vocabulary = read_dataset_vocabulary(dataset, info)
    if not info.examples.get("validation"):
        raise CaptionerError(
            f"{dataset} has no validation split to choose the best epoch by; give captioner "
            "preprocess a --validation-list or --split-ratios with a second share"
        )
    train = from_options(TrainConfig, options)
    config = make_run_config(info, from_options(ModelConfig, options), train)
    keras.utils.set_random_seed(train.seed)
    checkpoints = Checkpoints(folder)
    progress = checkpoints.progress() if (folder / RUN_FILE).exists() else None
    architecture = config.model
    if architecture.encoder_weights == WEIGHTS_OF_DATASET:
        weights = str(dataset / ENCODER_WEIGHTS_FILE)
        architecture = dataclasses.replace(architecture, encoder_weights=weights)
    if progress is None:
        captioner = build_captioner(architecture, config.image, len(vocabulary))
    open_run(folder, config)
    (folder / VOCABULARY_FILE).write_bytes((dataset / VOCABULARY_FILE).read_bytes())
    if progress and progress.ended:
        print(f"{folder} is trained ({progress.ended}): nothing to do.")
        return 0
    if progress:
        captioner = build_captioner(architecture, config.image, len(vocabulary))
    trainable = sum(math.prod(weight.shape) for weight in captioner.trainable_weights)
    stored = ", its stored features" if info.features else ""
    print(
        f"training {config.model.encoder}{stored} + GRU, {trainable:,} weights, on "
        f"{info.examples['train']} images with {info.captions['train']} captions"
    )
    progress = fit(captioner, config, info, dataset, folder)
    print(
        f"{progress.ended} after epoch {progress.epoch}; best epoch {progress.best_epoch} with a "
        f"validation loss of {progress.best_loss:.3f} nats per token; run in {folder}"
    )
    return 0


if __name__ == "__main__":
    from model.arguments import train_parser
    from model.command import run_command

    sys.exit(run_command(train_parser(), run, sys.argv[1:]))
