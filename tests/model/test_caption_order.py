"""Tests of the order of captions: against plain Python, and where it may change nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from model.caption_order import CaptionOrder, ConceptLifts, make_order
from model.config import SamplerConfig
from model.constraints import NEVER
from model.decoding import Samples
from model.vocabulary import END, PAD

B, K, LENGTH, V = 3, 4, 6, 12
CONCEPTS, SHARES = (7, 4, 9), (0.1, 0.5, 0.02)
LIFTS = ConceptLifts(CONCEPTS, SHARES, V)
GRID = tf.zeros([B, 2, 5])


class Loud:
    """Agrees with captions as far as the picture is bright and they are long."""

    def __call__(self, token_ids: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        lengths = tf.math.count_nonzero(token_ids, axis=-1, dtype=tf.float32)
        return tf.reduce_mean(grid, axis=(1, 2))[:, None] * lengths


LOUD: Any = Loud()


def make_samples(rng: np.random.Generator) -> Samples:
    """Captions of any words, the last of the last picture none at all."""
    token_ids = np.full((B, K, LENGTH), PAD, np.int32)
    for caption in token_ids.reshape(-1, LENGTH):
        words = rng.integers(4, V, rng.integers(0, LENGTH))
        caption[: len(words) + 1] = [*words, END]
    scores = -rng.random((B, K)).astype(np.float32)
    token_ids[-1, -1], scores[-1, -1] = PAD, NEVER
    return Samples(tf.constant(token_ids), tf.constant(scores))


def rank(
    caption: list[int], score: float, logits: np.ndarray, weight: float, alpha: float
) -> float:
    """What a caption is ordered by, spelt out."""
    length = sum(token != PAD for token in caption)
    if not length:
        return NEVER
    total = score * length / length**alpha
    for place, concept in enumerate(CONCEPTS):
        if concept in caption:
            share = SHARES[place]
            total += weight * (logits[place] - math.log(share / (1 - share)))
    return total


@given(
    st.integers(0, 9999),
    st.sampled_from([0.02, 0.5, 3.0]),
    st.sampled_from([0.0, 0.7, 1.0]),
)
def test_captions_are_in_the_order_of_their_ranks(seed: int, weight: float, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    samples, logits = make_samples(rng), rng.normal(0, 3, (B, 3)).astype(np.float32)
    sampler = SamplerConfig(concept_weight=weight, length_normalisation=alpha)
    found = CaptionOrder(sampler, LIFTS, None)(samples, tf.constant(logits), GRID)
    for picture in range(B):
        given = list(
            zip(samples.token_ids[picture].numpy(), samples.scores[picture].numpy(), strict=True)
        )
        ranked = sorted(
            given, key=lambda told: -rank(list(told[0]), told[1], logits[picture], weight, alpha)
        )
        assert found.token_ids[picture].numpy().tolist() == [list(ids) for ids, _ in ranked]
        assert found.scores[picture].numpy().tolist() == [score for _, score in ranked]


def test_a_concept_counts_once_however_often_it_is_named() -> None:
    captions = tf.constant([[[7, 7, 7, END], [7, 5, 5, END], [5, 6, END, PAD], [4, 9, 4, END]]])
    lifts = LIFTS(captions, tf.constant([[1.0, 2.0, -1.0]])).numpy()
    dog, usual, rare = (
        logit - math.log(share / (1 - share))
        for logit, share in zip((1, 2, -1), SHARES, strict=True)
    )
    np.testing.assert_allclose(lifts, [[dog, dog, 0, usual + rare]], rtol=1e-5)


def test_a_graph_of_any_batch_orders_as_eager_code_does() -> None:
    rng = np.random.default_rng(5)
    samples, logits = make_samples(rng), rng.normal(0, 3, (B, 3)).astype(np.float32)
    order = CaptionOrder(SamplerConfig(concept_weight=0.5), LIFTS, LOUD)
    grid = tf.constant(rng.random((B, 2, 5)), tf.float32)
    specs = [
        tf.TensorSpec((None, K, LENGTH), tf.int32),
        tf.TensorSpec((None, K), tf.float32),
        tf.TensorSpec((None, 3), tf.float32),
        tf.TensorSpec((None, 2, 5), tf.float32),
    ]
    graph = tf.function(
        lambda token_ids, scores, *known: order(Samples(token_ids, scores), *known),
        input_signature=specs,
    )
    expected = order(samples, tf.constant(logits), grid)
    assert (expected.token_ids.numpy() != samples.token_ids.numpy()).any()
    for count in (1, B):
        found = graph(*(part[:count] for part in (*samples, logits, grid)))
        np.testing.assert_array_equal(found.token_ids, expected.token_ids[:count])
        np.testing.assert_array_equal(found.scores, expected.scores[:count])


def test_captions_that_agree_with_the_neighbours_come_first() -> None:
    samples = make_samples(np.random.default_rng(3))
    bright = tf.constant([[[1.0]], [[0.0]], [[1.0]]])
    order = CaptionOrder(SamplerConfig(neighbour_weight=9.0), None, LOUD)
    found = order(samples, None, bright)
    lengths = np.count_nonzero(found.token_ids, axis=-1)
    assert (np.diff(lengths[[0, 2]]) <= 0).all()
    by_search = CaptionOrder(SamplerConfig(), None, None)(samples, None, bright)
    np.testing.assert_array_equal(found.token_ids[1], by_search.token_ids[1])
    assert (found.token_ids[0].numpy() != by_search.token_ids[0].numpy()).any()


@pytest.mark.parametrize(
    "sampler",
    [
        SamplerConfig(sampler="greedy"),
        SamplerConfig(beam_width=1),
        SamplerConfig(sampler="nucleus"),
        SamplerConfig(concept_weight=0.0, neighbour_weight=0.0),
        SamplerConfig(sampler="nucleus", samples=3, concept_weight=0.0, neighbour_weight=0.0),
    ],
)
def test_nothing_is_put_in_order_where_there_is_no_choice(sampler: SamplerConfig) -> None:
    assert make_order(sampler, LIFTS, LOUD) is None


@pytest.mark.parametrize(
    ("sampler", "alpha"),
    [
        (SamplerConfig(concept_weight=0.3, length_normalisation=0.4), 0.4),
        (SamplerConfig(sampler="nucleus", samples=2, concept_weight=0.3), 1.0),
    ],
)
def test_the_order_adds_to_the_ranks_of_the_search(sampler: SamplerConfig, alpha: float) -> None:
    order = make_order(sampler, LIFTS, LOUD)
    assert order is not None
    assert (order.lifts, order.consensus, order.alpha) == (LIFTS, LOUD, alpha)


def test_what_is_not_known_or_has_no_weight_is_left_out() -> None:
    assert make_order(SamplerConfig(), None, None) is None
    order = make_order(SamplerConfig(concept_weight=0.0), LIFTS, LOUD)
    assert order is not None
    assert (order.lifts, order.consensus) == (None, LOUD)
    assert make_order(SamplerConfig(neighbour_weight=0.0), None, LOUD) is None
