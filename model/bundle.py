"""Loading a bundle: TensorFlow alone, none of the model's code unless it is to decode otherwise."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from model.artifacts import BundleConfig
from model.bundle_folder import (
    NO_SCORE,
    SIGNATURE,
    TAGS_SIGNATURE,
    ImageCaptions,
    ModelError,
    Scored,
    read_bundle_config,
)
from model.command import keras_imported
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import DEFAULT_ENGINE, Engine
from model.errors import CaptionerError
from model.frozen_graph import FrozenGraph


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Gives the errors of TensorFlow's operations names that are known without TensorFlow.

    Raises:
        MemoryError: if there was too little memory.
        ModelError: for any other failure of an operation.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(error.message) from error
    except tf.errors.OpError as error:
        raise ModelError(f"{type(error).__name__}: {error.message}") from error


def _load(folder: Path) -> Any:
    try:
        return tf.saved_model.load(str(folder))
    # Of a file that is cut short, or not the one that the others belong to.
    except (OSError, LookupError, ValueError, tf.errors.OpError) as error:
        told = " ".join(str(error).split())
        raise CaptionerError(
            f"{folder} cannot be loaded: {told}; export or copy it again"
        ) from error


def _rebuilt(folder: Path, config: BundleConfig, trained_length: int, exported: Any) -> Any:
    """A signature that takes what `exported` takes and decodes as `config` says."""
    # Here alone: who captions as exported needs none of the model's code.
    with keras_imported():
        from model.rebuild import rebuild_graph

    graph = rebuild_graph(folder, config, trained_length)
    (spec,) = exported.structured_input_signature[1].values()
    function = tf.function(graph.caption_pixels, input_signature=[spec], autograph=False)
    return function.get_concrete_function()


class Bundle:
    """A bundle in memory, computed by TensorFlow.

    Args:
        folder: made by ``captioner export``.
        engine: TensorFlow, in bfloat16 or not.
        decoding: what is decoded otherwise than it was exported with.

    Raises:
        CaptionerError: if it is no bundle of this decoder version, is damaged, or lacks a
            signature, or the environment tells something else than a number of threads.
    """

    def __init__(
        self, folder: Path, engine: Engine = DEFAULT_ENGINE, decoding: Decoding = AS_EXPORTED
    ) -> None:
        exported = read_bundle_config(folder)
        self.config = decoding.apply(exported)
        # The loaded object owns the variables: without it the signatures would lose them.
        self._loaded = _load(folder)
        self._bfloat16 = engine.bfloat16
        if SIGNATURE not in self._loaded.signatures:
            raise CaptionerError(
                f"{folder}: got signatures {sorted(self._loaded.signatures)}, expected "
                f"{SIGNATURE!r}; export it again"
            )
        signature = self._loaded.signatures[SIGNATURE]
        if self.config != exported:
            signature = _rebuilt(folder, self.config, exported.max_length, signature)
        self._caption = FrozenGraph(signature, engine.bfloat16)

    @functools.cached_property
    def _tags(self) -> FrozenGraph:
        return FrozenGraph(self._loaded.signatures[TAGS_SIGNATURE], self._bfloat16)

    def caption(self, images: np.ndarray) -> list[ImageCaptions]:
        """Captions of `images uint8[B, H, W, 3]`, one result a picture, in order.

        Raises:
            ModelError: if the model fails at one of them, or at all.
            MemoryError: if they are too many at once.
        """
        with errors_told():
            return to_captions(self._caption(images), len(images))

    def tag(self, images: np.ndarray) -> np.ndarray:
        """Probabilities `float32[B, K]` of all concepts of `images uint8[B, H, W, 3]`.

        Raises:
            KeyError: if the bundle has no recogniser.
        """
        (scores,) = self._tags(images).values()
        return scores


def to_captions(outputs: Mapping[str, np.ndarray | tf.Tensor], count: int) -> list[ImageCaptions]:
    """The outputs of `caption_pixels` for `count` pictures as Python values.

    Raises:
        RuntimeError: if there are not `count` results.
    """
    names = ("captions", "scores", "tags", "tag_scores")
    captions, scores, tags, tag_scores = (np.asarray(outputs[name]) for name in names)
    if len(captions) != count:
        raise RuntimeError(f"got {len(captions)} results from the model, expected {count}")
    return [
        ImageCaptions(
            captions=[
                Scored(text.decode(), float(score))
                for text, score in zip(*row[:2], strict=True)
                if score > NO_SCORE
            ],
            tags=[Scored(tag.decode(), float(score)) for tag, score in zip(*row[2:], strict=True)],
        )
        for row in zip(captions, scores, tags, tag_scores, strict=True)
    ]
