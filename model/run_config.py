"""What a run is configured by: its options, another run's, and its dataset."""

import argparse
import dataclasses
from collections.abc import Collection
from pathlib import Path

from model.artifacts import ENCODER_WEIGHTS_FILE, FREQUENCIES_FILE, DatasetInfo, RunConfig
from model.command import local_path
from model.concepts import (
    ENGLISH_STOP_WORDS,
    choose_concepts,
    concept_shares,
    read_frequencies,
    read_stop_words,
)
from model.config import NO_AUGMENTATION, ModelConfig, TrainConfig
from model.config_json import read_json
from model.errors import CaptionerError
from model.options import flag, from_options, with_options

RUN_FILE = "config.json"
# Stands for a file when the weights are those that the dataset's features were made with.
WEIGHTS_OF_DATASET = "dataset"
# Options that mean nothing to the other decoders, or without that phase.
OF_TRANSFORMER: tuple[str, ...] = ("heads", "encoder_layers", "decoder_layers")
OF_RECURRENT: tuple[str, ...] = ("units", "attention_units", "glance_dim")
_OF_CROSS_ENTROPY = ("learning_rate", "label_smoothing", "attention_regularisation", "dropout")
_OF_SELF_CRITICAL = (
    "self_critical_passes",
    "self_critical_learning_rate",
    "self_critical_samples",
)


def configure(options: argparse.Namespace, dataset: Path, info: DatasetInfo) -> RunConfig:
    """The configuration that the options of ``captioner train`` ask for on a dataset.

    With ``--config``, options that are not given are those of that run. So are its concepts, if it
    was of the same dataset: the stop words that they were chosen by are no part of it.

    Args:
        options: of `train_parser`.
        dataset: its folder.
        info: its `dataset.json`.

    Raises:
        CaptionerError: if ``--config`` names no run, or the options do not suit the dataset.
    """
    given, stop_words = set(vars(options)), options.stop_words
    init_from = options.init_from
    init_from = None if init_from in (None, "none") else _resolve("--init-from", init_from)
    if not options.config:
        model, train = from_options(ModelConfig, options), from_options(TrainConfig, options)
        model = _resolve_weights(model)
        concepts = dataset_concepts(dataset, model.concepts, stop_words)
        made = make_run_config(info, model, train, concepts, init_from, given)
        return _with_known(made, dataset, info)
    repeated = _read_repeated(local_path("--config", options.config))
    model, train = with_options(repeated.model, options), with_options(repeated.train, options)
    model = _resolve_weights(model)
    concepts = repeated.concepts
    other_dataset = repeated.dataset_fingerprint != info.fingerprint
    if other_dataset or "concepts" in given or stop_words:
        concepts = dataset_concepts(dataset, model.concepts, stop_words)
    if options.init_from is None:
        init_from = repeated.init_from
    made = make_run_config(info, model, train, concepts, init_from, given | {"encoder"})
    return _with_known(made, dataset, info)


def _with_known(config: RunConfig, dataset: Path, info: DatasetInfo) -> RunConfig:
    """`config` with what is known of the train split: how usual concepts are, and neighbours.

    These are looked up by stored features: those of an encoder that learns change.
    """
    config = dataclasses.replace(config, neighbours=learns_from_features(config, info))
    if not config.concepts:
        return config
    frequencies = read_frequencies(dataset / FREQUENCIES_FILE)
    shares = concept_shares(frequencies, config.concepts, info.examples.get("train", 0))
    return dataclasses.replace(config, concept_shares=shares)


def _resolve(option: str, path: str) -> str:
    """`path` as it is called from wherever the run is gone on with or repeated."""
    return str(local_path(option, path).resolve())


def _resolve_weights(model: ModelConfig) -> ModelConfig:
    """`model` with the whole path of its encoder's weights, if they are a file."""
    weights = model.encoder_weights
    if weights in (None, "imagenet", WEIGHTS_OF_DATASET):
        return model
    return dataclasses.replace(model, encoder_weights=_resolve("--encoder-weights", str(weights)))


def _read_repeated(path: Path) -> RunConfig:
    """The run that ``--config`` names by its folder or by the ``config.json`` in it.

    Raises:
        CaptionerError: if there is none.
    """
    if not path.exists():
        raise CaptionerError(f"--config: there is no {path}; give a run, or its {RUN_FILE}")
    return read_json(RunConfig, path / RUN_FILE if path.is_dir() else path, "run")


