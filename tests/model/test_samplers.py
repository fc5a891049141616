"""Tests of the samplers against plain Python over toy decoders.

A toy decoder is a table: the logits of the next token by picture, position and the two tokens
before, the earlier of which is held in the state. Many pictures at once cost no more than one, so
few examples are drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import SamplerConfig
from model.samplers import BeamSampler, GreedySampler, Sampler, make_sampler
from model.vocabulary import END, OOV, PAD, START

WORDS = (4, 5)
V, L = 6, 4
# Above the number of captions of L tokens, so that the beam drops none.
ALL = 16

seeds = st.integers(0, 10**6)
alphas = st.sampled_from([0.0, 0.7, 1.0])


def make_table(seed: int, pictures: int = 12, length: int = L) -> np.ndarray:
    """Logits `[B, L, V, V, V]` of each token by picture, position and the two tokens before."""
    return np.random.default_rng(seed).normal(0, 2, (pictures, length, V, V, V)).astype("float32")


def first_state(pictures: int | tf.Tensor) -> dict:
    zeros = tf.zeros([pictures], tf.int32)
    return {"position": zeros, "before": zeros + PAD, "picture": tf.range(pictures)}


def memory_of(table: tf.Tensor) -> dict:
    return {"table": table, "picture": tf.range(tf.shape(table)[0])}


def step(token_ids: tf.Tensor, state: dict, memory: dict) -> tuple[tf.Tensor, dict]:
    rows = tf.range(tf.shape(token_ids)[0])
    where = tf.stack([rows, state["position"], state["before"], token_ids], axis=-1)
    # A row that is given the state of another picture knows nothing.
    right = tf.cast(state["picture"] == memory["picture"], tf.float32)[:, None]
    state = {**state, "position": state["position"] + 1, "before": token_ids}
    return right * tf.gather_nd(memory["table"], where), state


def draw(sampler: Sampler, table: np.ndarray) -> list[list[tuple[list[int], float]]]:
    """The captions of each picture, best first, as `(tokens with END, score)`; all padding cut."""
    samples = sampler(step, first_state(len(table)), memory_of(tf.constant(table)))
    rows = zip(np.asarray(samples.token_ids), np.asarray(samples.scores), strict=True)
    return [
        [
            (trim(tokens), float(score))
            for tokens, score in zip(*row, strict=True)
            # A beam may have more places than there are captions; these are no captions.
            if score > -1e5
        ]
        for row in rows
    ]


def trim(tokens: np.ndarray) -> list[int]:
    """The tokens before the padding, of which there is none in between."""
    count = int((tokens != PAD).sum())
    assert (tokens[count:] == PAD).all()
    return tokens[:count].tolist()


def log_prob(table: np.ndarray, tokens: list[int]) -> float:
    """Total log-probability of one picture's caption `tokens`, END counted."""
    total = 0.0
    read = [PAD, START, *tokens]
    for position, token in enumerate(tokens):
        logits = table[position, read[position], read[position + 1]].astype("float64")
        total += logits[token] - np.log(np.exp(logits).sum())
    return total


def all_captions(length: int) -> list[list[int]]:
    """Every caption of at most `length` tokens, END counted."""
    return [[*words, END] for n in range(length) for words in itertools.product(WORDS, repeat=n)]


def rank(table: np.ndarray, tokens: list[int], alpha: float) -> float:
    return log_prob(table, tokens) / len(tokens) ** alpha


def plain_greedy(table: np.ndarray, length: int) -> list[int]:
    tokens: list[int] = []
    while END not in tokens:
        before, previous = [PAD, START, *tokens][-2:]
        logits = table[len(tokens), before, previous]
        last = len(tokens) == length - 1
        tokens.append(END if last else max((END, *WORDS), key=lambda token: logits[token]))
    return tokens


def plain_beam(table: np.ndarray, width: int, alpha: float, length: int) -> list[list[int]]:
    live: list[list[int]] = [[]]
    ended: list[list[int]] = []
    for _ in range(length):
        ended += [[*words, END] for words in live]
        grown = [[*words, word] for words in live for word in WORDS]
        live = sorted(grown, key=lambda words: -log_prob(table, words))[:width]
    return sorted(ended, key=lambda tokens: -rank(table, tokens, alpha))[:width]


@settings(max_examples=6)
@given(seeds, st.integers(1, L))
def test_greedy_takes_the_likeliest_token_at_every_step(seed: int, length: int) -> None:
    table = make_table(seed)
    for picture, captions in zip(table, draw(GreedySampler(length), table), strict=True):
        ((tokens, score),) = captions
        assert tokens == plain_greedy(picture, length)
        assert score == pytest.approx(log_prob(picture, tokens) / len(tokens), abs=1e-4)


