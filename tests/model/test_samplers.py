"""Tests of the samplers against plain Python over toy decoders."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoder import (
    WORDS,
    L,
    V,
    all_captions,
    choices,
    draw,
    first_state,
    log_probs_after,
    make_table,
    sample,
    score,
    step,
)

from model import samplers
from model.beam_sampler import BeamSampler
from model.config import SamplerConfig
from model.constraints import NEVER, UNCONSTRAINED, Constraints
from model.errors import CaptionerError
from model.samplers import (
    GreedySampler,
    NucleusSampler,
    Sampler,
    make_sampler,
)
from model.vocabulary import END, OOV, PAD, SPECIAL_TOKENS, START, Vocabulary

seeds = st.integers(0, 10**6)
LIMITS = Constraints(min_length=1, no_repeat_ngram=1, banned=(5,))
NUCLEUS = SamplerConfig(sampler="nucleus", samples=5, min_length=0)
CONFIGS = {
    "beam of one": SamplerConfig(beam_width=1),
    "beam": SamplerConfig(beam_width=3),
    "constrained beam": SamplerConfig(beam_width=3, no_repeat_ngram=1, min_length=2),
    "greedy": SamplerConfig(sampler="greedy", no_repeat_ngram=2),
    "nucleus": SamplerConfig(sampler="nucleus", samples=3, top_p=0.8, no_repeat_ngram=1),
    "top k": SamplerConfig(sampler="nucleus", samples=2, top_p=1.0, top_k=2, temperature=3.0),
}
all_configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def plain_greedy(table: np.ndarray, length: int, limits: Constraints) -> list[int]:
    tokens: list[int] = []
    while END not in tokens:
        log_probs = log_probs_after(table, tokens)
        tokens.append(max(choices(tokens, length, limits), key=lambda token: log_probs[token]))
    return tokens


@settings(max_examples=8)
@given(seeds, st.integers(1, L), st.sampled_from([UNCONSTRAINED, LIMITS]))
def test_greedy_takes_the_likeliest_token_at_every_step(
    seed: int, length: int, limits: Constraints
) -> None:
    table = make_table(seed)
    for picture, captions in zip(table, draw(GreedySampler(length, limits), table), strict=True):
        ((tokens, found),) = captions
        assert tokens == plain_greedy(picture, length, limits)
        assert found == pytest.approx(score(picture, tokens), abs=1e-4)


@settings(max_examples=3)
@given(seeds)
@all_configs
def test_captions_of_any_sampler_are_well_formed(config: SamplerConfig, seed: int) -> None:
    table = make_table(seed)
    # The forbidden tokens are the likeliest by far.
    table[..., [PAD, START, OOV]] += 8
    limits = Constraints(config.min_length, config.no_repeat_ngram)
    allowed = all_captions(L, limits)
    for picture, captions in zip(table, draw(make_sampler(config, L), table), strict=True):
        assert captions
        for tokens, found in captions:
            assert tokens in allowed
            assert found == pytest.approx(score(picture, tokens), abs=1e-3)
        if config.sampler == "nucleus":
            scores = [found for _, found in captions]
            assert scores == sorted(scores, reverse=True)
        else:
            assert len({tuple(tokens) for tokens, _ in captions}) == len(captions)


@all_configs
def test_a_picture_is_captioned_as_if_alone(config: SamplerConfig) -> None:
    table = make_table(4, pictures=3)
    sampler = make_sampler(config, L)
    together = draw(sampler, table)
    for picture in range(3):
        (alone,) = draw(sampler, table[picture : picture + 1])
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in together[picture]]


def traced(sampler: Sampler) -> Callable:
    @tf.function(input_signature=[tf.TensorSpec([None, None, V, V, V], tf.float32)])
    def graph(table: tf.Tensor) -> tuple:
        return sample(sampler, table)

    return graph


@all_configs
def test_a_graph_of_any_batch_draws_what_eager_code_draws(config: SamplerConfig) -> None:
    length = 7
    sampler = make_sampler(config, length)
    graph = traced(sampler)
    for pictures in (1, 4):
        table = make_table(pictures, pictures, length)
        tokens, scores = sample(sampler, table)
        width = config.samples if config.sampler == "nucleus" else config.beam_width
        assert tokens.shape[0::2] == (pictures, length)
        assert tokens.shape[1] == (1 if config.sampler == "greedy" else width)
        graph_tokens, graph_scores = graph(table)
        np.testing.assert_array_equal(graph_tokens, tokens)
        np.testing.assert_allclose(graph_scores, scores, atol=1e-5)


@pytest.mark.parametrize(
    "sampler",
    [GreedySampler(9), BeamSampler(SamplerConfig(2), 9), NucleusSampler(NUCLEUS, 9)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_batch_stops_when_all_its_captions_have_ended(sampler: Sampler) -> None:
    table = make_table(0, length=9)
    table[..., WORDS] -= 30
    table[:, :2, ..., WORDS] += 60
    calls = []

    def counted(*inputs: object) -> tuple:
        calls.append(inputs)
        return step(*inputs)

    sampler(counted, first_state(len(table)), {"table": tf.constant(table)})
    assert 3 <= len(calls) <= 4


def plain_kept(log_probs: np.ndarray, config: SamplerConfig) -> np.ndarray:
    """Probabilities of the nucleus of `log_probs float64[V]`, 0 outside it."""
    probs = np.exp(log_probs / config.temperature)
    order = np.argsort(-probs)[: config.top_k or None]
    ordered = probs[order] / probs[order].sum()
    size = int((np.cumsum(ordered) < config.top_p - 1e-9).sum()) + 1
    kept = np.zeros_like(probs)
    kept[order[:size]] = ordered[:size] / ordered[:size].sum()
    return kept


def plain_distribution(
    table: np.ndarray, config: SamplerConfig, limits: Constraints
) -> dict[tuple[int, ...], float]:
    """The probability of each caption of at most 3 tokens."""
    probabilities: dict[tuple[int, ...], float] = {}
    growing = {(): 1.0}
    while growing:
        tokens, so_far = growing.popitem()
        allowed = choices(list(tokens), 3, limits)
        log_probs = np.full(V, -np.inf)
        log_probs[allowed] = log_probs_after(table, list(tokens))[allowed]
        for token in np.flatnonzero(kept := plain_kept(log_probs, config)).tolist():
            into = probabilities if token == END else growing
            into[*tokens, token] = so_far * kept[token]
    return probabilities


def assert_agree(drawn: list[list[int]], probabilities: dict[tuple[int, ...], float]) -> None:
    """Pearson's chi-square of the counts is no further from its mean than 4 deviations."""
    counts = Counter(tuple(tokens) for tokens in drawn)
    assert set(counts) <= set(probabilities)
    assert sum(probabilities.values()) == pytest.approx(1)
    expected = {tokens: share * len(drawn) for tokens, share in probabilities.items()}
    frequent = [tokens for tokens, count in expected.items() if count >= 5]
    assert len(frequent) > 1
    chi_square = sum(
        (counts[tokens] - expected[tokens]) ** 2 / expected[tokens] for tokens in frequent
    )
    assert chi_square < len(frequent) + 4 * np.sqrt(2 * len(frequent))