def make_run_config(
    info: DatasetInfo,
    model: ModelConfig,
    train: TrainConfig,
    concepts: tuple[str, ...] = (),
    init_from: str | None = None,
    given: Collection[str] = (),
) -> RunConfig:
    """The configuration of a run of `model` on a dataset.

    A dataset with stored features brings its image encoder along. One that is fine-tuned learns
    from the pixels beside them.

    Args:
        given: fields of `model` that were asked for; the others have their defaults.

    Raises:
        CaptionerError: if `model` asks for another encoder than the one of the stored features, or
            `train` to augment them.
    """
    if info.features:
        stored = info.features.encoder
        if "encoder" in given and model.encoder != stored:
            # What learns from scratch has no features to store.
            of_other = (
                "without --encoder" if model.encoder == "cnn" else f"with --encoder {model.encoder}"
            )
            raise CaptionerError(
                f"--encoder: got {model.encoder!r}, the dataset holds features of {stored!r}; "
                f"give --encoder {stored}, or preprocess {of_other}"
            )
        if "encoder_weights" in given:
            raise CaptionerError(
                f"--encoder-weights: got {model.encoder_weights!r}, but the dataset holds features "
                "and the weights that made them; leave the option out"
            )
        if not model.fine_tune_from and train.augmentation != NO_AUGMENTATION:
            raise CaptionerError(
                f"--augmentation: got {train.augmentation!r}, but what is learnt from are the "
                "features that the dataset holds, of the views that preprocessing chose by "
                f"--crops; give --augmentation {NO_AUGMENTATION}, or --fine-tune-from a layer of "
                "the encoder, which learns from pixels"
            )
        model = dataclasses.replace(model, encoder=stored, encoder_weights=WEIGHTS_OF_DATASET)
    elif model.encoder_weights == WEIGHTS_OF_DATASET:
        raise CaptionerError(
            f"--encoder-weights: got {WEIGHTS_OF_DATASET!r}, which stands for those of stored "
            f"features, but the dataset holds none; preprocess with --encoder {model.encoder}, or "
            "name the weights"
        )
    return RunConfig(
        dataset_fingerprint=info.fingerprint,
        decoder_version=info.decoder_version,
        vocabulary_size=info.vocabulary_size,
        image=info.image,
        model=model,
        train=train,
        concepts=concepts,
        init_from=init_from,
    )


def dataset_concepts(dataset: Path, count: int, stop_words: str | None) -> tuple[str, ...]:
    """The `count` words that a recogniser learns from a dataset.

    Args:
        stop_words: file of words that are no concepts; None for English ones.
    """
    if not count:
        return ()
    words = ENGLISH_STOP_WORDS
    if stop_words:
        words = read_stop_words(local_path("--stop-words", stop_words))
    return choose_concepts(read_frequencies(dataset / FREQUENCIES_FILE), count, words)


def learns_from_features(config: RunConfig, info: DatasetInfo) -> bool:
    """Whether a run looks at the dataset's stored features: a fine-tuned encoder makes its own."""
    return info.features is not None and not config.model.fine_tune_from


def encoder_weights(config: RunConfig, dataset: Path) -> str | None:
    """Where the weights of a run's image encoder come from."""
    if config.model.encoder_weights == WEIGHTS_OF_DATASET:
        return str(dataset / ENCODER_WEIGHTS_FILE)
    return config.model.encoder_weights


def unused_options(config: RunConfig, given: Collection[str]) -> list[str]:
    """Options of ``captioner train`` that were given and change nothing in this run.

    Args:
        given: names of the fields of `ModelConfig` and `TrainConfig` that were asked for.
    """
    model, train = config.model, config.train
    unused = OF_RECURRENT if model.decoder == "transformer" else OF_TRANSFORMER
    if not (model.fine_tune_from and train.epochs):
        unused += ("encoder_learning_rate",)
    if not model.concepts:
        unused += ("concept_memory", "concept_folds")
    if not train.epochs:
        # Self-critical training changes the decoder alone.
        unused += (*_OF_CROSS_ENTROPY, "fine_tune_from")
    if not train.self_critical_epochs:
        unused += _OF_SELF_CRITICAL
    return [flag(name) for name in unused if name in given]


def notes(config: RunConfig, given: Collection[str]) -> list[str]:
    """What is to be told of a run before it is trained.

    Args:
        given: names of the fields of `ModelConfig` and `TrainConfig` that were asked for.
    """
    told, model = [], config.model
    learns = model.encoder == "cnn" or model.fine_tune_from is not None
    if not (learns or model.encoder_weights or config.init_from):
        told.append(
            f"{model.encoder} has random weights and stays as it is, so that captions can hardly "
            "follow the pictures; give --encoder-weights, or --encoder cnn, which learns"
        )
    unused = unused_options(config, given)
    if unused:
        told.append(f"without effect in this run: {', '.join(unused)}")
    return told
