"""Tests of what is measured after every epoch."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from model.caption_graph import CaptionGraph
from model.captioner import build_captioner
from model.cider import CiderD
from model.config import ModelConfig, SamplerConfig
from model.dataset import (
    read_dataset_info,
    read_dataset_vocabulary,
    read_split,
    read_token_ids,
    training_batches,
)
from model.losses import caption_crossentropy
from model.samplers import make_sampler
from model.validation import Validator
from model.vocabulary import END


def test_loss_and_captions_are_of_the_whole_split(squares: Path) -> None:
    keras.utils.set_random_seed(1)
    info = read_dataset_info(squares)
    vocabulary = read_dataset_vocabulary(squares, info)
    model = ModelConfig(
        encoder="cnn", encoder_weights=None, embedding_dim=16, hidden_dim=16, heads=2
    )
    concepts, shares = (5, 6, 7), (0.1, 0.2, 0.3)
    captioner = build_captioner(model, info.image, info.vocabulary_size, concepts, max_length=8)
    # Heavy, so that the order of the search is another one.
    sampler = SamplerConfig(concept_weight=10.0)
    graph = CaptionGraph(captioner, vocabulary, sampler, 8, info.image, shares)
    examples = read_split(squares, "validation", info)
    references = read_token_ids(squares, "validation", info)
    # Batches of unequal size and length: means of means would be wrong.
    quality = Validator(graph, training_batches(examples, 5, 8, None), references)()
    ((inputs, targets),) = training_batches(examples, 8, 8, None)
    expected = caption_crossentropy(targets, captioner(inputs).logits)
    assert quality.loss == pytest.approx(float(expected), rel=1e-4)
    # As archives are captioned: by the sampler, and in the order of the concepts.
    captions = np.asarray(graph.caption_pixels(inputs["images"])["captions"])
    told = [" ".join(vocabulary.words(ids)) for ids in quality.captions]
    assert told == [caption.decode() for caption in captions[:, 0]]
    memory, _ = captioner.look(captioner.encode(inputs["images"]))
    found = np.asarray(captioner.write(memory, make_sampler(sampler, 8)).token_ids)[:, 0]
    assert quality.captions != [row[row > END].tolist() for row in found]
    scores = CiderD(references).score(range(8), quality.captions)
    assert quality.cider == pytest.approx(float(np.mean(scores)))
