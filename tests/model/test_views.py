"""Tests of the views that stored features are made from."""

from __future__ import annotations

import builders
import numpy as np
import pytest

from model.views import make_views

PIXELS = builders.square_picture("red", 3, 64)


def test_the_first_view_is_the_picture_and_the_second_its_mirror_image() -> None:
    views = make_views(PIXELS, 2, seed=1)
    np.testing.assert_array_equal(views[0], PIXELS)
    np.testing.assert_array_equal(views[1], PIXELS[:, ::-1])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_there_are_as_many_views_as_asked_for_of_the_same_size(count: int) -> None:
    views = make_views(PIXELS, count, seed=1)
    assert views.shape == (count, 64, 64, 3)
    assert views.dtype == np.uint8


def test_crops_are_enlarged_parts_of_the_picture_each_another() -> None:
    rows = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 3))
    views = make_views(np.ascontiguousarray(rows), 6, seed=2)
    assert len({view.tobytes() for view in views}) >= 5  # rows have no left and right
    for view in views[2:]:
        spans = int(view.max()) - int(view.min())
        assert 0.8 < spans / 252 < 0.92


def test_a_seed_decides_the_views() -> None:
    one, two, other = (make_views(PIXELS, 4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one[2] != other[2]).any()
