"""Tests of what captions may not say, against plain Python."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoder import WORDS, V, choices
from toy_decoder import repeats as has_repeats

from model.config import SamplerConfig
from model.constraints import (
    NEVER,
    Constraints,
    all_but_end,
    constraints_of,
    early_end,
    forbid,
    one_of,
    repeats,
)
from model.vocabulary import END, PAD

R, L = 40, 7

seeds = st.integers(0, 10**6)
places = st.integers(0, L - 1)
lengths = st.integers(1, L + 3)


def some_log_probs(seed: int) -> np.ndarray:
    return -np.random.default_rng(seed).exponential(3, (R, V)).astype("float32")


def some_tokens(seed: int, t: int) -> np.ndarray:
    tokens = np.random.default_rng(seed).choice(WORDS[:2], (R, L)).astype("int32")
    tokens[:, t:] = PAD
    return tokens


def allowed(before: np.ndarray, after: object) -> list[list[int]]:
    """The ids that are still possible in each row; their log-probabilities are as they were."""
    changed = np.asarray(after)
    possible = changed > NEVER / 2
    np.testing.assert_array_equal(changed, np.where(possible, before, np.float32(NEVER)))
    return [np.flatnonzero(row).tolist() for row in possible]


@given(seeds, st.lists(st.integers(0, V - 1), min_size=1))
def test_what_is_forbidden_cannot_be_chosen(seed: int, token_ids: list[int]) -> None:
    log_probs = some_log_probs(seed)
    rest = sorted(set(range(V)) - set(token_ids))
    assert allowed(log_probs, forbid(log_probs, one_of(token_ids, V))) == [rest] * R


@settings(max_examples=50)
@given(seeds, places, lengths)
def test_what_makes_an_ngram_a_second_time_is_forbidden(seed: int, t: int, n: int) -> None:
    log_probs, tokens = some_log_probs(seed), some_tokens(seed, t)
    found = allowed(log_probs, forbid(log_probs, repeats(tokens, t, n, V)))
    for row, possible in zip(tokens[:, :t].tolist(), found, strict=True):
        written = {tuple(row[i : i + n]) for i in range(t - n + 1)}
        expected = [k for k in range(V) if tuple([*row, k][-n:]) not in written or t < n - 1]
        assert possible == expected


@given(seeds, places)
def test_the_last_place_is_for_the_end(seed: int, t: int) -> None:
    log_probs, tokens = some_log_probs(seed), some_tokens(seed, t)
    expected = [END] if t == L - 1 else list(range(V))
    assert allowed(log_probs, forbid(log_probs, all_but_end(tokens, t, V))) == [expected] * R


@given(seeds, places, lengths)
def test_an_end_comes_not_before_its_time(seed: int, t: int, min_length: int) -> None:
    log_probs = some_log_probs(seed)
    never = np.zeros((R, V), bool)
    never[0, np.arange(V) != END] = True
    only_end, *found = allowed(
        log_probs, forbid(log_probs, never | early_end(never, t, min_length))
    )
    assert only_end == [END]
    expected = [k for k in range(V) if k != END or t >= min_length]
    assert found == [expected] * (R - 1)


all_constraints = st.builds(
    Constraints,
    min_length=st.integers(0, L),
    no_repeat_ngram=st.integers(0, 4),
    banned=st.lists(st.sampled_from(WORDS)).map(tuple),
)


@settings(max_examples=50)
@given(seeds, places, all_constraints)
def test_together_they_allow_what_plain_python_allows(
    seed: int, t: int, constraints: Constraints
) -> None:
    log_probs, tokens = some_log_probs(seed), some_tokens(seed, t)
    found = allowed(log_probs, constraints(log_probs, tokens, t))
    for row, possible in zip(tokens[:, :t].tolist(), found, strict=True):
        assert possible == choices(row, L, constraints) != []


@settings(max_examples=10)
@given(seeds, all_constraints)
def test_a_graph_whose_sizes_are_unknown_gives_the_same(
    seed: int, constraints: Constraints
) -> None:
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, V], tf.float32),
            tf.TensorSpec([None, L], tf.int32),
            tf.TensorSpec([], tf.int32),
        ]
    )
    def graph(log_probs: tf.Tensor, tokens: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        return constraints(log_probs, tokens, t)

    for t in range(L):
        log_probs, tokens = some_log_probs(seed), some_tokens(seed, t)
        expected = constraints(log_probs, tokens, t)
        np.testing.assert_array_equal(graph(log_probs, tokens, t), expected)


def test_the_plain_rule_of_repeats_is_right() -> None:
    assert has_repeats([4, 5, 4, 5], 2)
    assert has_repeats([4, 4, 4], 2)
    assert has_repeats([4, 5, 6, 4], 1)
    assert not has_repeats([4, 5, 4, 6], 2)
    assert not has_repeats([4], 2)


def test_they_are_those_of_the_configuration() -> None:
    config = SamplerConfig(min_length=2, no_repeat_ngram=3)
    assert constraints_of(config, [7, 8]) == Constraints(2, 3, (7, 8))
