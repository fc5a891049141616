"""Tests of the configuration of a run that repeats another, in full or in part."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import builders
import pytest

from model.arguments import train_parser
from model.artifacts import DatasetInfo, FeatureConfig, RunConfig
from model.config import ModelConfig, TrainConfig
from model.config_json import to_json
from model.errors import CaptionerError
from model.run_config import (
    WEIGHTS_OF_DATASET,
    configure,
    learns_from_features,
    make_run_config,
    notes,
    unused_options,
)

FEATURES = FeatureConfig("MobileNet", "", views=1, patches=1, channels=1024)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    frequencies = "".join(f"{word}\t9\t{i}\n" for i, word in enumerate(builders.VOCABULARY))
    (folder / "vocabulary_frequencies.tsv").write_text(frequencies)
    return folder


def info(fingerprint: str = "this", features: FeatureConfig | None = None) -> DatasetInfo:
    image = builders.ImageConfig(32)
    examples = {"train": 19, "test": 5}
    return DatasetInfo(fingerprint, "r", "d", image, 13, examples, {}, {}, 0, features=features)


def repeated(
    tmp_path: Path, dataset: Path, of: DatasetInfo, *options: str, **model: Any
) -> RunConfig:
    """The configuration that ``--config`` of a run of a model on the dataset `info()` leads to."""
    made = make_run_config(
        info(), ModelConfig(concepts=2, **model), TrainConfig(seed=7), ("red", "square"), "/start"
    )
    (tmp_path / "config.json").write_text(to_json(made))
    arguments = ["--config", str(tmp_path), "--dataset", str(dataset), "--output", "run"]
    return configure(train_parser().parse_args([*arguments, *options]), dataset, of)


def test_all_is_as_it_was_but_what_is_asked_for(tmp_path: Path, dataset: Path) -> None:
    whole = repeated(tmp_path, dataset, info(), decoder="gru")
    assert (whole.model.decoder, whole.train.seed, whole.init_from) == ("gru", 7, "/start")
    assert whole.model.encoder_weights == "imagenet"
    assert whole.concepts == ("red", "square")
    asked = ["--decoder", "lstm", "--epochs", "3", "--init-from", str(tmp_path)]
    part = repeated(tmp_path, dataset, info(), *asked, decoder="gru")
    assert part == dataclasses.replace(
        whole,
        model=dataclasses.replace(whole.model, decoder="lstm"),
        train=dataclasses.replace(whole.train, epochs=3),
        init_from=str(tmp_path),
    )


def test_a_start_can_be_left_out_and_weights_are_named_from_anywhere(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--init-from", "none", "--encoder-weights", "w.h5"]
    config = repeated(tmp_path, dataset, info(), *asked)
    assert config.init_from is None
    assert config.model.encoder_weights == str(tmp_path.resolve() / "w.h5")
    arguments = ["--dataset", str(dataset), "--output", "run", "--concepts", "2", *asked]
    new = configure(train_parser().parse_args(arguments), dataset, info())
    assert (new.init_from, new.model) == (None, config.model)


def test_concepts_are_chosen_anew_where_they_may_be_others(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "stop.txt").write_text("blue\ndark\na\non\n")
    assert repeated(tmp_path, dataset, info("other")).concepts == ("blue", "dark")
    assert len(repeated(tmp_path, dataset, info(), "--concepts", "3").concepts) == 3
    stop = str(tmp_path / "stop.txt")
    chosen = repeated(tmp_path, dataset, info(), "--stop-words", stop).concepts
    assert chosen == ("green", "grey")


def test_concepts_have_the_shares_of_the_datasets_pictures(tmp_path: Path, dataset: Path) -> None:
    shares = {word: (i + 0.5) / 20 for i, word in enumerate(builders.VOCABULARY)}
    chosen = repeated(tmp_path, dataset, info(), "--concepts", "3")
    arguments = ["--dataset", str(dataset), "--output", "run", "--concepts", "2"]
    new = configure(train_parser().parse_args(arguments), dataset, info())
    for config in (repeated(tmp_path, dataset, info()), chosen, new):
        assert config.concept_shares == tuple(shares[word] for word in config.concepts)
    assert (len(set(chosen.concept_shares)), len(new.concept_shares)) == (3, 2)
    assert repeated(tmp_path, dataset, info(), "--concepts", "0").concept_shares == ()


def test_a_dataset_that_does_not_count_pictures_has_no_shares(tmp_path: Path) -> None:
    (tmp_path / "vocabulary_frequencies.tsv").write_text("red\t9\nsquare\t8\n")
    config = repeated(tmp_path, tmp_path, info("other"))
    assert (config.concepts, config.concept_shares) == (("red", "square"), ())


def test_the_image_encoder_is_that_of_stored_features(tmp_path: Path, dataset: Path) -> None:
    stored = info(features=FEATURES)
    same = repeated(tmp_path, dataset, stored, encoder="MobileNet")
    assert same.model.encoder_weights == WEIGHTS_OF_DATASET
    with pytest.raises(CaptionerError, match="got 'VGG16', the dataset holds") as error:
        repeated(tmp_path, dataset, stored, encoder="VGG16")
    assert str(error.value).endswith("MobileNet, or preprocess with --encoder VGG16")
    with pytest.raises(CaptionerError, match=r"'cnn', the dataset .*, or preprocess without --enc"):
        repeated(tmp_path, dataset, stored, encoder="cnn")
    assert repeated(tmp_path, dataset, stored, "--encoder", "MobileNet", encoder="VGG16") == same
    assert learns_from_features(same, stored)
    assert not learns_from_features(same, info())


def test_an_encoder_that_learns_looks_at_pixels(tmp_path: Path, dataset: Path) -> None:
    stored = info(features=FEATURES)
    asked = {"encoder": "MobileNet", "fine_tune_from": "conv_pw_13"}
    tuned = repeated(tmp_path, dataset, stored, "--augmentation", "crop_flip", **asked)
    assert (tuned.model.encoder_weights, tuned.train.augmentation) == ("dataset", "crop_flip")
    assert not learns_from_features(tuned, stored)
    # What it sees of the training pictures changes with it.
    frozen = repeated(tmp_path, dataset, stored, encoder="MobileNet")
    assert (tuned.neighbours, frozen.neighbours) == (False, True)
    with pytest.raises(CaptionerError, match=r"--augmentation: got 'crop', but .*--crops; give"):
        repeated(tmp_path, dataset, stored, "--augmentation", "crop", encoder="MobileNet")


def test_weights_of_stored_features_need_some(tmp_path: Path, dataset: Path) -> None:
    made = make_run_config(info(features=FEATURES), ModelConfig(encoder="MobileNet"), TrainConfig())
    (tmp_path / "config.json").write_text(to_json(made))
    arguments = ["--config", str(tmp_path), "--dataset", str(dataset), "--output", "run"]
    with pytest.raises(CaptionerError, match=r"holds none; preprocess with --encoder M"):
        configure(train_parser().parse_args(arguments), dataset, info())
    arguments += ["--encoder-weights", "none"]
    config = configure(train_parser().parse_args(arguments), dataset, info())
    assert config.model.encoder_weights is None


def test_what_is_no_run_is_refused(tmp_path: Path, dataset: Path) -> None:
    arguments = ["--dataset", str(dataset), "--output", "run", "--config"]
    for path, told in (
        (tmp_path, r"is no run: it has no config\.json"),
        (tmp_path / "absent", r"--config: there is no /.*/absent; give a run, or its config\.json"),
    ):
        with pytest.raises(CaptionerError, match=told):
            configure(train_parser().parse_args([*arguments, str(path)]), dataset, info())


@pytest.mark.parametrize(
    ("changes", "init_from", "noted"),
    [
        ({"encoder_weights": None}, None, True),
        ({"encoder_weights": None}, "run", False),
        ({"encoder_weights": None, "fine_tune_from": "block_1"}, None, False),
        ({"encoder_weights": None, "encoder": "cnn"}, None, False),
        ({}, None, False),
    ],
)
def test_an_encoder_that_neither_knows_nor_learns_is_told(
    changes: dict[str, Any], init_from: str | None, noted: bool
) -> None:
    model = ModelConfig(**changes)
    told = notes(make_run_config(info(), model, TrainConfig(), (), init_from), ())
    assert [note.startswith("MobileNetV2 has random weights and stays") for note in told] == (
        [True] * noted
    )


@pytest.mark.parametrize(
    ("model", "train", "used", "unused"),
    [
        ({}, {}, ["heads", "self_critical_passes", "concept_folds"], ["--units", "--glance-dim"]),
        ({"decoder": "gru"}, {}, ["units", "hidden_dim"], ["--heads", "--encoder-layers"]),
        ({}, {"self_critical_epochs": 0}, ["patience"], ["--self-critical-passes"]),
        ({}, {}, ["attention_regularisation", "dropout"], []),
        ({}, {"epochs": 0}, ["weight_decay"], ["--learning-rate", "--label-smoothing"]),
        ({}, {"epochs": 0}, ["averaging"], ["--dropout", "--attention-regularisation"]),
        ({"concepts": 0}, {}, ["concepts"], ["--concept-memory", "--concept-folds"]),
        ({}, {}, ["learning_rate"], ["--encoder-learning-rate"]),
        ({"fine_tune_from": "block_1"}, {}, ["encoder_learning_rate"], []),
        (
            {"fine_tune_from": "block_1"},
            {"epochs": 0},
            [],
            ["--encoder-learning-rate", "--fine-tune-from"],
        ),
    ],
)
def test_options_that_change_nothing_are_known(
    model: dict[str, Any], train: dict[str, Any], used: list[str], unused: list[str]
) -> None:
    start = None if train.get("epochs", 1) else "a run"
    config = make_run_config(info(), ModelConfig(**model), TrainConfig(**train), (), start)
    names = [option.removeprefix("--").replace("-", "_") for option in unused]
    assert sorted(unused_options(config, [*used, *names])) == sorted(unused)


@pytest.mark.parametrize(
    ("decoder", "others"),
    [
        ("transformer", ["--units", "--attention-units", "--glance-dim"]),
        ("lstm", ["--heads", "--encoder-layers", "--decoder-layers"]),
    ],
)
def test_all_that_changes_nothing_is_told(decoder: str, others: list[str]) -> None:
    model = ModelConfig(decoder=decoder, concepts=0)
    config = make_run_config(info(), model, TrainConfig(self_critical_epochs=0))
    fields = {field.name for cls in (ModelConfig, TrainConfig) for field in dataclasses.fields(cls)}
    others = [*others, "--encoder-learning-rate", "--concept-memory", "--concept-folds"]
    others += [f"--self-critical-{name}" for name in ("passes", "learning-rate", "samples")]
    assert unused_options(config, fields) == others
    assert notes(config, fields) == [f"without effect in this run: {', '.join(others)}"]
