"""Tests of a run's and a bundle's captions, put in order by the concepts that they name."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import builders
import numpy as np
import pytest

from model.bundle import Bundle
from model.bundle_folder import ImageCaptions, read_bundle_config
from model.config import SamplerConfig
from model.decoding_options import Decoding
from model.export import export, fingerprint
from model.loading import load_model
from model.run_folder import restore_captioner

PICTURES = np.stack([builders.square_picture(builders.colour_of(i), 700 + i) for i in range(8)])
# Beside it, what the search thinks of captions that name several concepts counts for nothing.
HEAVY = 10.0


@pytest.fixture(scope="module")
def bundle(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a run that has learnt little yet: what it writes of a picture differs."""
    run = tmp_path_factory.mktemp("ordered") / "run"
    words = run.with_name("words.txt")
    words.write_text("a\nsquare\non\ngrey\ndark\n")
    assert builders.train(squares, run, concepts=4, stop_words=words, epochs=1) == 0
    export(run, run.with_name("bundle"), SamplerConfig())
    return run.with_name("bundle")


def texts(results: list[ImageCaptions]) -> list[list[str]]:
    return [[caption.text for caption in result.captions] for result in results]


def test_a_bundle_has_the_shares_of_its_concepts(bundle: Path) -> None:
    config = read_bundle_config(bundle)
    assert sorted(config.concepts) == sorted(builders.COLOURS)
    np.testing.assert_allclose(config.concept_shares, [(12 + 0.5) / 49] * 4, atol=1e-6)


def test_captions_come_in_the_order_of_their_concepts_lifts(bundle: Path) -> None:
    heavy = Bundle(bundle, decoding=Decoding((("concept_weight", HEAVY),)))
    plain = Bundle(bundle, decoding=Decoding((("concept_weight", 0.0),)))
    config, told = heavy.config, texts(heavy.caption(PICTURES))
    # The same captions, in another order.
    searched = texts(plain.caption(PICTURES))
    assert [sorted(said) for said in told] == [sorted(said) for said in searched]
    assert told != searched
    for said, probabilities in zip(told, heavy.tag(PICTURES), strict=True):
        lifts = []
        for caption in said:
            pairs = zip(config.concepts, probabilities, config.concept_shares, strict=True)
            lifts.append(
                sum(
                    math.log(seen / (1 - seen)) - math.log(usual / (1 - usual))
                    for concept, seen, usual in pairs
                    if concept in caption.split()
                )
            )
        # Ranks of the search differ by less than this.
        assert all(one > other - 1.0 for one, other in itertools.pairwise(lifts))


def test_a_run_and_its_bundle_agree_on_the_order(bundle: Path) -> None:
    heavy = Decoding((("concept_weight", HEAVY),))
    of_run = load_model(bundle.with_name("run"), heavy).caption(PICTURES)
    of_bundle = Bundle(bundle, decoding=heavy).caption(PICTURES)
    assert texts(of_run) == texts(of_bundle)


def test_the_order_is_part_of_the_model(bundle: Path) -> None:
    captioner, config, _ = restore_captioner(bundle.with_name("run"))
    words = (bundle / "vocabulary.txt").read_bytes()
    exported = read_bundle_config(bundle)
    assert fingerprint(captioner, config, exported.sampler, words) == exported.model_fingerprint
    searched = dataclasses.replace(exported.sampler, concept_weight=0.0)
    assert fingerprint(captioner, config, searched, words) != exported.model_fingerprint
