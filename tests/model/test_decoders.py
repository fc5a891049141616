"""Tests of the decoders: what they are trained as is what they caption as."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.decoding import repeat_rows, take_rows
from model.gru_decoder import GRUDecoder
from model.lstm_decoder import LSTMDecoder
from model.transformer_decoder import TransformerDecoder

B, N, L, V, P, C, T = 3, 2, 5, 11, 4, 6, 2
MAX_LENGTH = 9


def make_decoder(kind: str, concepts: bool = False, seed: int = 1) -> Any:
    """A decoder of the kind, with weights larger than fresh ones: every input matters."""
    keras.utils.set_random_seed(seed)
    shared = {"vocabulary_size": V, "patches": P, "dropout": 0.5, "embedding_stddev": 0.4}
    if kind == "transformer":
        sizes = {"dim": 8, "hidden_dim": 12, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
        layer = TransformerDecoder(**shared, **sizes, max_length=MAX_LENGTH, concepts=concepts)
    else:
        sizes = {"embedding_dim": 5, "units": 8, "attention_units": 7}
        glance = 3 if kind == "gru, glance" else 0
        cell = LSTMDecoder if kind == "lstm" else GRUDecoder
        layer = cell(**shared, **sizes, glance_dim=glance, concepts=concepts)
    layer.build((None, None, C), (None, None, None))
    for number, weight in enumerate(layer.trainable_weights):
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.4, seed=number))
    return layer


@pytest.mark.parametrize("cell", [GRUDecoder, LSTMDecoder])
def test_before_training_nearly_all_that_attention_finds_is_used(cell: type) -> None:
    sizes = {"embedding_dim": 5, "units": 8, "attention_units": 7, "glance_dim": 0}
    layer = cell(V, P, False, **sizes, dropout=0.0, embedding_stddev=0.4)
    layer.build((None, None, C))
    states = np.random.default_rng(0).normal(size=(100, 8)).clip(-1, 1).astype("float32")
    assert np.median(np.asarray(layer.context_gate(states))) > 0.9


@pytest.fixture(scope="module", params=["gru", "gru, glance", "lstm", "transformer"])
def decoder(request: pytest.FixtureRequest) -> Any:
    return make_decoder(request.param)


def grid(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(B, P, C)).astype("float32")


def token_ids(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, V, (B, N, L)).astype("int32")


def logits(decoder: Any, pictures: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return np.asarray(decoder(pictures, tokens)[0])


def step_by_step(decoder: Any, pictures: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Logits `[B, L, V]` of one caption a picture, a word at a time as a sampler reads."""
    memory = decoder.remember(pictures)
    state = decoder.initial_state(memory)
    steps = []
    for position in range(tokens.shape[1]):
        step_logits, state = decoder.step(tokens[:, position], state, memory)
        steps.append(np.asarray(step_logits))
    return np.stack(steps, axis=1)


