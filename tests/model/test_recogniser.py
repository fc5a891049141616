"""Tests of the recogniser: what is true of a picture, and what is likeliest."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.recogniser import Recogniser

CONCEPTS = (7, 4, 9)


@pytest.fixture
def recogniser() -> Recogniser:
    keras.utils.set_random_seed(1)
    layer = Recogniser(CONCEPTS, hidden_dim=8, dropout=0.5)
    layer.build((None, None, 6))
    return layer


def test_a_word_is_true_if_any_caption_has_it(recogniser: Recogniser) -> None:
    token_ids = np.array([[[4, 5, 2], [9, 2, 0]], [[5, 6, 2], [0, 0, 0]]])
    np.testing.assert_array_equal(recogniser.labels(token_ids), [[0, 1, 1], [0, 0, 0]])


def test_the_likeliest_come_first_as_token_ids(recogniser: Recogniser) -> None:
    token_ids, scores = recogniser.likeliest(np.array([[0.0, 2.0, -1.0]], "float32"), 2)
    np.testing.assert_array_equal(token_ids, [[4, 7]])
    np.testing.assert_allclose(scores, [[1 / (1 + np.exp(-2)), 0.5]], rtol=1e-6)


def test_it_learns_which_patch_shows_what(recogniser: Recogniser) -> None:
    """Each concept shows in one patch alone, anywhere: mean and maximum must both find it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (256, 3)).astype("float32")
    grid = rng.normal(0, 0.1, (256, 5, 6)).astype("float32")
    for picture, concept in zip(*np.nonzero(labels), strict=True):
        grid[picture, rng.integers(5), concept] += 3
    model = keras.Sequential([recogniser])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.02
    model.fit(grid, labels, epochs=12, verbose=0)
    right = (np.asarray(model(grid)) > 0) == labels
    assert right.mean() > 0.97


def test_order_of_the_patches_does_not_matter(recogniser: Recogniser) -> None:
    grid = np.random.default_rng(1).normal(size=(2, 5, 6)).astype("float32")
    np.testing.assert_allclose(recogniser(grid), recogniser(grid[:, ::-1]), atol=1e-5)
