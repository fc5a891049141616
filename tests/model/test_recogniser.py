"""Tests of the recogniser: what is true of a picture, and what is likeliest."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.losses import tag_crossentropy
from model.recogniser import Recogniser

CONCEPTS = (7, 4, 9)


@pytest.fixture
def recogniser() -> Recogniser:
    keras.utils.set_random_seed(1)
    layer = Recogniser(CONCEPTS, hidden_dim=16, dropout=0.2, folds=3)
    layer.build((None, None, 6))
    return layer


def test_a_word_is_true_if_any_caption_has_it(recogniser: Recogniser) -> None:
    token_ids = np.array([[[4, 5, 2], [9, 2, 0]], [[5, 6, 2], [0, 0, 0]]])
    np.testing.assert_array_equal(recogniser.labels(token_ids), [[0, 1, 1], [0, 0, 0]])


def test_the_likeliest_come_first_as_token_ids(recogniser: Recogniser) -> None:
    token_ids, scores = recogniser.likeliest(np.array([[0.0, 2.0, -1.0]], "float32"), 2)
    np.testing.assert_array_equal(token_ids, [[4, 7]])
    np.testing.assert_allclose(scores, [[1 / (1 + np.exp(-2)), 0.5]], rtol=1e-6)


def test_each_learns_what_a_picture_shows_in_any_patch(recogniser: Recogniser) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (256, 3)).astype("float32")
    grid = rng.normal(0, 0.1, (256, 5, 6)).astype("float32")
    for picture, concept in zip(*np.nonzero(labels), strict=True):
        grid[picture, rng.integers(5), concept] += 6
    truth = np.repeat(labels[:, None], 3, axis=1)
    model = keras.Sequential([recogniser])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.02
    model.fit(grid, truth, epochs=20, verbose=0)
    right = (np.asarray(model(grid)) > 0) == truth
    assert right.mean(axis=(0, 2)).min() > 0.97


def test_pictures_are_told_by_the_one_that_does_not_learn_from_them(
    recogniser: Recogniser,
) -> None:
    grid = np.random.default_rng(2).normal(size=(4, 5, 6)).astype("float32")
    key = np.array([3, 1, 5, 6])
    np.testing.assert_array_equal(
        recogniser.learning(key), [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 1]]
    )
    with tf.GradientTape() as tape:
        each = recogniser(grid)
        told = recogniser.unknowing(each, key)
        labels = np.ones((4, 3), "float32")
        loss = tag_crossentropy(labels, each, recogniser.learning(key))
    np.testing.assert_array_equal(told, np.asarray(each)[np.arange(4), key % 3])
    learnt = np.asarray(tape.gradient(loss, each))
    assert not learnt[np.arange(4), key % 3].any()
    assert np.count_nonzero(learnt) == 4 * 2 * 3
    np.testing.assert_allclose(recogniser.together(each), np.mean(each, axis=1), rtol=1e-6)


def test_a_single_one_learns_from_all() -> None:
    alone = Recogniser(CONCEPTS, hidden_dim=8, dropout=0.0, folds=1)
    each = alone(np.ones((2, 5, 6), "float32"))
    assert np.asarray(alone.learning(np.arange(2))).tolist() == [[1.0], [1.0]]
    np.testing.assert_array_equal(alone.unknowing(each, np.arange(2)), np.asarray(each)[:, 0])


def test_order_of_the_patches_does_not_matter(recogniser: Recogniser) -> None:
    grid = np.random.default_rng(1).normal(size=(2, 5, 6)).astype("float32")
    np.testing.assert_allclose(recogniser(grid), recogniser(grid[:, ::-1]), atol=1e-5)
