"""Tests of BLEU from sums of counts, against pycocoevalcap's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu

from model.bleu import bleu

# Few words, so that captions match; empty lines among them.
lines = st.lists(st.sampled_from("a cat on the mat".split()), max_size=9).map(" ".join)
images = st.lists(st.tuples(st.lists(lines, min_size=1, max_size=4), lines), min_size=1, max_size=6)


@given(images)
def test_it_is_pycocoevalcaps(pairs: list[tuple[list[str], str]]) -> None:
    truth = {str(number): references for number, (references, _) in enumerate(pairs)}
    guess = {str(number): [caption] for number, (_, caption) in enumerate(pairs)}
    expected, expected_by_image = Bleu(4).compute_score(truth, guess, verbose=0)
    found = bleu(truth, guess)
    assert list(found.scores()) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4"]
    assert list(found.scores().values()) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    by_image = [list(row.values()) for row in found.by_image()]
    np.testing.assert_allclose(by_image, np.transpose(expected_by_image), rtol=1e-9, atol=1e-12)


def test_a_set_is_more_than_the_mean_of_its_images() -> None:
    truth = {"1": ["a cat sat on the mat"], "2": ["a dog"]}
    found = bleu(truth, {"1": ["a cat sat on the mat"], "2": ["two birds"]})
    mean = np.mean([row["bleu_1"] for row in found.by_image()])
    assert found.scores()["bleu_1"] == pytest.approx(6 / 8)
    assert mean == pytest.approx(1 / 2)
