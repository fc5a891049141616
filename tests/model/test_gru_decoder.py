"""Tests of the recurrent decoder: what it is trained as is what it captions as."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.gru_decoder import GRUDecoder

B, N, L, V, P, C = 3, 2, 5, 11, 4, 6


@pytest.fixture(scope="module", params=[0, 3], ids=["mean", "glance"])
def decoder(request: pytest.FixtureRequest) -> GRUDecoder:
    keras.utils.set_random_seed(1)
    layer = GRUDecoder(
        V,
        P,
        embedding_dim=5,
        units=8,
        attention_units=7,
        glance_dim=request.param,
        dropout=0.5,
        embedding_stddev=0.4,
    )
    layer.build((None, None, C), (None, None, None))
    # Larger weights than fresh ones, so that every input matters well above rounding.
    for weight in layer.trainable_weights:
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.4, seed=len(weight.path)))
    return layer


def grid(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(B, P, C)).astype("float32")


def token_ids(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, V, (B, N, L)).astype("int32")


def logits(decoder: GRUDecoder, pictures: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.asarray(decoder(pictures, tokens))


def step_by_step(decoder: GRUDecoder, pictures: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Logits `[B, L, V]` of one caption a picture, a word at a time as a sampler reads."""
    memory = decoder.remember(pictures)
    state = decoder.initial_state(memory)
    steps = []
    for position in range(tokens.shape[1]):
        step_logits, state = decoder.step(tokens[:, position], state, memory)
        steps.append(np.asarray(step_logits))
    return np.stack(steps, axis=1)


def test_teacher_forcing_equals_reading_word_by_word(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    at_once = logits(decoder, pictures, tokens)
    assert at_once.shape == (B, N, L, V)
    for caption in range(N):
        stepped = step_by_step(decoder, pictures, tokens[:, caption])
        np.testing.assert_allclose(at_once[:, caption], stepped, atol=1e-5)


def test_pictures_in_another_order_give_results_in_that_order(decoder: GRUDecoder) -> None:
    pictures, tokens, order = grid(), token_ids(), [2, 0, 1]
    shuffled = logits(decoder, pictures[order], tokens[order])
    np.testing.assert_allclose(shuffled, logits(decoder, pictures, tokens)[order], atol=1e-5)


def test_a_picture_is_decoded_as_if_alone(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    alone = logits(decoder, pictures[1:2], tokens[1:2])
    np.testing.assert_allclose(alone, logits(decoder, pictures, tokens)[1:2], atol=1e-5)


def test_captions_of_one_picture_do_not_see_each_other(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    alone = logits(decoder, pictures, tokens[:, 1:])
    np.testing.assert_allclose(alone, logits(decoder, pictures, tokens)[:, 1:], atol=1e-5)


def test_every_patch_of_every_picture_matters(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    before = logits(decoder, pictures, tokens)
    for patch in range(P):
        changed = pictures.copy()
        changed[0, patch] += 2.0
        difference = np.abs(logits(decoder, changed, tokens) - before).max(axis=(1, 2, 3))
        assert difference[0] > 1e-3
        assert difference[1:].max() < 1e-5


def test_where_a_patch_is_matters(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    moved = logits(decoder, pictures[:, ::-1], tokens)
    assert np.abs(moved - logits(decoder, pictures, tokens)).max() > 1e-3


def test_a_word_changes_what_follows_and_nothing_before(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    changed = tokens.copy()
    changed[:, :, 2] = tokens[:, :, 2] % (V - 1) + 1
    difference = np.abs(logits(decoder, pictures, changed) - logits(decoder, pictures, tokens))
    by_position = difference.max(axis=(0, 1, 3))
    assert by_position[:2].max() < 1e-6
    assert by_position[2:].min() > 1e-3


def test_padding_at_the_end_changes_nothing_before_it(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    padded = np.pad(tokens, ((0, 0), (0, 0), (0, 3)))
    longer = logits(decoder, pictures, padded)
    assert longer.shape == (B, N, L + 3, V)
    np.testing.assert_allclose(longer[:, :, :L], logits(decoder, pictures, tokens), atol=1e-5)


def test_dropout_is_of_training_only(decoder: GRUDecoder) -> None:
    pictures, tokens = grid(), token_ids()
    np.testing.assert_array_equal(
        logits(decoder, pictures, tokens), logits(decoder, pictures, tokens)
    )
    trained = np.asarray(decoder(pictures, tokens, training=True))
    assert np.abs(trained - logits(decoder, pictures, tokens)).max() > 1e-3


def test_the_memory_of_a_picture_has_one_row_a_patch(decoder: GRUDecoder) -> None:
    memory = decoder.remember(grid())
    assert {name: tuple(value.shape) for name, value in memory.items()} == {
        "values": (B, P, 8),
        "keys": (B, P, 7),
    }
    state = decoder.initial_state(memory)
    assert all(tuple(value.shape) == (B, 8) for value in state.values())