@pytest.mark.parametrize("limits", [UNCONSTRAINED, LIMITS], ids=["free", "constrained"])
@pytest.mark.parametrize(
    "settings",
    [
        {"top_p": 1.0},
        {"top_p": 0.9},
        {"top_p": 1.0, "top_k": 3},
        {"top_p": 0.7, "top_k": 3, "temperature": 1.5},
        {"top_p": 0.95, "temperature": 0.5},
    ],
    ids=str,
)
def test_nucleus_samples_are_distributed_as_the_nucleus(
    settings: dict, limits: Constraints
) -> None:
    config = dataclasses.replace(
        NUCLEUS,
        samples=5000,
        min_length=limits.min_length,
        no_repeat_ngram=limits.no_repeat_ngram,
        **settings,
    )
    table = make_table(5, pictures=1, length=3) / 2
    (captions,) = draw(NucleusSampler(config, 3, limits.banned), table)
    probabilities = plain_distribution(table[0], config, limits)
    assert_agree([tokens for tokens, _ in captions], probabilities)


def test_the_seed_decides_what_nucleus_sampling_draws() -> None:
    table = make_table(0)
    once, again = (draw(NucleusSampler(NUCLEUS, L), table) for _ in range(2))
    assert once == again
    other = dataclasses.replace(NUCLEUS, sampling_seed=2)
    assert draw(NucleusSampler(other, L), table) != once


@pytest.mark.parametrize("settings", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-12}])
def test_a_nucleus_of_one_token_is_greedy_search(settings: dict) -> None:
    table = make_table(3)
    sampler = NucleusSampler(dataclasses.replace(NUCLEUS, **settings), L)
    for captions, ((greedy, _),) in zip(
        draw(sampler, table), draw(GreedySampler(L), table), strict=True
    ):
        assert [tokens for tokens, _ in captions] == [greedy] * 5