def test_teacher_forcing_equals_reading_word_by_word(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    at_once = logits(decoder, pictures, tokens)
    assert at_once.shape == (B, N, L, V)
    for caption in range(N):
        stepped = step_by_step(decoder, pictures, tokens[:, caption])
        np.testing.assert_allclose(at_once[:, caption], stepped, atol=1e-5)


def test_pictures_in_another_order_give_results_in_that_order(decoder: Any) -> None:
    pictures, tokens, order = grid(), token_ids(), [2, 0, 1]
    shuffled = logits(decoder, pictures[order], tokens[order])
    np.testing.assert_allclose(shuffled, logits(decoder, pictures, tokens)[order], atol=1e-5)


def test_a_picture_is_decoded_as_if_alone(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    alone = logits(decoder, pictures[1:2], tokens[1:2])
    np.testing.assert_allclose(alone, logits(decoder, pictures, tokens)[1:2], atol=1e-5)


def test_captions_of_one_picture_do_not_see_each_other(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    alone = logits(decoder, pictures, tokens[:, 1:])
    np.testing.assert_allclose(alone, logits(decoder, pictures, tokens)[:, 1:], atol=1e-5)


def test_every_patch_of_every_picture_matters(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    before = logits(decoder, pictures, tokens)
    for patch in range(P):
        changed = pictures.copy()
        changed[0, patch] += 2.0
        difference = np.abs(logits(decoder, changed, tokens) - before).max(axis=(1, 2, 3))
        assert difference[0] > 1e-3
        assert difference[1:].max() < 1e-5


def test_where_a_patch_is_matters(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    moved = logits(decoder, pictures[:, ::-1], tokens)
    assert np.abs(moved - logits(decoder, pictures, tokens)).max() > 1e-3


def test_a_word_changes_what_follows_and_nothing_before(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    changed = tokens.copy()
    changed[:, :, 2] = tokens[:, :, 2] % (V - 1) + 1
    difference = np.abs(logits(decoder, pictures, changed) - logits(decoder, pictures, tokens))
    by_position = difference.max(axis=(0, 1, 3))
    assert by_position[:2].max() < 1e-6
    assert by_position[2:].min() > 1e-3


def test_padding_at_the_end_changes_nothing_before_it(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    padded = np.pad(tokens, ((0, 0), (0, 0), (0, 3)))
    longer = logits(decoder, pictures, padded)
    assert longer.shape == (B, N, L + 3, V)
    np.testing.assert_allclose(longer[:, :, :L], logits(decoder, pictures, tokens), atol=1e-5)


def test_dropout_is_of_training_only(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    np.testing.assert_array_equal(
        logits(decoder, pictures, tokens), logits(decoder, pictures, tokens)
    )
    trained = np.asarray(decoder(pictures, tokens, training=True)[0])
    assert np.abs(trained - logits(decoder, pictures, tokens)).max() > 1e-3


def test_captions_side_by_side_share_the_memory_of_their_picture(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    memory = decoder.remember(pictures)
    state = repeat_rows(decoder.initial_state(memory), N)
    expected = logits(decoder, pictures, tokens)
    for position in range(L):
        step_logits, state = decoder.step(tokens[:, :, position].reshape(-1), state, memory)
        got = np.asarray(step_logits).reshape(B, N, V)
        np.testing.assert_allclose(got, expected[:, :, position], atol=1e-5)


def test_a_caption_goes_on_from_whichever_it_is_told_to(decoder: Any) -> None:
    pictures, tokens = grid(), token_ids()
    memory = decoder.remember(pictures)
    state = repeat_rows(decoder.initial_state(memory), N)
    lines = tokens.copy()  # the words of each caption and of those that it came from
    # One of two is dropped and the other goes on twice; the two change places; they stay.
    for position, parents in enumerate(([0, 1], [1, 1], [1, 0], [0, 1], [0, 0])):
        rows = (np.arange(B)[:, None] * N + parents).reshape(-1)
        state = take_rows(state, rows)
        lines[:, :, :position] = lines[:, parents, :position]
        step_logits, state = decoder.step(tokens[:, :, position].reshape(-1), state, memory)
        expected = logits(decoder, pictures, lines)[:, :, position]
        np.testing.assert_allclose(np.asarray(step_logits).reshape(B, N, V), expected, atol=1e-5)


def test_memory_and_state_have_a_row_a_picture(decoder: Any) -> None:
    memory = decoder.remember(grid())
    state = decoder.initial_state(memory)
    held = [*memory.values(), *state.rows.values(), *state.kept.values()]
    assert all(value.shape[0] == B for value in held)


def test_every_word_looks_somewhere(decoder: Any) -> None:
    _, attention = decoder(grid(), token_ids())
    assert tuple(attention.shape) == (B, N, L, decoder.first_patch + P)
    np.testing.assert_allclose(np.asarray(attention).sum(axis=-1), 1, atol=1e-5)


def test_attention_goes_to_the_patch_that_answers_the_query(decoder: Any) -> None:
    """The weights that are returned are those that were used: no weight on it, no effect of it."""
    pictures, tokens = grid(), token_ids()
    moved = np.asarray(decoder(pictures[:, ::-1], tokens)[1])
    assert np.abs(moved - np.asarray(decoder(pictures, tokens)[1])).max() > 1e-3


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_concepts_matter_by_word_and_probability(kind: str) -> None:
    decoder = make_decoder(kind, concepts=True)
    pictures, tokens = grid(), token_ids()
    ids = np.array([[4, 5], [6, 7], [8, 9]])
    sure = np.full((B, T), 0.9, "float32")

    def said(ids: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(decoder(pictures, tokens, (ids, probabilities))[0])

    before = said(ids, sure)
    other = ids.copy()
    other[0, 1] = 10
    difference = np.abs(said(other, sure) - before).max(axis=(1, 2, 3))
    assert difference[0] > 1e-3
    assert difference[1:].max() < 1e-5
    unsure = sure.copy()
    unsure[1, 0] = 0.1
    difference = np.abs(said(ids, unsure) - before).max(axis=(1, 2, 3))
    assert difference[1] > 1e-3
    assert difference[[0, 2]].max() < 1e-5


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_all_weights_are_saved_and_loaded(kind: str, tmp_path: Any) -> None:
    saved, loaded = make_decoder(kind, True), make_decoder(kind, True, seed=2)
    ids = (np.array([[4, 5]] * B), np.full((B, T), 0.5, "float32"))
    one, other = (keras.Sequential([layer]) for layer in (saved, loaded))
    one.built = other.built = True
    one.save_weights(tmp_path / "d.weights.h5")
    other.load_weights(tmp_path / "d.weights.h5")
    expected = saved(grid(), token_ids(), ids)[0]
    np.testing.assert_allclose(loaded(grid(), token_ids(), ids)[0], expected, atol=1e-6)


def test_a_transformer_keeps_words_where_they_were_written() -> None:
    decoder = make_decoder("transformer")
    memory = decoder.remember(grid())
    state = repeat_rows(decoder.initial_state(memory), N)
    for steps in range(3):
        for name in ("keys_0", "values_0", "keys_1", "values_1"):
            assert tuple(state.kept[name].shape) == (B, 2, N * steps, 4)
        _, after = decoder.step(np.full(B * N, 4), state, memory)
        for name, before in state.kept.items():
            np.testing.assert_array_equal(after.kept[name][:, :, : N * steps], before)
        state = after


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_gradients_are_summed_in_one_order(kind: str) -> None:
    """Of three and more, TensorFlow adds that one first whose buffer is free, in time or not.

    An item of a list shares its buffer with the list: when it is free is a matter of luck.
    """
    decoder = make_decoder(kind)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, P, C], tf.float32),
            tf.TensorSpec([None, None, None], tf.int32),
        ]
    )
    def gradients(pictures: tf.Tensor, tokens: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(decoder(pictures, tokens)[0] ** 2)
        return tape.gradient(loss, [weight.value for weight in decoder.trainable_weights])

    graph = gradients.get_concrete_function().graph.as_graph_def()
    sums = 0
    for body in [graph.node, *(function.node_def for function in graph.library.function)]:
        made_by = {node.name: node.op for node in body}
        for node in body:
            if node.op == "AddN" and node.attr["N"].i > 2:
                sums += 1
                terms = {made_by.get(name.split(":")[0].lstrip("^")) for name in node.input}
                assert "TensorListGetItem" not in terms, node.name
    assert sums or kind == "transformer"
