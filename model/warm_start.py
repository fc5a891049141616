"""Training that starts from a run or a bundle, of the same words or of others."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from model.artifacts import VOCABULARY_FILE, WEIGHTS_FILE, BundleConfig, RunConfig
from model.bundle_folder import BUNDLE_FILE
from model.captioner import Captioner
from model.checkpoints import Checkpoints
from model.config import ModelConfig
from model.config_json import read_json
from model.errors import CaptionerError
from model.image import check_decoder_version
from model.rebuild import rebuild_captioner
from model.run_config import OF_RECURRENT, OF_TRANSFORMER, RUN_FILE, WEIGHTS_OF_DATASET
from model.run_folder import differing, restore_captioner
from model.vocabulary import OOV, Vocabulary, read_vocabulary
from model.whole_files import load_weights

_NOWHERE = -1


def start_from(
    captioner: Captioner, config: RunConfig, folder: Path, vocabulary: Vocabulary
) -> int:
    """Loads the weights of a run or a bundle into the captioner of a new run.

    Words and concepts may be others than there: what is learnt of each goes along with it. A new
    word was `<unk>` to that model, and starts as that, `<unk>`'s probability shared out evenly. A
    new concept starts as in a new model.

    Args:
        captioner: of the new run.
        config: of the new run.
        folder: the run, whose best epoch counts, or the bundle.
        vocabulary: of the new run.

    Returns:
        How many of the words are new.

    Raises:
        CaptionerError: if it is neither, or of another architecture, or has another image encoder
            than the one that the dataset's features were stored by, or lacks concepts that nothing
            would teach.
    """
    made: RunConfig | BundleConfig
    if (folder / BUNDLE_FILE).exists():
        made = read_json(BundleConfig, folder / BUNDLE_FILE, "bundle")
    else:
        made = read_json(RunConfig, folder / RUN_FILE, "run")
    check_decoder_version(made.decoder_version, folder)
    if not (folder / VOCABULARY_FILE).exists():
        raise CaptionerError(
            f"--init-from {folder} has no {VOCABULARY_FILE}; give a folder that captioner train or "
            "captioner export has finished"
        )
    known = read_vocabulary(folder / VOCABULARY_FILE)
    _check_architecture(config, made, folder)
    encoder = captioner.image_encoder.get_weights()
    if known == vocabulary and made.concepts == config.concepts:
        _load_weights(captioner, folder)
    else:
        words = _places(vocabulary.tokens, known.tokens)
        concepts = _places(config.concepts, made.concepts)
        if not config.train.epochs and _NOWHERE in concepts:
            raise CaptionerError(
                f"--epochs: got 0, but {np.count_nonzero(concepts == _NOWHERE)} of the concepts "
                f"are new to {folder}, and self-critical training teaches none; give --epochs 1 or "
                "more, or the dataset and the --concepts of that model"
            )
        carry_over(
            _rebuilt(folder, made), captioner, np.where(words == _NOWHERE, OOV, words), concepts
        )
    if config.model.encoder_weights == WEIGHTS_OF_DATASET and not config.model.fine_tune_from:
        _check_encoder(folder, encoder, captioner.image_encoder.get_weights())
    return len(set(vocabulary.tokens).difference(known.tokens))


def carry_over(
    start: Captioner, captioner: Captioner, words: np.ndarray, concepts: np.ndarray
) -> None:
    """Gives `captioner` the weights of `start`, those of words and concepts in its own order.

    Args:
        start: of the same architecture.
        captioner: whose weights are set.
        words: of each of its words the token id in `start`, `int[V]`; OOV of those new to it.
        concepts: of each of its concepts the place in `start`, `int[K]`, or -1, which leaves the
            weights of the concept as they are.
    """
    recogniser = captioner.recogniser
    per_word = {id(weight): axis for weight, axis in captioner.decoder.word_weights()}
    per_concept = {id(weight) for weight in (recogniser.concept_weights() if recogniser else ())}
    everything = zip(captioner.weights, captioner.get_weights(), start.get_weights(), strict=True)
    for weight, fresh, learnt in everything:
        if id(weight) in per_word:
            learnt = learnt.take(words, per_word[id(weight)])
            if weight.ndim == 1:  # a bias: of `<unk>` and the words that were it
                learnt[words == OOV] -= np.log(np.count_nonzero(words == OOV))
        elif id(weight) in per_concept:
            learnt = np.where(concepts == _NOWHERE, fresh, learnt[..., concepts])
        weight.assign(learnt)


def _places(wanted: Iterable[str], known: Iterable[str]) -> np.ndarray:
    """Of each of the `wanted` its place among the `known`, or -1."""
    place = {word: number for number, word in enumerate(known)}
    return np.array([place.get(word, _NOWHERE) for word in wanted], int)


def _shape(model: ModelConfig) -> ModelConfig:
    """What of `model` decides the shape of weights that are no word's and no concept's.

    Not dropout, nor where they come from, nor how many concepts the decoder is told, nor what is of
    the other decoders.
    """
    unused = OF_RECURRENT if model.decoder == "transformer" else OF_TRANSFORMER
    told = bool(model.concepts and model.concept_memory)
    shape = dataclasses.replace(
        model,
        encoder_weights=None,
        dropout=0.0,
        fine_tune_from=None,
        concepts=0,
        concept_memory=int(told),
        concept_folds=model.concept_folds if model.concepts else 1,
    )
    defaults = ModelConfig()
    return dataclasses.replace(shape, **{name: getattr(defaults, name) for name in unused})


def _trained_length(made: RunConfig | BundleConfig) -> int:
    return made.max_length if isinstance(made, BundleConfig) else made.train.max_length


def _check_architecture(config: RunConfig, made: RunConfig | BundleConfig, folder: Path) -> None:
    new = dataclasses.replace(config, model=_shape(config.model))
    old = dataclasses.replace(
        new,
        model=_shape(made.model),
        # What is taken for a bomb decides no weight.
        image=dataclasses.replace(made.image, max_pixels=config.image.max_pixels),
        train=dataclasses.replace(config.train, max_length=_trained_length(made)),
    )
    if bool(made.concepts) != bool(config.concepts):
        old = dataclasses.replace(old, concepts=made.concepts)
    if old != new:
        raise CaptionerError(
            f"--init-from {folder} is of another architecture; give the same options, or train "
            f"from the start (differing: {differing(old, new)})"
        )


def _rebuilt(folder: Path, made: RunConfig | BundleConfig) -> Captioner:
    """The captioner of a bundle, or of the best epoch of a run."""
    if isinstance(made, RunConfig):
        return restore_captioner(folder)[0]
    _check_weights(folder)
    return rebuild_captioner(folder, made, made.max_length)


def _load_weights(captioner: Captioner, folder: Path) -> None:
    """Loads the weights of a bundle, or of the best epoch of a run."""
    if not (folder / BUNDLE_FILE).exists():
        Checkpoints(folder).load_best(captioner)
        return
    _check_weights(folder)
    load_weights(captioner, folder / WEIGHTS_FILE)


def _check_weights(bundle: Path) -> None:
    if not (bundle / WEIGHTS_FILE).exists():
        raise CaptionerError(
            f"--init-from {bundle} has no {WEIGHTS_FILE}; export the bundle again, or give the "
            "run that it was made of"
        )


def _check_encoder(folder: Path, stored: list[np.ndarray], loaded: list[np.ndarray]) -> None:
    """Checks that a start has the image encoder that stored features come from.

    Training would learn from the features of one encoder, and captioning use the other.
    """
    pairs = list(zip(stored, loaded, strict=True))
    if not all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in pairs):
        far = max(float(np.abs(a - b).max()) for a, b in pairs)
        raise CaptionerError(
            f"--init-from {folder}: its image encoder has other weights than the one that the "
            f"dataset's stored features come from (they differ by up to {far:.2g}); preprocess "
            "with that encoder's weights, or start without --init-from"
        )
