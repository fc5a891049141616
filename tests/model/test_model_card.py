"""Tests of what the model card says."""

from __future__ import annotations

import pytest

from model.config import SamplerConfig
from model.model_card import describe_metrics, describe_sampler


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (SamplerConfig(), "beam of 3, length normalisation 0.7, concept weight 0.05"),
        (SamplerConfig(concept_weight=0.0), "beam of 3, length normalisation 0.7"),
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
    assert describe_sampler(sampler, ordered=True) == words
    assert describe_sampler(sampler, ordered=False) == words.replace(", concept weight 0.05", "")


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
