"""Tests of the layers that decoders share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.layers import AdditiveAttention, split_heads
from model.layers import attend as attend_heads

B, Q, P, U, E = 3, 2, 5, 4, 6


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
    context, weights = attend(attention, 10 * draw(0, B, Q, U), 10 * draw(1, B, P, E))
    assert context.shape == (B, Q, E)
    assert weights.shape == (B, Q, P)
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
    assert (weights >= 0).all()


def test_the_context_is_the_weighted_mean_of_the_values(attention: AdditiveAttention) -> None:
    values = draw(1, B, P, E)
    context, weights = attend(attention, draw(0, B, Q, U), values)
    np.testing.assert_allclose(context, weights @ values, atol=1e-6)


def test_it_equals_the_formula_of_the_paper(attention: AdditiveAttention) -> None:
    query, values = draw(0, B, Q, U), draw(1, B, P, E)
    kernel, bias = (np.asarray(w) for w in attention.key.weights)
    (query_kernel,) = (np.asarray(w) for w in attention.query.weights)
    keys = (values @ kernel + bias)[:, None]
    hidden = np.tanh(keys + (query @ query_kernel)[:, :, None])
    scores = np.exp(hidden @ np.asarray(attention.score))
    _, weights = attend(attention, query, values)
    np.testing.assert_allclose(weights, scores / scores.sum(axis=2, keepdims=True), atol=1e-5)


def test_equal_patches_are_attended_to_equally(attention: AdditiveAttention) -> None:
    values = np.repeat(draw(1, B, 1, E), P, axis=1)
    _, weights = attend(attention, draw(0, B, Q, U), values)
    np.testing.assert_allclose(weights, 1 / P, atol=1e-6)


def test_the_query_decides_where_to_look(attention: AdditiveAttention) -> None:
    values = 3 * draw(1, B, P, E)
    _, one = attend(attention, 3 * draw(0, B, Q, U), values)
    _, other = attend(attention, 3 * draw(2, B, Q, U), values)
    assert np.abs(one - other).max() > 1e-3


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_heads_each_attend_by_the_formula_of_the_paper() -> None:
    queries, keys, values = draw(0, B, Q, 6), draw(1, B, P, 6), draw(2, B, P, 6)
    mixed, weights = attend_heads(
        *(split_heads(part, 2, len(part)) for part in (queries, keys, values))
    )
    for head, part in enumerate((slice(0, 3), slice(3, 6))):
        expected = softmax(queries[..., part] @ keys[..., part].swapaxes(1, 2) / np.sqrt(3))
        np.testing.assert_allclose(np.asarray(weights)[:, head], expected, atol=1e-5)
        found = np.asarray(mixed)[..., part]
        np.testing.assert_allclose(found, expected @ values[..., part], atol=1e-5)


def test_a_mask_hides_what_it_forbids() -> None:
    queries, keys, values = draw(0, B, Q, 6), draw(1, B, P, 6), draw(2, B, P, 6)
    mask = np.zeros((Q, P), "float32")
    mask[0, 3:] = -3e4
    _, weights = attend_heads(
        *(split_heads(part, 2, len(part)) for part in (queries, keys, values)), mask
    )
    assert np.asarray(weights)[:, :, 0, 3:].max() == 0
    assert np.asarray(weights)[:, :, 1].min() > 0
