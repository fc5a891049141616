"""Tests of what the outputs of a bundle's graph become."""

from __future__ import annotations

import numpy as np
import pytest

from model.bundle import to_captions
from model.bundle_folder import ImageCaptions, Scored
from model.constraints import NEVER

OUTPUTS = {
    "captions": np.array([[b"a dog", "ein Mädchen".encode()], [b"", b""]]),
    "scores": np.array([[-1.5, -0.5], [-0.25, NEVER]], np.float32),
    "tags": np.array([[b"dog"], [b"cat"]]),
    "tag_scores": np.array([[0.75], [0.5]], np.float32),
}


def test_places_without_a_caption_are_none_and_the_order_is_the_models() -> None:
    assert to_captions(OUTPUTS, 2) == [
        ImageCaptions([Scored("a dog", -1.5), Scored("ein Mädchen", -0.5)], [Scored("dog", 0.75)]),
        # No word is a caption, too.
        ImageCaptions([Scored("", -0.25)], [Scored("cat", 0.5)]),
    ]


def test_another_number_of_results_than_of_pictures_is_refused() -> None:
    with pytest.raises(RuntimeError, match="got 2 results from the model, expected 3"):
        to_captions(OUTPUTS, 3)
