"""Tests of what the model card says."""

from __future__ import annotations

import pytest

from model.artifacts import RunConfig
from model.config import ImageConfig, ModelConfig, SamplerConfig, TrainConfig
from model.model_card import (
    describe_encoder,
    describe_metrics,
    describe_sampler,
    describe_training,
)


def run_of(model: ModelConfig, init_from: str | None) -> RunConfig:
    made = "squares", "pillow-2", 9, ImageConfig(), model, TrainConfig()
    return RunConfig(*made, init_from=init_from)


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (SamplerConfig(), "beam of 6, length normalisation 0.7, concept weight 0.05"),
        (SamplerConfig(concept_weight=0.0), "beam of 6, length normalisation 0.7"),
        (SamplerConfig(beam_width=1), "greedy search"),
        (
            SamplerConfig(sampler="greedy", min_length=4, no_repeat_ngram=3, ban_words="a,b"),
            "greedy search, at least 4 words, no 3 words in a row twice, without the words a, b",
        ),
        (
            SamplerConfig(sampler="nucleus", samples=5, top_k=9, top_p=0.8),
            "nucleus of 0.8, temperature 1.0, 5 drawn, seed 1, top 9, concept weight 0.05",
        ),
    ],
)
def test_a_sampler_is_described_by_what_it_heeds(sampler: SamplerConfig, words: str) -> None:
    assert describe_sampler(sampler, {"concept_weight"}) == words
    more = f", neighbour weight {sampler.neighbour_weight}"
    assert (more in describe_sampler(sampler, {"neighbour_weight"})) == (sampler.captions > 1)
    assert describe_sampler(sampler, frozenset()) == words.replace(", concept weight 0.05", "")


@pytest.mark.parametrize(
    ("changes", "init_from", "words"),
    [
        ({"encoder": "cnn"}, None, "cnn (weights: trained from scratch)"),
        ({}, None, "MobileNetV2 (weights: imagenet)"),
        ({"encoder_weights": None}, None, "MobileNetV2 (weights: random)"),
        (
            {"encoder_weights": "dataset"},
            None,
            "MobileNetV2 (weights: those that made the features of the dataset)",
        ),
        (
            {"encoder_weights": "dataset", "fine_tune_from": "block_11"},
            "/work/run",
            "MobileNetV2 (weights: those of run, which training started from; fine-tuned from "
            "block_11 on)",
        ),
    ],
)
def test_an_encoder_is_described_by_where_its_weights_come_from(
    changes: dict, init_from: str | None, words: str
) -> None:
    assert describe_encoder(run_of(ModelConfig(**changes), init_from)) == words


def test_what_a_start_was_trained_on_is_part_of_what_a_model_knows() -> None:
    model = ModelConfig()
    assert describe_training(run_of(model, None), 3) == "dataset `squares`, epoch 3"
    started = describe_training(run_of(model, "/work/run"), 3)
    assert started == "dataset `squares`, epoch 3, after all that run was trained on"


def test_scores_of_another_dataset_are_told_as_such() -> None:
    metrics = {
        "images": 8,
        "split": "test",
        "dataset_fingerprint": "squares",
        "sampler": {"beam_width": 3},
        "tokeniser": "python",
        "scores": {"cider": 1.5},
    }
    assert "On 8 images of the test split, sampler" in describe_metrics(metrics, "squares")
    other = describe_metrics(metrics, "circles")
    assert "On 8 images of the test split of another dataset, `squares`, sampler" in other
    assert "| cider | 1.5000 |" in other
    assert describe_metrics(None, "squares").startswith("Not measured")
