"""Tests of beam search against plain Python over toy decoders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoder import (
    ALL,
    WORDS,
    L,
    all_captions,
    choices,
    draw,
    log_prob,
    make_table,
    score,
)

from model.beam_sampler import BeamSampler
from model.config import SamplerConfig
from model.constraints import UNCONSTRAINED, Constraints
from model.samplers import GreedySampler
from model.vocabulary import END

seeds = st.integers(0, 10**6)
alphas = st.sampled_from([0.0, 0.7, 1.0])
constraints = st.builds(
    Constraints,
    min_length=st.integers(0, L - 1),
    no_repeat_ngram=st.integers(0, 3),
    banned=st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
)


def beam(
    width: int, alpha: float, length: int = L, limits: Constraints = UNCONSTRAINED
) -> BeamSampler:
    config = SamplerConfig(
        beam_width=width,
        length_normalisation=alpha,
        min_length=limits.min_length,
        no_repeat_ngram=limits.no_repeat_ngram,
    )
    return BeamSampler(config, length, limits.banned)


def rank(table: np.ndarray, tokens: list[int], alpha: float) -> float:
    return log_prob(table, tokens) / len(tokens) ** alpha


def plain_beam(
    table: np.ndarray, width: int, alpha: float, length: int, limits: Constraints
) -> list[list[int]]:
    live: list[list[int]] = [[]]
    ended: list[list[int]] = []
    for _ in range(length):
        grown = [[*words, token] for words in live for token in choices(words, length, limits)]
        ended += [tokens for tokens in grown if tokens[-1] == END]
        growing = [tokens for tokens in grown if tokens[-1] != END]
        live = sorted(growing, key=lambda tokens: -log_prob(table, tokens))[:width]
    return sorted(ended, key=lambda tokens: -rank(table, tokens, alpha))[:width]


@settings(max_examples=6)
@given(seeds, alphas, st.integers(1, L))
def test_a_wide_beam_finds_every_caption_in_order(seed: int, alpha: float, length: int) -> None:
    table = make_table(seed)
    found = draw(beam(ALL, alpha, length), table)
    for picture, captions in zip(table, found, strict=True):
        expected = sorted(all_captions(length), key=lambda c: -rank(picture, c, alpha))
        assert [tokens for tokens, _ in captions] == expected
        scores = [score(picture, tokens) for tokens in expected]
        np.testing.assert_allclose([score for _, score in captions], scores, atol=1e-4)


@settings(max_examples=5)
@given(seeds, alphas, constraints)
def test_a_wide_beam_finds_every_caption_that_is_allowed(
    seed: int, alpha: float, limits: Constraints
) -> None:
    table = make_table(seed, pictures=4, length=L + 1)
    found = draw(beam(4 * ALL, alpha, L + 1, limits), table)
    allowed = all_captions(L + 1, limits)
    for picture, captions in zip(table, found, strict=True):
        expected = sorted(allowed, key=lambda c: -rank(picture, c, alpha))
        assert [tokens for tokens, _ in captions] == expected


@settings(max_examples=8)
@given(seeds, alphas, st.integers(1, 3), st.just(UNCONSTRAINED) | constraints)
def test_a_narrow_beam_keeps_the_best_at_every_step(
    seed: int, alpha: float, width: int, limits: Constraints
) -> None:
    table = make_table(seed)
    found = draw(beam(width, alpha, L, limits), table)
    for picture, captions in zip(table, found, strict=True):
        expected = plain_beam(picture, width, alpha, L, limits)
        assert [tokens for tokens, _ in captions] == expected


@settings(max_examples=6)
@given(seeds, alphas)
def test_a_beam_of_one_ranks_its_caption_no_lower_than_greedy_search(
    seed: int, alpha: float
) -> None:
    table = make_table(seed)
    beams = draw(beam(1, alpha), table)
    for picture, found, greedy in zip(table, beams, draw(GreedySampler(L), table), strict=True):
        assert rank(picture, found[0][0], alpha) >= rank(picture, greedy[0][0], alpha) - 1e-5


def test_a_narrow_beam_can_miss_what_a_wide_one_finds() -> None:
    table = make_table(0, pictures=40)
    narrow, wide = (draw(beam(width, 0.0), table) for width in (1, ALL))
    assert [row[0][0] for row in narrow] != [row[0][0] for row in wide]


def test_length_normalisation_favours_long_captions() -> None:
    def lengths(alpha: float) -> int:
        found = draw(beam(ALL, alpha), make_table(0, pictures=20))
        return sum(len(row[0][0]) for row in found)

    assert lengths(0.0) < lengths(1.0)


@pytest.mark.parametrize("min_length", [0, 2])
def test_a_caption_of_banned_words_alone_is_empty(min_length: int) -> None:
    limits = Constraints(min_length, banned=WORDS)
    table = make_table(0)
    for picture, captions in zip(table, draw(beam(3, 0.7, L, limits), table), strict=True):
        assert captions == [([END], pytest.approx(score(picture, [END]), abs=1e-5))]
