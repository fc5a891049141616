"""Tests of a start whose words and concepts are others: what was learnt of each goes along."""

from __future__ import annotations

import numpy as np
import pytest

from model.captioner import Captioner, Outputs, build_captioner
from model.config import ImageConfig, ModelConfig
from model.vocabulary import OOV
from model.warm_start import _shape, carry_over

# Tokens 4, 5, 6 and 7 of the start are c, d, e and f; the new model knows f, g, d, h, c.
KNOWN, WANTED = 8, 9
PLACES = np.array([0, 1, 2, 3, 7, OOV, 5, OOV, 4])
# The start has the concepts e, d, f; the new model f, g, d.
CONCEPT_IDS, NEW_CONCEPT_IDS = (6, 5, 7), (4, 5, 6)
CONCEPT_PLACES = np.array([2, -1, 1])
DECODERS = ("gru", "lstm", "transformer")


def noisy(decoder: str, size: int, concept_ids: tuple[int, ...], memory: int) -> Captioner:
    """An untrained captioner none of whose weights is 0."""
    config = ModelConfig(
        "cnn",
        decoder=decoder,
        embedding_dim=16,
        hidden_dim=16,
        units=16,
        attention_units=8,
        glance_dim=0,
        heads=2,
        concepts=3,
        concept_memory=memory,
        concept_folds=2,
    )
    captioner = build_captioner(config, ImageConfig(32), size, concept_ids, max_length=6)
    rng = np.random.default_rng(size)
    for weight in captioner.weights:
        weight.assign(weight + rng.uniform(0, 0.3, weight.shape))
    return captioner


def told(captioner: Captioner, token_ids: np.ndarray) -> Outputs:
    grid = np.random.default_rng(0).normal(
        size=(2, captioner.image_encoder.patches, captioner.image_encoder.channels)
    )
    return captioner({"grid": grid.astype("float32"), "token_ids": token_ids})


@pytest.mark.parametrize("decoder", DECODERS)
def test_known_words_say_what_they_said_and_new_ones_share_what_unknown_ones_had(
    decoder: str,
) -> None:
    start = noisy(decoder, KNOWN, CONCEPT_IDS, memory=0)
    captioner = noisy(decoder, WANTED, NEW_CONCEPT_IDS, memory=0)
    carry_over(start, captioner, PLACES, CONCEPT_PLACES)
    token_ids = np.array([[[1, 4, 5, 8]], [[1, 6, 7, 3]]])
    new = np.asarray(told(captioner, token_ids).logits)
    old = np.asarray(told(start, PLACES[token_ids]).logits)[..., PLACES]
    # Three share the odds of `<unk>`: itself, g and h.
    np.testing.assert_allclose(new, old - np.where(PLACES == OOV, np.log(3), 0), atol=1e-5)


@pytest.mark.parametrize("decoder", DECODERS)
def test_known_concepts_are_seen_and_told_as_they_were(decoder: str) -> None:
    start = noisy(decoder, KNOWN, CONCEPT_IDS, memory=3)
    captioner = noisy(decoder, KNOWN, CONCEPT_IDS[::-1], memory=3)
    carry_over(start, captioner, np.arange(KNOWN), np.array([2, 1, 0]))
    token_ids = np.array([[[1, 4, 5]], [[1, 7, 3]]])
    new, old = told(captioner, token_ids), told(start, token_ids)
    np.testing.assert_allclose(new.logits, old.logits, atol=1e-5)
    np.testing.assert_allclose(new.tag_logits, np.asarray(old.tag_logits)[..., ::-1], atol=1e-5)


def test_a_new_concept_starts_as_in_a_new_model() -> None:
    start = noisy("gru", KNOWN, CONCEPT_IDS, memory=0)
    captioner = noisy("gru", WANTED, NEW_CONCEPT_IDS, memory=0)
    before = [np.asarray(layer.kernel) for layer in captioner.recogniser.logits]
    carry_over(start, captioner, PLACES, CONCEPT_PLACES)
    for fresh, layer, known in zip(
        before, captioner.recogniser.logits, start.recogniser.logits, strict=True
    ):
        kernel = np.asarray(layer.kernel)
        np.testing.assert_array_equal(kernel[:, 1], fresh[:, 1])
        np.testing.assert_array_equal(kernel[:, [0, 2]], np.asarray(known.kernel)[:, [2, 1]])


@pytest.mark.parametrize(
    ("made", "asked", "same"),
    [
        ({}, {"units": 128, "glance_dim": 2}, True),
        ({"decoder": "gru"}, {"decoder": "gru", "heads": 4, "decoder_layers": 1}, True),
        ({"decoder": "gru"}, {"decoder": "gru", "units": 128}, False),
        ({}, {"concept_memory": 3, "dropout": 0.1}, True),
        ({}, {"concept_memory": 0}, False),
        ({}, {"concept_folds": 2}, False),
        ({"concepts": 0}, {"concepts": 0, "concept_folds": 2, "concept_memory": 0}, True),
    ],
)
def test_what_changes_no_weights_shape_is_no_other_architecture(
    made: dict, asked: dict, same: bool
) -> None:
    assert (_shape(ModelConfig(**made)) == _shape(ModelConfig(**asked))) == same
