"""Tests of the configuration: options, JSON and what is refused."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.artifacts import DatasetInfo, RunConfig
from model.config import ImageConfig, ModelConfig, SamplerConfig, TrainConfig
from model.config_json import from_dict, read_json, to_json
from model.errors import CaptionerError
from model.options import add_options, from_options
from model.run_config import make_run_config

SIZES = st.integers(1, 10_000)
SHARES = st.floats(0, 0.999)
POSITIVE = st.floats(1e-9, 1e9)
CONFIGS = {
    ImageConfig: st.builds(ImageConfig, st.integers(8, 4096), st.integers(1, 10**9)),
    ModelConfig: st.builds(
        ModelConfig,
        encoder=st.sampled_from(["cnn", "MobileNetV2"]),
        encoder_weights=st.sampled_from([None, "imagenet", "weights/file.h5"]),
        decoder=st.sampled_from(["transformer", "gru", "lstm"]),
        embedding_dim=SIZES.map(lambda size: 4 * size),
        heads=st.sampled_from([1, 2, 4]),
        hidden_dim=SIZES,
        concepts=st.integers(0, 999),
        concept_folds=SIZES,
        units=SIZES,
        attention_units=SIZES,
        glance_dim=st.integers(0, 99),
        dropout=SHARES,
    ),
    TrainConfig: st.builds(
        TrainConfig,
        epochs=SIZES,
        self_critical_epochs=st.integers(0, 99),
        self_critical_passes=st.integers(1, 99),
        batch_size=SIZES,
        learning_rate=POSITIVE,
        weight_decay=SHARES,
        label_smoothing=SHARES,
        averaging=SHARES,
        clip_norm=POSITIVE,
        patience=SIZES,
        self_critical_samples=st.integers(2, 99),
        max_length=st.integers(2, 99),
        precision=st.sampled_from(["float32", "mixed_float16", "mixed_bfloat16"]),
        seed=SIZES,
    ),
    SamplerConfig: st.builds(
        SamplerConfig,
        beam_width=SIZES,
        length_normalisation=st.floats(0, 10),
        sampler=st.sampled_from(["beam", "greedy", "nucleus"]),
        samples=SIZES,
        temperature=st.floats(1e-12, 1e12),
        top_k=st.integers(0, 99),
        top_p=st.floats(1e-9, 1),
        sampling_seed=st.integers(0, 2**32 - 1),
        min_length=st.integers(0, 99),
        no_repeat_ngram=st.integers(0, 9),
        ban_words=st.sampled_from(["", "dog", "dog,犬", " a , b,"]),
    ),
}
ANY_CONFIG = st.one_of(list(CONFIGS.values()))
INFO = DatasetInfo("f", "r", "pillow-1", ImageConfig(64), 9, {"train": 3}, {"train": 6}, {}, 3)


def parse(cls: type, arguments: list[str]) -> Any:
    parser = argparse.ArgumentParser()
    add_options(parser, cls)
    return from_options(cls, parser.parse_args(arguments))


def as_arguments(config: Any) -> list[str]:
    fields = dataclasses.asdict(config).items()
    texts = {name: "none" if value is None else repr(value).strip("'") for name, value in fields}
    return [f"--{name.replace('_', '-')}={text}" for name, text in texts.items()]


@pytest.mark.parametrize("cls", CONFIGS)
def test_no_options_are_the_defaults(cls: type) -> None:
    assert parse(cls, []) == cls()


@given(ANY_CONFIG)
def test_every_field_is_an_option(config: Any) -> None:
    assert parse(type(config), as_arguments(config)) == config


def test_help_tells_every_default() -> None:
    parser = argparse.ArgumentParser()
    for cls in CONFIGS:
        add_options(parser, cls)
    text = " ".join(parser.format_help().split())
    for cls in CONFIGS:
        for field in dataclasses.fields(cls):
            default = {None: "none", "": "''"}.get(field.default, field.default)
            assert f"{field.metadata['help']} (default: {default})" in text


def test_none_is_read_as_no_weights() -> None:
    assert parse(ModelConfig, ["--encoder-weights", "none"]).encoder_weights is None


def test_options_of_other_configs_are_left_alone() -> None:
    options = argparse.Namespace(beam_width=5, dataset="d", image_size_px=99)
    assert from_options(SamplerConfig, options) == SamplerConfig(beam_width=5)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (ImageConfig, "image_size_px", 7),
        (ImageConfig, "image_size_px", 4097),
        (ImageConfig, "max_pixels", 0),
        (ModelConfig, "embedding_dim", 0),
        (ModelConfig, "units", -1),
        (ModelConfig, "attention_units", 0),
        (ModelConfig, "glance_dim", -1),
        (ModelConfig, "dropout", 1.0),
        (ModelConfig, "dropout", -0.1),
        (TrainConfig, "epochs", -1),
        (TrainConfig, "self_critical_epochs", -1),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "learning_rate", 0.0),
        (TrainConfig, "clip_norm", -1.0),
        (TrainConfig, "patience", 0),
        (TrainConfig, "self_critical_passes", 0),
        (TrainConfig, "max_length", 1),
        (TrainConfig, "seed", -1),
        (TrainConfig, "seed", 2**31),
        (SamplerConfig, "beam_width", 0),
        (SamplerConfig, "length_normalisation", -0.5),
        (SamplerConfig, "length_normalisation", float("inf")),
        (SamplerConfig, "sampler", "dice"),
        (SamplerConfig, "samples", 0),
        (SamplerConfig, "temperature", 0.0),
        (SamplerConfig, "temperature", float("inf")),
        (SamplerConfig, "temperature", 1e-40),
        (SamplerConfig, "length_normalisation", 30),
        (SamplerConfig, "top_k", -1),
        (SamplerConfig, "top_p", 0.0),
        (SamplerConfig, "top_p", 1.1),
        (SamplerConfig, "top_p", float("nan")),
        (SamplerConfig, "sampling_seed", -1),
        (SamplerConfig, "min_length", -1),
        (SamplerConfig, "no_repeat_ngram", -1),
        (TrainConfig, "learning_rate", float("nan")),
        (TrainConfig, "learning_rate", float("inf")),
        (TrainConfig, "clip_norm", float("inf")),
        (TrainConfig, "weight_decay", float("inf")),
        (ModelConfig, "fine_tune_from", ""),
    ],
)
def test_a_value_out_of_range_is_named_with_its_option(cls: type, name: str, value: Any) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(CaptionerError, match=f"{option}: got '?{value}'?, expected"):
        cls(**{name: value})


def test_a_run_trains_and_begins_with_cross_entropy_or_another_run() -> None:
    with pytest.raises(CaptionerError, match="--epochs: got 0, expected above 0, or --self"):
        TrainConfig(epochs=0, self_critical_epochs=0)
    train = TrainConfig(epochs=0, self_critical_epochs=1)
    run = "fingerprint", "pillow-1", 99, ImageConfig(), ModelConfig(), train
    with pytest.raises(CaptionerError, match="--epochs: got 0, expected above 0 without --init"):
        RunConfig(*run)
    assert RunConfig(*run, init_from="/run").train == train


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplerConfig().beam_width = 4  # type: ignore[misc]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(*[CONFIGS[cls] for cls in (ImageConfig, ModelConfig, TrainConfig)])
def test_json_comes_back_equal(
    tmp_path: Path, image: ImageConfig, model: ModelConfig, train: TrainConfig
) -> None:
    config = RunConfig("fingerprint", "pillow-1", 99, image, model, train)
    path = tmp_path / "config.json"
    path.write_text(to_json(config), encoding="utf-8")
    assert read_json(RunConfig, path, "run") == config


@given(CONFIGS[SamplerConfig])
def test_json_of_a_sampler_comes_back_equal(config: SamplerConfig) -> None:
    assert from_dict(SamplerConfig, json.loads(to_json(config)), "x") == config


@pytest.mark.parametrize(
    ("text", "words"), [("", ()), ("dog", ("dog",)), (" a dog,, cat ,", ("a dog", "cat"))]
)
def test_words_to_ban_are_separated_by_commas(text: str, words: tuple[str, ...]) -> None:
    assert SamplerConfig(ban_words=text).words_to_ban == words


def test_json_of_dictionaries_comes_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(to_json(INFO), encoding="utf-8")
    assert read_json(DatasetInfo, path, "dataset") == INFO


def test_unknown_and_missing_keys_are_named() -> None:
    with pytest.raises(CaptionerError) as caught:
        from_dict(RunConfig, {"train": {}, "temperature": 1.0, "vocabulary_size": 9}, "here.json")
    message = str(caught.value)
    assert message.startswith("here.json: got keys ['temperature', 'train', 'vocabulary_size']")
    missing = "['dataset_fingerprint', 'decoder_version', 'image', 'model']"
    assert f"unknown ['temperature'], missing {missing}" in message


def test_a_field_that_an_earlier_version_did_not_have_has_its_default() -> None:
    assert from_dict(SamplerConfig, {"beam_width": 5}, "x") == SamplerConfig(beam_width=5)


def test_a_key_unknown_further_in_is_named() -> None:
    document = {**dataclasses.asdict(INFO), "image": {"image_size_px": 64, "depth": 3}}
    with pytest.raises(CaptionerError, match=r"where, image: .*unknown \['depth'\]"):
        from_dict(DatasetInfo, document, "where")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"batch_size": "32"}}, "train, batch_size: got '32', expected a whole number"),
        ({"train": {"epochs": 2.5}}, "train, epochs: got 2.5, expected a whole number"),
        ({"train": {"epochs": None}}, "train, epochs: got None, expected a whole number"),
        ({"model": {"encoder": 7}}, "model, encoder: got 7, expected a text in quotes"),
        ({"image": 64}, "image: got 64, expected an object"),
        ({"concepts": "dog"}, "concepts: got 'dog', expected a list"),
        ({"concepts": [1]}, "concepts: got 1, expected a text in quotes"),
    ],
)
def test_a_value_of_another_type_is_named(change: dict, message: str) -> None:
    made = make_run_config(INFO, ModelConfig(), TrainConfig())
    with pytest.raises(CaptionerError, match=re.escape(f"run, {message}")):
        from_dict(RunConfig, {**json.loads(to_json(made)), **change}, "run")


def test_whole_numbers_in_json_are_numbers_too() -> None:
    assert from_dict(SamplerConfig, {"temperature": 1}, "x") == SamplerConfig(temperature=1.0)


def test_an_absent_file_says_what_the_folder_is_not(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"is no run: it has no config\.json"):
        read_json(RunConfig, tmp_path / "config.json", "run")


def test_a_path_through_a_file_says_what_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CaptionerError, match="is no bundle"):
        read_json(RunConfig, tmp_path / "file" / "bundle.json", "bundle")


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00"])
def test_a_file_that_is_no_json_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaptionerError, match="expected JSON"):
        read_json(RunConfig, path, "run")


def test_patience_is_for_whole_passes_of_self_critical_training() -> None:
    train = TrainConfig(patience=4, self_critical_epochs=3)
    assert (train.patience_epochs(False), train.patience_epochs(True)) == (4, 12)
