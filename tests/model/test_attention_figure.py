"""Tests of the pictures of attention."""

from __future__ import annotations

import numpy as np

from model.attention_figure import attention_figure

GREY = np.full((32, 32, 3), 90, np.uint8)


def figure(attention: np.ndarray) -> np.ndarray:
    return attention_figure(GREY, ["dog"] * len(attention), attention, "a dog").astype(int)


def test_a_panel_is_bright_where_the_word_looked() -> None:
    left, right = np.zeros((1, 4, 4), "float32"), np.zeros((1, 4, 4), "float32")
    left[0, :, 0], right[0, :, 3] = 0.25, 0.25
    one, other = figure(left), figure(right)
    assert one.shape == other.shape
    assert one.shape[2] == 3
    columns = np.nonzero((one - other).any(axis=(0, 2)))[0]
    middle = (columns.min() + columns.max()) // 2
    brighter = (one - other).sum(axis=(0, 2))
    assert brighter[: middle + 1].sum() > 0 > brighter[middle + 1 :].sum()


def test_many_words_take_more_rows() -> None:
    few, many = (figure(np.ones((count, 4, 4), "float32")) for count in (2, 12))
    assert many.shape[0] > few.shape[0]
    assert many.shape[1] == few.shape[1]
