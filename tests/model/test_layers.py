"""Tests of the layers that decoders share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.layers import AdditiveAttention

B, P, U, E = 3, 5, 4, 6


@pytest.fixture
def attention() -> AdditiveAttention:
    keras.utils.set_random_seed(1)
    layer = AdditiveAttention(units=7)
    layer.build((None, U), (None, None, None), (None, P, E))
    return layer


def attend(layer: AdditiveAttention, query: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(output) for output in layer(query, layer.keys(values), values)]


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_weights_sum_to_one_and_are_no_negative(attention: AdditiveAttention) -> None:
    context, weights = attend(attention, 10 * draw(0, B, U), 10 * draw(1, B, P, E))
    assert context.shape == (B, E)
    assert weights.shape == (B, P)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0).all()


def test_the_context_is_the_weighted_mean_of_the_values(attention: AdditiveAttention) -> None:
    values = draw(1, B, P, E)
    context, weights = attend(attention, draw(0, B, U), values)
    np.testing.assert_allclose(context, (weights[:, :, None] * values).sum(axis=1), atol=1e-6)


def test_it_equals_the_formula_of_the_paper(attention: AdditiveAttention) -> None:
    query, values = draw(0, B, U), draw(1, B, P, E)
    kernel, bias = (np.asarray(w) for w in attention.key.weights)
    (query_kernel,) = (np.asarray(w) for w in attention.query.weights)
    hidden = np.tanh(values @ kernel + bias + (query @ query_kernel)[:, None])
    scores = np.exp(hidden @ np.asarray(attention.score))
    _, weights = attend(attention, query, values)
    np.testing.assert_allclose(weights, scores / scores.sum(axis=1, keepdims=True), atol=1e-5)


def test_equal_patches_are_attended_to_equally(attention: AdditiveAttention) -> None:
    values = np.repeat(draw(1, B, 1, E), P, axis=1)
    _, weights = attend(attention, draw(0, B, U), values)
    np.testing.assert_allclose(weights, 1 / P, atol=1e-6)


def test_the_query_decides_where_to_look(attention: AdditiveAttention) -> None:
    values = 3 * draw(1, B, P, E)
    _, one = attend(attention, 3 * draw(0, B, U), values)
    _, other = attend(attention, 3 * draw(2, B, U), values)
    assert np.abs(one - other).max() > 1e-3
