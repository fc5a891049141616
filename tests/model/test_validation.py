"""Tests of what is measured after every epoch."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from model.captioner import build_captioner
from model.cider import CiderD
from model.config import ModelConfig, SamplerConfig
from model.dataset import read_dataset_info, read_split, read_token_ids, training_batches
from model.losses import caption_crossentropy
from model.samplers import make_sampler
from model.validation import Validator
from model.vocabulary import END, PAD


def test_loss_and_captions_are_of_the_whole_split(squares: Path) -> None:
    keras.utils.set_random_seed(1)
    info = read_dataset_info(squares)
    model = ModelConfig(
        encoder="cnn", encoder_weights=None, embedding_dim=16, hidden_dim=16, heads=2
    )
    captioner = build_captioner(model, info.image, info.vocabulary_size, (), max_length=8)
    examples = read_split(squares, "validation", info)
    references = read_token_ids(squares, "validation", info)
    # Batches of unequal size and length: means of means would be wrong.
    quality = Validator(captioner, training_batches(examples, 5, 8, None), references, 8)()
    ((inputs, targets),) = training_batches(examples, 8, 8, None)
    expected = caption_crossentropy(targets, captioner(inputs).logits)
    assert quality.loss == pytest.approx(float(expected), rel=1e-4)
    memory, _ = captioner.look(captioner.encode(inputs["images"]))
    written = captioner.write(memory, make_sampler(SamplerConfig(beam_width=1), 8)).token_ids
    captions = [row[(row != PAD) & (row != END)].tolist() for row in np.asarray(written)[:, 0]]
    assert quality.captions == captions
    scores = CiderD(references).score(range(8), captions)
    assert quality.cider == pytest.approx(float(np.mean(scores)))
