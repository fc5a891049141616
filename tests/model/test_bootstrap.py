"""Tests of bootstrap intervals: against literal resampling, theory, and themselves."""

from __future__ import annotations

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu

from model import bootstrap
from model.bleu import bleu
from model.bootstrap import difference_intervals, intervals, resampled_sums
from model.measures import Measure, mean_of

WORDS = "a cat dog on in the red mat sat runs".split()


def made_up_captions(images: int, seed: int) -> tuple[dict, dict]:
    """References and captions of random words."""
    rng = np.random.default_rng(seed)

    def line() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(3, 9)))

    truth = {str(image): [line() for _ in range(3)] for image in range(images)}
    return truth, {image: [line()] for image in truth}


def test_bleu_of_a_sample_is_that_of_the_images_drawn() -> None:
    truth, guess = made_up_captions(12, seed=3)
    measure = bleu(truth, guess)
    found = measure.scores_of(resampled_sums(measure.statistics, 20, seed=5))
    draws = np.random.default_rng(5).integers(12, size=(20, 12))
    for row, drawn in zip(found, draws, strict=True):
        again = {str(place): truth[str(image)] for place, image in enumerate(drawn)}
        captions = {str(place): guess[str(image)] for place, image in enumerate(drawn)}
        expected, _ = Bleu(4).compute_score(again, captions, verbose=0)
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-12)


def test_every_sample_has_as_many_images() -> None:
    sums = resampled_sums(np.ones((7, 1)), 50, seed=1)
    np.testing.assert_array_equal(sums, np.full((50, 1), 7))


def test_draws_do_not_depend_on_how_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.random.default_rng(0).random((9, 2))
    expected = resampled_sums(statistics, 100, seed=2)
    monkeypatch.setattr(bootstrap, "_DRAWS", 9 * 30)
    np.testing.assert_allclose(resampled_sums(statistics, 100, seed=2), expected)


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = intervals(mean_of("x", values))["x"]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert intervals(mean_of("x", values)) == {"x": (low, high)}


def test_the_interval_holds_the_truth_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(1)
    ends = [intervals(mean_of("x", rng.normal(0, 1, 60)))["x"] for _ in range(150)]
    assert 0.88 <= np.mean([low <= 0 <= high for low, high in ends]) <= 0.99


def test_equal_images_leave_nothing_to_chance() -> None:
    assert intervals(mean_of("x", [0.25] * 10)) == {"x": (0.25, 0.25)}


def test_a_paired_difference_is_surer_than_either_score() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(200)
    first, second = mean_of("x", hard), mean_of("x", hard + 0.05 + rng.normal(0, 0.02, 200))
    low, high = difference_intervals(first, second)["x"]
    assert 0.04 < low < 0.05 < high < 0.06
    alone_low, alone_high = intervals(first)["x"]
    assert high - low < (alone_high - alone_low) / 5
    assert difference_intervals(second, first)["x"] == pytest.approx((-high, -low))


def test_a_measure_does_not_differ_from_itself() -> None:
    measure = bleu(*made_up_captions(10, seed=4))
    differences = difference_intervals(measure, measure)
    assert differences == dict.fromkeys(measure.names, (0.0, 0.0))


@pytest.mark.parametrize("other", [mean_of("y", [1.0, 2.0]), mean_of("x", [1.0])])
def test_what_is_not_paired_is_refused(other: Measure) -> None:
    with pytest.raises(ValueError, match="expected the same scores of the same images"):
        difference_intervals(mean_of("x", [1.0, 2.0]), other)
