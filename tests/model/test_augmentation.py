"""Tests of the augmentation of pixels."""

from __future__ import annotations

import builders
import numpy as np
import pytest
import tensorflow as tf

from model.augmentation import augment
from model.config import CROP, CROP_FLIP

PIXELS = builders.square_picture("red", 3, 64)
# Each pixel tells its place: rows in red, columns in green.
ROWS, COLUMNS = np.mgrid[:64, :64] * 4
PLACES = np.stack([ROWS, COLUMNS, np.zeros_like(ROWS)], axis=-1).astype(np.uint8)


def views(augmentation: str, count: int = 200) -> np.ndarray:
    return np.stack(
        [augment(tf.constant(PLACES), tf.constant(n, tf.int64), augmentation) for n in range(count)]
    )


@pytest.mark.parametrize("augmentation", [CROP, CROP_FLIP])
def test_views_are_enlarged_parts_of_the_picture_at_random_places(augmentation: str) -> None:
    seen = views(augmentation).astype(int)
    assert seen.shape == (200, 64, 64, 3)
    for axis, corner in ((0, seen[:, 0, :, 0]), (1, seen[:, :, 0, 1])):
        last = np.take(seen, -1, axis=axis + 1)[..., axis]
        spans = np.abs(last - corner)[:, 0] / (63 * 4)
        assert (spans >= 7 / 8 - 0.01).all()
        assert spans.min() < 0.89
        assert spans.max() > 0.98
        firsts = np.minimum(corner, last)[:, 0] / (63 * 4)
        assert firsts.min() < 0.01
        assert firsts.max() > 0.09
        # Both sides are the same share of the picture's.
        np.testing.assert_allclose(spans, np.ptp(seen[..., axis], axis=(1, 2)) / (63 * 4))
    heights, widths = (np.ptp(seen[..., axis], axis=(1, 2)) for axis in (0, 1))
    assert np.abs(heights - widths).max() <= 4


def test_half_of_the_views_are_mirror_images_if_asked_for() -> None:
    mirrored = {
        kind: views(kind)[:, 0, 0, 1] > views(kind)[:, 0, -1, 1] for kind in (CROP, CROP_FLIP)
    }
    assert not mirrored[CROP].any()
    assert 70 < mirrored[CROP_FLIP].sum() < 130
    # Nothing is upside down.
    assert (views(CROP_FLIP)[:, 0, 0, 0] < views(CROP_FLIP)[:, -1, 0, 0]).all()


def test_a_view_follows_from_its_number_and_is_pixels() -> None:
    one, again, other = (
        augment(tf.constant(PIXELS), tf.constant(n, tf.int64), CROP_FLIP) for n in (1, 1, 2**40)
    )
    assert one.dtype == tf.uint8
    np.testing.assert_array_equal(one, again)
    assert (one.numpy() != other.numpy()).any()
