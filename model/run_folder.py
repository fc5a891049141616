"""The folder of a run: its configuration, and the captioner that it trained."""

import contextlib
import dataclasses
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from model.artifacts import VOCABULARY_FILE, RunConfig
from model.captioner import Captioner, build_captioner
from model.checkpoints import Checkpoints
from model.command import check_output_folder
from model.config import SamplerConfig
from model.config_json import read_json, to_json
from model.decoding_options import Decoding, change_sampler
from model.errors import CaptionerError
from model.image import check_decoder_version
from model.run_config import RUN_FILE
from model.vocabulary import Vocabulary, read_vocabulary
from model.whole_files import write_whole

# Of a value that differs from the one asked for.
_SHOWN_CHARACTERS = 120


def check_run(folder: Path, config: RunConfig, words: bytes) -> None:
    """Checks that the run's folder may be made, or is one of the same configuration.

    Args:
        words: the `vocabulary.txt` of its dataset.

    Raises:
        CaptionerError: if it is a file, or holds something else, or a run of another configuration
            or vocabulary.
    """
    check_output_folder(folder)
    if (folder / RUN_FILE).exists():
        found = read_json(RunConfig, folder / RUN_FILE, "run")
        # They follow from the dataset and the concepts; an earlier version wrote none.
        config = dataclasses.replace(
            config, concept_shares=found.concept_shares, neighbours=found.neighbours
        )
        if found != config:
            raise CaptionerError(
                f"--output {folder} already holds a run of another dataset or other options; "
                f"choose another folder or delete this one (differing: {differing(found, config)})"
            )
        vocabulary = folder / VOCABULARY_FILE
        if vocabulary.exists() and vocabulary.read_bytes() != words:
            raise CaptionerError(
                f"--output {folder} holds a run of other words than the dataset's "
                f"{VOCABULARY_FILE}, though of the same fingerprint: one of the two was changed; "
                "make the dataset again, or choose another folder"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise CaptionerError(
            f"--output {folder} holds files that are no run; choose another folder or empty it"
        )


@contextlib.contextmanager
def open_run(folder: Path, config: RunConfig, words: bytes) -> Iterator[None]:
    """Makes the run's folder, if need be; within, no other process trains into it.

    Args:
        words: the `vocabulary.txt` of its dataset.

    Raises:
        CaptionerError: as `check_run`, or if it cannot be written, or another process trains.
    """
    check_run(folder, config, words)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First: a folder with anything else in it is no run.
        for name, data in ((RUN_FILE, to_json(config).encode()), (VOCABULARY_FILE, words)):
            if not (folder / name).exists():
                write_whole(folder / name, data)
    except OSError as error:
        raise CaptionerError(
            f"--output {folder} cannot be written ({error}); make room or choose another folder, "
            "and run the same command again"
        ) from error
    with (folder / RUN_FILE).open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CaptionerError(
                f"--output {folder}: another process trains into it; let it end, or choose another "
                "folder"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield


def differing(found: Any, wanted: Any) -> str:
    """The fields that differ, as ``name: got X, asked for Y``."""
    parts = []
    for field in dataclasses.fields(found):
        old, new = getattr(found, field.name), getattr(wanted, field.name)
        if old != new and dataclasses.is_dataclass(old):
            parts.append(differing(old, new))
        elif old != new:
            parts.append(f"{field.name}: got {_short(old)}, asked for {_short(new)}")
    return "; ".join(parts)


def _short(value: Any) -> str:
    """A value as a line of a message has room for it: not hundreds of concepts."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def make_captioner(config: RunConfig, vocabulary: Vocabulary, weights: str | None) -> Captioner:
    """The captioner that `config` describes, untrained but for its encoder.

    Args:
        weights: of the encoder: ``imagenet``, a file, or None for random ones.

    Raises:
        CaptionerError: if Keras computes by another backend than TensorFlow.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise CaptionerError(
            f"KERAS_BACKEND: got {backend}, expected tensorflow: layers and losses compute by "
            "others too, but runs are trained and exported by it; leave the variable out"
        )
    model = dataclasses.replace(config.model, encoder_weights=weights)
    concept_ids, length = vocabulary.ids(config.concepts), config.train.max_length
    return build_captioner(model, config.image, len(vocabulary), concept_ids, length)


def run_sampler(folder: Path, decoding: Decoding) -> SamplerConfig:
    """The sampler of a run that decodes otherwise than by default.

    Raises:
        CaptionerError: if `folder` is no run, or a change means nothing to the sampler or the run.
    """
    config = read_json(RunConfig, folder / RUN_FILE, "run")
    return change_sampler(SamplerConfig(), dict(decoding.changes), config.orders)


def restore_captioner(folder: Path) -> tuple[Captioner, RunConfig, int]:
    """The captioner of a run with its best weights, its configuration, and their epoch.

    Raises:
        CaptionerError: if `folder` is no run, has no checkpoint, or is of another decoder version.
    """
    config = read_json(RunConfig, folder / RUN_FILE, "run")
    check_decoder_version(config.decoder_version, folder)
    # The checkpoint holds the encoder's weights too: the file they came from may be gone.
    captioner = make_captioner(config, read_vocabulary(folder / VOCABULARY_FILE), weights=None)
    epoch = Checkpoints(folder).load_best(captioner)
    return captioner, config, epoch
