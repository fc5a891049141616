"""Tests of the losses over padded captions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from model.losses import caption_crossentropy, doubly_stochastic, tag_crossentropy
from model.vocabulary import END, PAD

LOSS = caption_crossentropy


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


def test_smoothing_spreads_a_share_of_the_truth_over_all_words() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(1, 1, 3, 7)).astype("float32")
    targets = rng.integers(1, 7, (1, 1, 3))
    log_probs = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    truth = 0.9 * np.eye(7)[targets] + 0.1 / 7
    expected = -(truth * log_probs).sum(-1).mean()
    assert float(LOSS(targets, logits, smoothing=0.1)) == pytest.approx(expected, rel=1e-5)


def test_a_caption_counts_by_its_weight_and_may_be_pushed_away() -> None:
    logits = np.random.default_rng(5).normal(size=(1, 2, 2, 6)).astype("float32")
    targets = np.array([[[4, END], [5, PAD]]])
    one, other = (float(LOSS(targets[:, [i]], logits[:, [i]])) * (2, 1)[i] for i in range(2))
    weighed = LOSS(targets, logits, weights=np.array([[3.0, -1.0]], "float32"))
    # Of the tokens that there are, whatever they weigh.
    assert float(weighed) == pytest.approx((3 * one - other) / 3, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_logits_of_half_precision_are_taken_in_single(smoothing: float) -> None:
    logits = tf.cast(np.random.default_rng(6).normal(size=(1, 2, 3, 7)), tf.bfloat16)
    targets = np.random.default_rng(7).integers(1, 7, (1, 2, 3))
    loss = LOSS(targets, logits, smoothing)
    assert loss.dtype == tf.float32
    assert float(loss) == float(LOSS(targets, tf.cast(logits, tf.float32), smoothing))


def test_looking_everywhere_once_costs_nothing() -> None:
    targets = np.array([[[4, 5, PAD]]])
    attention = np.array([[[[1, 0], [0, 1], [1, 0]]]], "float32")
    assert float(doubly_stochastic(attention, targets)) == 0.0
    stare = np.array([[[[1, 0], [1, 0], [0, 1]]]], "float32")
    assert float(doubly_stochastic(stare, targets)) == pytest.approx(1.0)


def test_captions_that_are_padding_do_not_dilute_where_the_others_look() -> None:
    # The first of ten captions looks six times at one of two patches and never at the other.
    attention = np.ones((1, 10, 2, 2), "float32")
    attention[0, 0] = [[3, 0], [3, 0]]
    targets = np.full((1, 10, 2), PAD)
    targets[0, 0] = [4, END]
    assert float(doubly_stochastic(attention, targets)) == pytest.approx((25 + 1) / 2)


def test_attention_of_half_precision_is_summed_in_single() -> None:
    attention = tf.fill([1, 1, 300, 2], tf.constant(0.5, tf.bfloat16))
    targets = np.full((1, 1, 300), 4)
    term = doubly_stochastic(attention, targets)
    assert term.dtype == tf.float32
    assert float(term) == pytest.approx(149.0**2)


def test_tags_cost_the_sum_over_concepts_and_over_recognisers_that_learn() -> None:
    labels = np.array([[1.0, 0.0], [0.0, 0.0]], "float32")
    logits = np.array([[[0.0, -2.0], [5.0, 5.0]], [[0.0, 0.0], [0.0, -2.0]]], "float32")
    learning = np.array([[1.0, 0.0], [1.0, 1.0]], "float32")
    low, even = math.log(1 + math.exp(-2)), math.log(2)
    expected = (even + low + 2 * even + even + low) / 2
    assert float(tag_crossentropy(labels, logits, learning)) == pytest.approx(expected, rel=1e-5)
