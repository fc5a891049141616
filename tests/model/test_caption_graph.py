"""Tests of the caption graph around a captioner that says what it is told to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from model.caption_graph import CaptionGraph
from model.config import ImageConfig, SamplerConfig
from model.decoding import Samples
from model.recogniser import Recogniser
from model.vocabulary import END, PAD, SPECIAL_TOKENS, START, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_TOKENS, "a", "dog", "cat", "'s", "bed"))
A, DOG, CAT, OWN, BED = range(4, 9)
LENGTH, ROWS, COLUMNS = 6, 2, 3
# Of two pictures the captions that a search ends with, best first.
CAPTIONS = [
    [[A, DOG, END, PAD, PAD, PAD], [A, CAT, OWN, BED, END, PAD]],
    [[A, CAT, OWN, BED, END, PAD], [A, DOG, END, PAD, PAD, PAD]],
]
IMAGES = np.zeros((2, 8, 8, 3), np.uint8)


class Captioner:
    """Writes `CAPTIONS`, and looks at other places for every word.

    Args:
        tag_logits: each recogniser's of each picture, or None for no recogniser.
    """

    def __init__(self, tag_logits: list[list[list[float]]] | None = None) -> None:
        self.tag_logits = None if tag_logits is None else tf.constant(tag_logits)
        self.recogniser = Recogniser((DOG, CAT), 4, 0.0, 2) if tag_logits else None
        self.image_encoder = SimpleNamespace(grid=(ROWS, COLUMNS))
        self.decoder = SimpleNamespace(first_patch=1)
        self.told: list[list[int]] = []

    def encode(self, images: Any) -> tf.Tensor:
        return tf.zeros([len(images), ROWS * COLUMNS, 5])

    def look(self, grid: tf.Tensor) -> tuple[dict, tf.Tensor | None]:
        return {"grid": grid}, self.tag_logits

    def write(self, memory: dict, sampler: object) -> Samples:
        return Samples(tf.constant(CAPTIONS), tf.constant([[-0.5, -0.6], [-0.5, -0.6]]))

    def __call__(self, inputs: dict) -> SimpleNamespace:
        (self.told,) = inputs["token_ids"].numpy().transpose(1, 0, 2).tolist()
        places = 1 + ROWS * COLUMNS + 2
        attention = np.arange(2 * LENGTH * places).reshape(2, 1, LENGTH, places)
        return SimpleNamespace(attention=tf.constant(attention, tf.float16))


def graph_of(captioner: Captioner, weight: float, shares: tuple[float, ...]) -> CaptionGraph:
    made: Any = captioner
    sampler = SamplerConfig(beam_width=2, concept_weight=weight)
    return CaptionGraph(made, VOCABULARY, sampler, LENGTH, ImageConfig(8), shares)


# The recognisers' mean says that both pictures show a dog and no cat; one of them alone does not.
DOGS = [[[-5.0, 9.0], [9.0, -13.0]]] * 2


@pytest.mark.parametrize(
    ("weight", "shares", "second"),
    [(1.0, (0.5, 0.5), "a dog"), (0.0, (0.5, 0.5), "a cat's bed"), (1.0, (), "a cat's bed")],
)
def test_the_best_caption_is_the_first_by_what_all_recognisers_see(
    weight: float, shares: tuple[float, ...], second: str
) -> None:
    captioner = Captioner(DOGS)
    graph = graph_of(captioner, weight, shares)
    captions = [
        [text.decode() for text in row] for row in graph.caption_pixels(IMAGES)["captions"].numpy()
    ]
    assert captions == [
        ["a dog", "a cat's bed"],
        sorted(["a dog", "a cat's bed"], key=second.__ne__),
    ]
    # Every signature tells of the same one.
    words = graph.attend_pixels(IMAGES)["words"].numpy()
    best = [b" ".join(word for word in row if word).decode().replace(" 's", "'s") for row in words]
    assert best == ["a dog", second]
    token_ids = graph.spell_pixels(IMAGES)["token_ids"].numpy()[:, 0].tolist()
    assert token_ids[1] == CAPTIONS[0 if second == "a dog" else 1][0]


def test_attention_is_of_each_word_of_the_best_caption_to_the_patches() -> None:
    captioner = Captioner()
    seen = graph_of(captioner, 0.0, ()).attend_pixels(IMAGES)
    assert captioner.told == [[START, *captions[0][:-1]] for captions in CAPTIONS]
    assert seen["words"].numpy().tolist() == [
        [b"a", b"dog", b"", b"", b"", b""],
        [b"a", b"cat", b"'s", b"bed", b"", b""],
    ]
    attention = seen["attention"]
    assert attention.dtype == tf.float32
    # The first place and the last two of nine are none of the picture.
    first = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(attention[0, 0], first)
    np.testing.assert_array_equal(attention[1, 2], np.array(first) + 9 * (LENGTH + 2))
    assert attention.shape == (2, LENGTH, ROWS, COLUMNS)


def test_tags_are_the_likeliest_of_the_recognisers_mean_or_none() -> None:
    outputs = graph_of(Captioner(DOGS), 0.0, ()).caption_pixels(IMAGES)
    assert outputs["tags"].numpy().tolist() == [[b"dog", b"cat"]] * 2
    np.testing.assert_allclose(outputs["tag_scores"][0], 1 / (1 + np.exp([-2.0, 2.0])), rtol=1e-5)
    outputs = graph_of(Captioner(), 1.0, (0.5, 0.5)).caption_pixels(IMAGES)
    assert outputs["tags"].shape == outputs["tag_scores"].shape == (2, 0)
