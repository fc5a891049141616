"""Tests of the loss over padded captions."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from model.losses import MaskedCrossentropy
from model.vocabulary import END, PAD

LOSS = MaskedCrossentropy()


def test_it_is_the_mean_of_the_true_tokens_negative_log_probabilities() -> None:
    # Probabilities 1/2, 1/4, 1/8, 1/8 and 1/10, 2/10, 3/10, 4/10.
    logits = np.log([[[[8, 4, 2, 2], [1, 2, 3, 4]]]]).astype("float32")
    expected = -(math.log(1 / 4) + math.log(4 / 10)) / 2
    assert float(LOSS(np.array([[[1, 3]]]), logits)) == pytest.approx(expected, rel=1e-6)


def test_padding_weighs_nothing() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5, 7)).astype("float32")
    targets = rng.integers(1, 7, (2, 3, 5))
    targets[0, 1, 2:] = PAD
    targets[1, 2] = PAD
    log_probs = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_probs, targets[..., None], -1)[..., 0]
    expected = -chosen[targets != PAD].mean()
    assert float(LOSS(targets, logits)) == pytest.approx(expected, rel=1e-5)


def test_the_logits_at_padding_do_not_matter() -> None:
    targets = np.array([[[4, END, PAD]]])
    logits = np.random.default_rng(1).normal(size=(1, 1, 3, 6)).astype("float32")
    changed = logits.copy()
    changed[:, :, 2] = 1e3
    assert float(LOSS(targets, logits)) == float(LOSS(targets, changed))


def test_padding_alone_costs_nothing() -> None:
    logits = np.ones((2, 1, 3, 4), "float32")
    assert float(LOSS(np.zeros((2, 1, 3), "int32"), logits)) == 0.0


def test_a_model_reports_it_over_the_whole_epoch() -> None:
    model = keras.Sequential([keras.Input((3, 6)), keras.layers.Dense(6)])
    model.compile(loss=MaskedCrossentropy())
    logits = np.random.default_rng(2).normal(size=(4, 3, 6)).astype("float32")
    targets = np.random.default_rng(3).integers(1, 6, (4, 3))
    expected = float(LOSS(targets, model(logits)))
    assert model.evaluate(logits, targets, verbose=0) == pytest.approx(expected, rel=1e-5)