@settings(max_examples=6)
@given(seeds, alphas, st.integers(1, L))
def test_a_wide_beam_finds_every_caption_in_order(seed: int, alpha: float, length: int) -> None:
    table = make_table(seed)
    found = draw(BeamSampler(SamplerConfig(ALL, alpha), length), table)
    for picture, captions in zip(table, found, strict=True):
        expected = sorted(all_captions(length), key=lambda c: -rank(picture, c, alpha))
        assert [tokens for tokens, _ in captions] == expected
        scores = [log_prob(picture, tokens) / len(tokens) for tokens in expected]
        np.testing.assert_allclose([score for _, score in captions], scores, atol=1e-4)


@settings(max_examples=6)
@given(seeds, alphas, st.integers(1, 3))
def test_a_narrow_beam_keeps_the_best_at_every_step(seed: int, alpha: float, width: int) -> None:
    table = make_table(seed)
    found = draw(BeamSampler(SamplerConfig(width, alpha), L), table)
    for picture, captions in zip(table, found, strict=True):
        assert [tokens for tokens, _ in captions] == plain_beam(picture, width, alpha, L)


@settings(max_examples=6)
@given(seeds, alphas, st.integers(1, 4), st.integers(1, L))
def test_captions_of_any_beam_are_well_formed(
    seed: int, alpha: float, width: int, length: int
) -> None:
    table = make_table(seed)
    # The forbidden tokens are the likeliest by far.
    table[..., [PAD, START, OOV]] += 8
    sampler = make_sampler(SamplerConfig(width, alpha), length)
    for picture, captions in zip(table, draw(sampler, table), strict=True):
        assert captions
        assert len({tuple(tokens) for tokens, _ in captions}) == len(captions)
        for tokens, score in captions:
            assert tokens.index(END) == len(tokens) - 1 < length
            assert set(tokens) <= {END, *WORDS}
            assert score == pytest.approx(log_prob(picture, tokens) / len(tokens), abs=1e-3)
        ranks = [rank(picture, tokens, alpha) for tokens, _ in captions]
        assert ranks == sorted(ranks, reverse=True)


@settings(max_examples=6)
@given(seeds, alphas)
def test_a_beam_of_one_ranks_its_caption_no_lower_than_greedy_search(
    seed: int, alpha: float
) -> None:
    table = make_table(seed)
    beams = draw(BeamSampler(SamplerConfig(1, alpha), L), table)
    for picture, beam, greedy in zip(table, beams, draw(GreedySampler(L), table), strict=True):
        assert rank(picture, beam[0][0], alpha) >= rank(picture, greedy[0][0], alpha) - 1e-5


@settings(max_examples=4)
@given(seeds, st.integers(1, 3))
def test_a_picture_is_captioned_as_if_alone(seed: int, width: int) -> None:
    table = make_table(seed, pictures=3)
    sampler = make_sampler(SamplerConfig(width), L)
    together = draw(sampler, table)
    for picture in range(3):
        (alone,) = draw(sampler, table[picture : picture + 1])
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in together[picture]]


def test_a_narrow_beam_can_miss_what_a_wide_one_finds() -> None:
    table = make_table(0, pictures=40)
    narrow, wide = (draw(BeamSampler(SamplerConfig(width, 0.0), L), table) for width in (1, ALL))
    assert [row[0][0] for row in narrow] != [row[0][0] for row in wide]


def test_length_normalisation_favours_long_captions() -> None:
    def lengths(alpha: float) -> int:
        sampler = BeamSampler(SamplerConfig(ALL, alpha), L)
        return sum(len(row[0][0]) for row in draw(sampler, make_table(0, pictures=20)))

    assert lengths(0.0) < lengths(1.0)


def traced(sampler: Sampler) -> Callable:
    @tf.function(input_signature=[tf.TensorSpec([None, None, V, V, V], tf.float32)])
    def graph(table: tf.Tensor) -> tuple:
        return tuple(sampler(step, first_state(tf.shape(table)[0]), memory_of(table)))

    return graph


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("length", [1, L, 7])
def test_a_graph_of_any_batch_draws_what_eager_code_draws(width: int, length: int) -> None:
    sampler = make_sampler(SamplerConfig(width), length)
    graph = traced(sampler)
    for pictures in (1, 4):
        table = make_table(pictures, pictures, length)
        eager = sampler(step, first_state(pictures), memory_of(tf.constant(table)))
        tokens, scores = graph(table)
        assert tuple(tokens.shape) == (pictures, width, length)
        np.testing.assert_array_equal(tokens, eager.token_ids)
        np.testing.assert_allclose(scores, eager.scores, atol=1e-5)


def test_the_sampler_asked_for_is_made() -> None:
    assert isinstance(make_sampler(SamplerConfig(beam_width=1), 9), GreedySampler)
    beam = make_sampler(SamplerConfig(4, 0.5), 9)
    assert isinstance(beam, BeamSampler)
    assert (beam.width, beam.alpha, beam.max_length) == (4, 0.5, 9)
