"""Tests of mean average precision, against its definition counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from model.average_precision import mean_average_precision


def by_definition(scores: np.ndarray, labels: np.ndarray) -> float:
    averages = []
    for column, positive in zip(scores.T, labels.T, strict=True):
        ranked = sorted(range(len(column)), key=lambda image: (-column[image], image))
        precisions = [
            sum(positive[image] for image in ranked[: rank + 1]) / (rank + 1)
            for rank in range(len(ranked))
            if positive[ranked[rank]]
        ]
        if precisions:
            averages.append(sum(precisions) / len(precisions))
    return sum(averages) / len(averages)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and labels with a positive."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    labels = draw(arrays(bool, shape))
    assume(labels.any())
    return draw(arrays(float, shape, elements=st.sampled_from([-1.0, 0.0, 0.25, 0.5]))), labels


@given(rankings())
def test_it_is_its_definition(ranking: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = ranking
    assert mean_average_precision(scores, labels) == pytest.approx(by_definition(scores, labels))


@given(rankings())
def test_only_the_order_of_scores_counts(ranking: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = ranking
    assert mean_average_precision(np.exp(3 * scores), labels) == mean_average_precision(
        scores, labels.astype(int)
    )


def test_a_perfect_ranking_scores_one_and_the_reverse_the_least() -> None:
    labels = np.array([[1], [1], [0], [0]])
    assert mean_average_precision([[4], [3], [2], [1]], labels) == 1
    assert mean_average_precision([[1], [2], [3], [4]], labels) == pytest.approx(
        (1 / 3 + 2 / 4) / 2
    )


def test_a_class_without_a_positive_is_left_out() -> None:
    scores, labels = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1, 0], [0, 0]])
    assert mean_average_precision(scores, labels) == 1


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.5]], [[1], [0]], r"got scores of shape \(1, 1\) and labels of shape \(2, 1\)"),
        ([0.5], [1], "expected the same two dimensions"),
        ([[np.nan]], [[1]], r"got 1 score\(s\) that are NaN"),
        ([[0.5]], [[2]], r"got labels \[2\]; expected 0 and 1"),
        ([[0.5, 0.5]], [[0, 0]], "got 1 images and 2 classes without a positive"),
    ],
)
def test_refused_input(scores: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_average_precision(scores, labels)
