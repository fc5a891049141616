"""Graphs from pictures to captions, built from the weights of a bundle or of a run."""

import dataclasses
from pathlib import Path

from model.artifacts import VOCABULARY_FILE, WEIGHTS_FILE, BundleConfig, RunConfig
from model.caption_graph import CaptionGraph
from model.captioner import Captioner, build_captioner
from model.config import SamplerConfig
from model.neighbours import Neighbours, read_neighbours
from model.run_folder import restore_captioner
from model.vocabulary import read_vocabulary
from model.whole_files import load_weights


def rebuild_captioner(folder: Path, config: BundleConfig, trained_length: int) -> Captioner:
    """The captioner of the bundle in `folder`.

    Args:
        folder: of the bundle.
        config: its architecture, and its concepts.
        trained_length: tokens of the longest caption that it was trained for: the weights hold a
            place for each.
    """
    vocabulary = read_vocabulary(folder / VOCABULARY_FILE)
    concept_ids = vocabulary.ids(config.concepts)
    model = dataclasses.replace(config.model, encoder_weights=None)
    captioner = build_captioner(model, config.image, len(vocabulary), concept_ids, trained_length)
    load_weights(captioner, folder / WEIGHTS_FILE)
    return captioner


def rebuild_graph(folder: Path, config: BundleConfig, trained_length: int) -> CaptionGraph:
    """The graph of the bundle in `folder`, its sampler and longest caption those of `config`.

    Args:
        folder: of the bundle.
        config: what it is to be.
        trained_length: see `rebuild_captioner`.
    """
    return CaptionGraph(
        rebuild_captioner(folder, config, trained_length),
        read_vocabulary(folder / VOCABULARY_FILE),
        config.sampler,
        config.max_length,
        config.image,
        config.concept_shares,
        _neighbours(folder, config, config.sampler),
    )


def restore_graph(run: Path, sampler: SamplerConfig) -> tuple[CaptionGraph, RunConfig, int]:
    """The graph of a run's best weights with `sampler`, the run's configuration, and their epoch.

    Raises:
        CaptionerError: as `restore_captioner` and `read_neighbours`, or if `sampler` does not suit
            the vocabulary.
    """
    captioner, config, epoch = restore_captioner(run)
    vocabulary = read_vocabulary(run / VOCABULARY_FILE)
    graph = CaptionGraph(
        captioner,
        vocabulary,
        sampler,
        config.train.max_length,
        config.image,
        config.concept_shares,
        _neighbours(run, config, sampler),
    )
    return graph, config, epoch


def _neighbours(
    folder: Path, config: RunConfig | BundleConfig, sampler: SamplerConfig
) -> Neighbours | None:
    """Those of a run or a bundle, if captions are to be ordered by them."""
    used = config.neighbours and sampler.captions > 1 and sampler.neighbour_weight
    return read_neighbours(folder) if used else None