def test_heat_does_not_let_in_what_is_forbidden() -> None:
    hot = dataclasses.replace(NUCLEUS, temperature=1e12, top_p=1.0, samples=200)
    for captions in draw(NucleusSampler(hot, L, banned=[5]), make_table(0)):
        assert {token for tokens, _ in captions for token in tokens} == {END, 4, 6}


@given(seeds, st.integers(0, 12), st.floats(0.01, 1))
def test_the_nucleus_is_the_fewest_likeliest_of_its_share(
    seed: int, top_k: int, top_p: float
) -> None:
    log_probs = np.random.default_rng(seed).normal(0, 3, (20, 9)).astype("float32")
    log_probs[:, 4] = NEVER
    kept = np.asarray(samplers.keep_likeliest(log_probs, top_k, top_p))
    for before, after in zip(log_probs.astype("float64"), kept, strict=True):
        order = np.argsort(-before)[: top_k or 9]
        shares = np.exp(before[order]) / np.exp(before[order]).sum()
        size = int((after > NEVER / 2).sum())
        assert set(np.flatnonzero(after > NEVER / 2)) == set(order[:size])
        assert (after[order[:size]] == before[order[:size]]).all()
        assert shares[:size].sum() > top_p - 1e-5
        assert shares[: size - 1].sum() < top_p + 1e-5
        assert 4 not in order[:size]


@given(seeds)
def test_draws_have_their_shares_and_are_never_forbidden(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_probs = rng.normal(0, 2, 9).astype("float32")
    log_probs[[0, 4, 8]] = NEVER
    uniform = np.linspace(0, np.nextafter(np.float32(1), np.float32(0)), 1000, dtype="float32")
    tokens = np.asarray(samplers.draw(np.tile(log_probs, (1000, 1)), uniform))
    shares = np.exp(log_probs.astype("float64"))
    counts = np.bincount(tokens, minlength=9)
    np.testing.assert_allclose(counts, 1000 * shares / shares.sum(), atol=2.1)
    assert (counts[[0, 4, 8]] == 0).all()


def test_a_sum_that_rounds_up_where_nothing_was_added_lets_nothing_forbidden_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a GPU's may, which adds in parallel."""
    cumsum, rounding = samplers.ops.cumsum, np.arange(5, dtype="float32") / 100
    monkeypatch.setattr(samplers.ops, "cumsum", lambda x, axis: cumsum(x, axis) + rounding)
    log_probs = np.tile(np.float32([NEVER, 0, NEVER, 0, NEVER]), (1000, 1))
    tokens = samplers.draw(log_probs, np.linspace(0, 0.999, 1000, dtype="float32"))
    assert set(np.asarray(tokens).tolist()) == {1, 3}


def test_the_sampler_asked_for_is_made() -> None:
    assert isinstance(make_sampler(SamplerConfig(beam_width=1), 9), GreedySampler)
    assert isinstance(make_sampler(SamplerConfig(sampler="greedy"), 9), GreedySampler)
    nucleus = make_sampler(SamplerConfig(beam_width=1, sampler="nucleus"), 9)
    assert isinstance(nucleus, NucleusSampler)
    assert (nucleus.max_length, nucleus.constraints) == (9, Constraints(min_length=1))
    beam = make_sampler(SamplerConfig(4, 0.5), 9)
    assert isinstance(beam, BeamSampler)
    assert (beam.width, beam.alpha, beam.max_length) == (4, 0.5, 9)


VOCABULARY = Vocabulary((*SPECIAL_TOKENS, "a", "dog", "cat"))


@pytest.mark.parametrize("sampler", ["beam", "greedy", "nucleus"])
def test_words_to_ban_are_never_written(sampler: str) -> None:
    config = SamplerConfig(sampler=sampler, ban_words="dog, cat")
    for captions in draw(make_sampler(config, L, VOCABULARY), make_table(0)):
        assert all(set(tokens) == {4, END} for tokens, _ in captions)


@pytest.mark.parametrize("word", ["Dog", "unicorn", "<end>", "<unk>"])
def test_a_word_to_ban_that_is_none_of_the_models_is_named(word: str) -> None:
    with pytest.raises(CaptionerError, match=f"--ban-words: got '{word}', expected words"):
        make_sampler(SamplerConfig(ban_words=f"dog,{word}"), 9, VOCABULARY)


def test_words_to_ban_need_a_vocabulary() -> None:
    with pytest.raises(ValueError, match="no vocabulary"):
        make_sampler(SamplerConfig(ban_words="dog"), 9)


def test_more_words_than_a_caption_has_room_for_are_refused() -> None:
    assert make_sampler(SamplerConfig(min_length=8), 9)
    with pytest.raises(CaptionerError, match="--min-length: got 9, expected below 9"):
        make_sampler(SamplerConfig(min_length=9), 9)
