"""Tests of what the token ids of another engine become: no engine is needed for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.bundle_folder import MOST_TAGS, ImageCaptions, Scored
from model.constraints import NEVER
from model.onnx_bundle import OnnxBundle
from model.onnx_graph import JOINED, SCORES, TAG_SCORES, TOKEN_IDS
from model.vocabulary import END, PAD, SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_TOKENS, "a", "dog", "'s", "bed"))
FEW = ("dog", "bed", "cat")


def bundle_of(concepts: tuple[str, ...], **outputs: Any) -> OnnxBundle:
    """A bundle whose engine computes `outputs`, whatever it is given."""
    bundle: Any = object.__new__(OnnxBundle)
    bundle.config, bundle.vocabulary = SimpleNamespace(concepts=concepts), VOCABULARY
    run = lambda names, images: [np.array(outputs[name]) for name in names]  # noqa: E731
    bundle._graph = SimpleNamespace(run=run)
    return bundle


OUTPUTS = {
    TOKEN_IDS: [[[4, 5, 6, 7, END], [6, 5, END, PAD, PAD]], [[END, *[PAD] * 4], [PAD] * 5]],
    JOINED: [[[False, False, True, False, False], [True] + [False] * 4], [[False] * 5] * 2],
    SCORES: [[-1.5, -0.5], [-0.25, NEVER]],
    TAG_SCORES: [[0.25, 0.75, 0.5], [0.5, 0.75, 0.5]],
}
IMAGES = np.zeros((2, 8, 8, 3), np.uint8)


def test_captions_are_spelt_and_tags_are_the_likeliest_of_equals_the_first() -> None:
    tags = [
        [("bed", 0.75), ("cat", 0.5), ("dog", 0.25)],
        [("bed", 0.75), ("dog", 0.5), ("cat", 0.5)],
    ]
    assert bundle_of(FEW, **OUTPUTS).caption(IMAGES) == [
        ImageCaptions(
            [Scored("a dog's bed", -1.5), Scored("'s dog", -0.5)], [Scored(*tag) for tag in tags[0]]
        ),
        ImageCaptions([Scored("", -0.25)], [Scored(*tag) for tag in tags[1]]),
    ]


def test_there_are_no_more_tags_than_of_a_bundle_computed_by_tensorflow() -> None:
    many = tuple(f"concept {n}" for n in range(MOST_TAGS + 5))
    outputs = {**OUTPUTS, TAG_SCORES: np.linspace(0, 1, 2 * len(many)).reshape(2, -1)}
    for result in bundle_of(many, **outputs).caption(IMAGES):
        assert [tag.text for tag in result.tags] == list(many[::-1][:MOST_TAGS])


def test_without_a_recogniser_there_are_no_tags() -> None:
    outputs = {name: value for name, value in OUTPUTS.items() if name != TAG_SCORES}
    assert [result.tags for result in bundle_of((), **outputs).caption(IMAGES)] == [[], []]


def test_another_number_of_results_than_of_pictures_is_refused() -> None:
    with pytest.raises(RuntimeError, match="got 2 results from the model, expected 1"):
        bundle_of(FEW, **OUTPUTS).caption(IMAGES[:1])
