"""Tests of training pictures that are kept to be looked up."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from model.errors import CaptionerError
from model.neighbours import (
    BUCKETS,
    NEIGHBOURS_FILE,
    make_neighbours,
    read_neighbours,
    write_neighbours,
)
from model.vocabulary import END, PAD

RNG = np.random.default_rng(3)
POOLED = (RNG.normal(size=(40, 6)) * [1, 1, 1, 1, 1, 100] + 7).astype(np.float32)
CAPTIONS = [[[5, 6, 7, 8, 9], [5, 6, 5]], *([[10 + n % 3, 6]] for n in range(39))]


def test_ngrams_have_the_shares_of_cider() -> None:
    """Of the first picture, by hand: 6 is in all captions and tells nothing."""
    known = make_neighbours(POOLED, CAPTIONS)
    of_first = dict(zip(known.buckets[0].tolist(), known.shares[0].tolist(), strict=True))
    idf = {bucket: float(known.weights[bucket]) for bucket in of_first if bucket}
    # Each n-gram of the first picture is its own alone, but for the single tokens 5 to 9.
    assert Counter(round(weight, 4) for weight in idf.values()) == {
        round(math.log(40), 4): 4 + 5 + 4 + 2
    }
    assert known.weights[0] == 0
    # Single tokens: 5, 7, 8, 9 once each in the first caption, 5 twice in the second.
    five = next(share for bucket, share in of_first.items() if bucket == 5 + 1)
    assert five == pytest.approx((1 / 2 + 1) / 2, rel=1e-3)
    seven = of_first[7 + 1]
    assert seven == pytest.approx((1 / 2) / 2, rel=1e-3)


def test_features_are_of_length_one_and_whitened() -> None:
    known = make_neighbours(POOLED, CAPTIONS)
    np.testing.assert_allclose(np.linalg.norm(known.features, axis=1), 1, atol=2e-3)
    features = (POOLED - known.mean) @ known.projection
    np.testing.assert_allclose(features.T @ features / 40, np.eye(6), atol=0.05)


@pytest.mark.parametrize("pictures", [1, 2])
def test_few_pictures_and_captions_without_words_are_kept_too(pictures: int) -> None:
    captions = [[[5, END, PAD]], [[]]][:pictures]
    known = make_neighbours(np.ones((pictures, 3), np.float32), captions)
    assert len(known.features) == pictures
    assert np.isfinite(known.features.sum() + known.weights.sum())
    assert known.weights.shape == (BUCKETS,)


def test_they_are_written_once_and_read_as_they_were(tmp_path: Path) -> None:
    known = make_neighbours(POOLED, CAPTIONS)
    write_neighbours(tmp_path, known)
    before = (tmp_path / NEIGHBOURS_FILE).read_bytes()
    write_neighbours(tmp_path, make_neighbours(POOLED[:9], CAPTIONS[:9]))
    assert (tmp_path / NEIGHBOURS_FILE).read_bytes() == before
    found = read_neighbours(tmp_path)
    for name, array in vars(known).items():
        np.testing.assert_array_equal(vars(found)[name], array)
        assert vars(found)[name].dtype == array.dtype


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / NEIGHBOURS_FILE
    if damage == "cut":
        write_neighbours(tmp_path, make_neighbours(POOLED, CAPTIONS))
        path.write_bytes(path.read_bytes()[:-300])
    elif damage == "other":
        np.savez(path, mean=np.zeros(3))
    with pytest.raises(CaptionerError, match=r"neighbours\.npz cannot be read .*copy .* again"):
        read_neighbours(tmp_path)
