"""Tests of decoding otherwise than a bundle was exported: other captions, another model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest

from model.bundle import Bundle
from model.bundle_folder import read_bundle_config
from model.config import SAMPLERS
from model.decoding_options import Decoding
from model.errors import CaptionerError
from model.loading import load_model
from pipelines.arguments import caption_parser

PICTURES = np.stack([builders.square_picture(builders.colour_of(i), 500 + i) for i in range(4)])
CHANGES = {"beam_width": 2, "ban_words": "on", "length_normalisation": 0.0}


def test_a_bundle_decodes_as_asked_what_the_run_would_decode(
    bundle_folder: Path, trained_run: Path
) -> None:
    bundle = Bundle(bundle_folder, decoding=Decoding(tuple(CHANGES.items())))
    expected = load_model(trained_run, Decoding(tuple(CHANGES.items()))).caption(PICTURES)
    found = bundle.caption(PICTURES)
    for got, wanted in zip(found, expected, strict=True):
        assert [caption.text for caption in got.captions] == [c.text for c in wanted.captions]
        assert len(got.captions) == 2
        np.testing.assert_allclose(
            [c.score for c in got.captions], [c.score for c in wanted.captions], atol=1e-4
        )
        assert "on" not in got.captions[0].text.split()


def test_a_shorter_limit_ends_captions_earlier(bundle_folder: Path) -> None:
    bundle = Bundle(bundle_folder, decoding=Decoding((("max_length", 4),)))
    words = [len(result.captions[0].text.split()) for result in bundle.caption(PICTURES)]
    assert max(words) <= 4


def test_other_captions_are_of_another_model_and_the_same_ones_are_not(bundle_folder: Path) -> None:
    exported = read_bundle_config(bundle_folder)
    prints = {
        Decoding(changes).apply(exported).model_fingerprint
        for changes in ((("beam_width", 5),), (("beam_width", 4),), (("max_length", 5),), ())
    }
    assert len(prints) == 4
    measured = dataclasses.replace(exported, low_score=-0.5)
    assert Decoding().apply(measured).low_score == -0.5
    assert Decoding((("beam_width", 5),)).apply(measured).low_score is None
    same = Decoding((("beam_width", 6), ("max_length", exported.max_length)))
    assert same.apply(exported) == exported
    others = dataclasses.replace(exported, model_fingerprint="of other weights")
    assert Decoding((("beam_width", 5),)).apply(others).model_fingerprint not in prints


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ban_words": "on, red"}, {"ban_words": "red,on,red"}),
        ({"sampler": "greedy"}, {"sampler": "greedy", "min_length": 1}),
    ],
)
def test_options_of_one_meaning_are_one_model(
    bundle_folder: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    exported = read_bundle_config(bundle_folder)
    first, second = (Decoding(tuple(changes.items())).apply(exported) for changes in (one, other))
    assert first.model_fingerprint == second.model_fingerprint != exported.model_fingerprint


def test_the_weight_of_concepts_counts_where_their_shares_are_known(bundle_folder: Path) -> None:
    plain = read_bundle_config(bundle_folder)
    known = dataclasses.replace(plain, concepts=("red",), concept_shares=(0.25,))
    weighed = Decoding((("concept_weight", 0.5),))
    assert weighed.apply(known).sampler.concept_weight == 0.5
    assert weighed.apply(known).model_fingerprint != known.model_fingerprint
    with pytest.raises(CaptionerError, match=r"--concept-weight: got 0\.5, but the model does"):
        weighed.apply(plain)
    # One caption has no order, and neither has what nobody knows the shares of.
    light = dataclasses.replace(known.sampler, concept_weight=0.1)
    alone: tuple[dict[str, Any], ...] = ({"sampler": "greedy"}, {"beam_width": 1})
    for changes, config in (*((one, known) for one in alone), ({"beam_width": 2}, plain)):
        made = Decoding(tuple(changes.items()))
        one, other = made.apply(config), made.apply(dataclasses.replace(config, sampler=light))
        assert one.model_fingerprint == other.model_fingerprint
    wide = Decoding((("beam_width", 2),))
    one, other = wide.apply(known), wide.apply(dataclasses.replace(known, sampler=light))
    assert one.model_fingerprint != other.model_fingerprint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.5}, "--temperature: got 0.5 for beam search, .* --sampler nucleus"),
        (
            {"sampler": "greedy", "beam_width": 5},
            "--beam-width: got 5 for greedy search, ",
        ),
        ({"sampler": "nucleus", "length_normalisation": 1.0}, "--length-normalisation: got 1.0"),
        ({"sampler": "greedy", "concept_weight": 1.0}, "--concept-weight: got 1.0 for greedy"),
    ],
)
def test_options_of_another_sampler_are_refused(
    bundle_folder: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(CaptionerError, match=words):
        Decoding(tuple(changes.items())).apply(read_bundle_config(bundle_folder))


@pytest.mark.parametrize(
    ("name", "value", "samplers"),
    [
        ("beam_width", 2, ["beam"]),
        ("length_normalisation", 0.5, ["beam"]),
        ("concept_weight", 0.5, ["beam", "nucleus"]),
        ("samples", 2, ["nucleus"]),
        ("temperature", 0.5, ["nucleus"]),
        ("top_k", 5, ["nucleus"]),
        ("top_p", 0.5, ["nucleus"]),
        ("sampling_seed", 2, ["nucleus"]),
        ("min_length", 2, SAMPLERS),
        ("no_repeat_ngram", 2, SAMPLERS),
        ("ban_words", "on", SAMPLERS),
    ],
)
def test_an_option_makes_another_model_of_the_samplers_that_use_it(
    bundle_folder: Path, name: str, value: object, samplers: list[str]
) -> None:
    plain = read_bundle_config(bundle_folder)
    several = dataclasses.replace(plain.sampler, samples=3)  # one has no order
    known = dataclasses.replace(plain, sampler=several, concepts=("red",), concept_shares=(0.25,))
    for sampler in SAMPLERS:
        without = Decoding((("sampler", sampler),))
        asked = Decoding((*without.changes, (name, value)))
        if sampler in samplers:
            marks = {change.apply(known).model_fingerprint for change in (without, asked)}
            assert len(marks) == 2
        else:
            option = f"--{name.replace('_', '-')}"
            with pytest.raises(CaptionerError, match=f"{option}: got {value} for {sampler} search"):
                asked.apply(known)
            # Nor does it matter what it was when the bundle was exported.
            changed = dataclasses.replace(known.sampler, **{name: value})
            other = dataclasses.replace(known, sampler=changed)
            told = {without.apply(config).model_fingerprint for config in (known, other)}
            assert len(told) == 1


@pytest.mark.parametrize("max_length", [1, 9])
def test_captions_longer_than_the_model_knows_are_refused(
    bundle_folder: Path, max_length: int
) -> None:
    with pytest.raises(CaptionerError, match=rf"--max-length: got {max_length}, expected 2 to 8"):
        Decoding((("max_length", max_length),)).apply(read_bundle_config(bundle_folder))


def test_what_no_caption_can_be_is_refused_before_the_work(bundle_folder: Path) -> None:
    exported = read_bundle_config(bundle_folder)
    for changes in ((("min_length", 8),), (("min_length", 4), ("max_length", 4))):
        with pytest.raises(CaptionerError, match=r"--min-length: got \d, expected below \d"):
            Decoding(changes).apply(exported)
    Decoding((("ban_words", "on"),)).check(bundle_folder)
    with pytest.raises(CaptionerError, match="--ban-words: got 'elephant'"):
        Decoding((("ban_words", "on, elephant"),)).check(bundle_folder)


def test_only_options_that_are_given_are_changes() -> None:
    required = ["--bundle", "b", "--input", "i", "--output", "o"]
    assert Decoding.of(vars(caption_parser().parse_args(required))) == Decoding()
    options = caption_parser().parse_args(
        [*required, "--sampler", "nucleus", "--top-p", "0.5", "--max-length", "6"]
    )
    changes = dict(Decoding.of(vars(options)).changes)
    assert changes == {"sampler": "nucleus", "top_p": 0.5, "max_length": 6}


def test_a_bundle_without_weights_decodes_only_as_exported(tmp_path: Path) -> None:
    Decoding().check(tmp_path)
    with pytest.raises(CaptionerError, match=r"--beam-width: .* has no captioner\.weights\.h5 and"):
        Decoding((("beam_width", 2),)).check(tmp_path)
