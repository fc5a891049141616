"""Tests of the captioner: what its configuration says is what is built."""

from __future__ import annotations

import dataclasses

import pytest

from model.captioner import Captioner, build_captioner
from model.config import ImageConfig, ModelConfig

CONFIG = ModelConfig(
    encoder="cnn",
    encoder_weights=None,
    embedding_dim=16,
    hidden_dim=24,
    heads=2,
    encoder_layers=1,
    decoder_layers=2,
    units=20,
    attention_units=12,
    concept_memory=2,
)


def built(**changes: object) -> Captioner:
    config = dataclasses.replace(CONFIG, **changes)
    return build_captioner(config, ImageConfig(32), 10, (4, 5, 6), max_length=6)


@pytest.fixture(scope="module")
def plain() -> Captioner:
    return built(decoder="transformer")


def sizes(captioner: Captioner, name: str) -> set[int]:
    """The last dimensions of the kernels of layers of this name."""
    kernels = [w for w in captioner.weights if f"/{w.path}".endswith(f"/{name}/kernel")]
    return {kernel.shape[-1] for kernel in kernels}


def test_inner_layers_of_transformer_and_recogniser_have_the_size_asked_for(
    plain: Captioner,
) -> None:
    assert sizes(plain, "widen") == {24}
    assert sizes(plain, "recogniser/hidden_0") == {24}


@pytest.mark.parametrize(("decoder", "gates"), [("gru", 3), ("lstm", 4)])
def test_a_recurrent_state_has_the_size_asked_for(decoder: str, gates: int) -> None:
    captioner = built(decoder=decoder)
    assert sizes(captioner, "state_gates") == {gates * 20}
    assert sizes(captioner, "project") == {20}


@pytest.mark.parametrize("field", ["embedding_dim", "hidden_dim", "heads", "encoder_layers"])
def test_every_size_of_the_transformer_changes_it(field: str, plain: Captioner) -> None:
    changed = built(decoder="transformer", **{field: 2 * getattr(CONFIG, field)})
    if field == "heads":  # which divide the same weights
        assert changed.decoder.decoder[0].look.heads == 4
    else:
        assert changed.count_params() > plain.count_params()
