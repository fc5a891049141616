"""Whatever captions pixels, loaded: the best epoch of a run, or a bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from model.bundle import to_captions
from model.bundle_folder import BUNDLE_FILE, ImageCaptions
from model.config import ImageConfig, SamplerConfig
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import DEFAULT_ENGINE, Engine
from model.errors import CaptionerError
from model.open_bundle import open_bundle
from model.rebuild import restore_graph
from model.run_folder import run_sampler


@dataclass(frozen=True)
class Model:
    """Whatever captions pixels: a run or a bundle.

    Attributes:
        caption: `uint8[B, H, W, 3]` to one result a picture.
        sampler: how it draws captions.
        engine: what computes it.
        epoch: of a run that made it; None for a bundle.
        dataset_fingerprint: of the dataset that it was trained on.
        image: size of its pictures.
        concepts: the words that its recogniser knows; none without one.
        tag: `uint8[B, H, W, 3]` to the concepts' probabilities `float32[B, K]`.
        orders: the settings by which it can put captions in order, see `RunConfig.orders`.
    """

    caption: Callable[[np.ndarray], list[ImageCaptions]]
    sampler: SamplerConfig
    engine: Engine
    epoch: int | None
    dataset_fingerprint: str
    image: ImageConfig
    concepts: tuple[str, ...]
    tag: Callable[[np.ndarray], np.ndarray]
    orders: frozenset[str] = frozenset()


def load_model(
    folder: Path, decoding: Decoding = AS_EXPORTED, engine: Engine = DEFAULT_ENGINE
) -> Model:
    """A bundle, or the best epoch of a run.

    Args:
        folder: of either.
        decoding: what is decoded otherwise than the bundle was exported with, or, of a run, which
            sampler otherwise than by default.
        engine: what computes it.

    Raises:
        CaptionerError: if `folder` is neither, or lacks what `decoding` or `engine` needs, or a run
            is to be computed by another engine than TensorFlow.
    """
    if (folder / BUNDLE_FILE).exists():
        decoding.check(folder)
        bundle = open_bundle(folder, engine, decoding)
        made = bundle.config
        return Model(
            bundle.caption,
            made.sampler,
            engine,
            None,
            made.dataset_fingerprint,
            made.image,
            made.concepts,
            bundle.tag,
            made.orders,
        )
    if engine != DEFAULT_ENGINE:
        raise CaptionerError(
            f"--engine and --bfloat16: got {engine.name}{' in bfloat16' * engine.bfloat16}, but "
            f"{folder} is no bundle; captioner export makes one of a run"
        )
    sampler = run_sampler(folder, decoding)
    graph, config, epoch = restore_graph(folder, sampler)
    # One graph for every batch size, as in the bundle.
    spec = tf.TensorSpec([None, graph.size_px, graph.size_px, 3], tf.uint8)
    function = tf.function(graph.caption_pixels, input_signature=[spec], autograph=False)
    tags = tf.function(graph.tag_pixels, input_signature=[spec], autograph=False)

    def caption(images: np.ndarray) -> list[ImageCaptions]:
        return to_captions(function(images), len(images))

    return Model(
        caption,
        sampler,
        engine,
        epoch,
        config.dataset_fingerprint,
        config.image,
        config.concepts,
        lambda images: tags(images).numpy(),
        config.orders,
    )
