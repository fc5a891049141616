"""Tests of the order of captions: against plain Python, and where it may change nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from model.concept_order import ConceptOrder, make_order
from model.config import SamplerConfig
from model.constraints import NEVER
from model.decoding import Samples
from model.vocabulary import END, PAD

B, K, LENGTH, V = 3, 4, 6, 12
CONCEPTS, SHARES = (7, 4, 9), (0.1, 0.5, 0.02)


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
    order = ConceptOrder(CONCEPTS, SHARES, V, weight, alpha)
    found = order(samples, tf.constant(logits))
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
    order = ConceptOrder(CONCEPTS, SHARES, V, 1.0, 0.7)
    captions = tf.constant([[[7, 7, 7, END], [7, 5, 5, END], [5, 6, END, PAD], [4, 9, 4, END]]])
    lifts = order.lifts(captions, tf.constant([[1.0, 2.0, -1.0]])).numpy()
    dog, usual, rare = (
        logit - math.log(share / (1 - share))
        for logit, share in zip((1, 2, -1), SHARES, strict=True)
    )
    np.testing.assert_allclose(lifts, [[dog, dog, 0, usual + rare]], rtol=1e-5)


def test_a_graph_of_any_batch_orders_as_eager_code_does() -> None:
    rng = np.random.default_rng(5)
    samples, logits = make_samples(rng), rng.normal(0, 3, (B, 3)).astype(np.float32)
    order = ConceptOrder(CONCEPTS, SHARES, V, 0.5, 0.7)
    specs = [
        tf.TensorSpec((None, K, LENGTH), tf.int32),
        tf.TensorSpec((None, K), tf.float32),
        tf.TensorSpec((None, 3), tf.float32),
    ]
    graph = tf.function(
        lambda token_ids, scores, logits: order(Samples(token_ids, scores), logits),
        input_signature=specs,
    )
    expected = order(samples, tf.constant(logits))
    assert (expected.token_ids.numpy() != samples.token_ids.numpy()).any()
    for count in (1, B):
        found = graph(samples.token_ids[:count], samples.scores[:count], logits[:count])
        np.testing.assert_array_equal(found.token_ids, expected.token_ids[:count])
        np.testing.assert_array_equal(found.scores, expected.scores[:count])


@pytest.mark.parametrize(
    "sampler",
    [
        SamplerConfig(sampler="greedy"),
        SamplerConfig(beam_width=1),
        SamplerConfig(sampler="nucleus"),
        SamplerConfig(concept_weight=0.0),
        SamplerConfig(sampler="nucleus", samples=3, concept_weight=0.0),
    ],
)
def test_nothing_is_put_in_order_where_there_is_no_choice(sampler: SamplerConfig) -> None:
    assert make_order(CONCEPTS, SHARES, V, sampler) is None


@pytest.mark.parametrize(
    ("sampler", "alpha"),
    [
        (SamplerConfig(concept_weight=0.3, length_normalisation=0.4), 0.4),
        (SamplerConfig(sampler="nucleus", samples=2, concept_weight=0.3), 1.0),
    ],
)
def test_the_order_adds_to_the_ranks_of_the_search(sampler: SamplerConfig, alpha: float) -> None:
    order = make_order(CONCEPTS, SHARES, V, sampler)
    assert order is not None
    assert (order.weight, order.alpha) == (0.3, alpha)
