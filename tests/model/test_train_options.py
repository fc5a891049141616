"""Tests of `captioner train`'s options: precision, and a seed that repeats a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import builders
import keras
import pytest

from model import train as trainer
from model.arguments import train_parser
from model.artifacts import FeatureConfig
from model.command import run_command
from model.config import ModelConfig, TrainConfig
from model.dataset import read_dataset_info
from model.errors import CaptionerError
from model.run_config import make_run_config
from model.run_folder import restore_captioner


@pytest.fixture(autouse=True)
def _float32_again() -> None:
    yield
    keras.mixed_precision.set_global_policy("float32")


def history(run: Path) -> list[dict[str, float]]:
    names, *rows = (run / "history.csv").read_text().splitlines()
    measured = [
        dict(zip(names.split(","), map(float, row.split(",")), strict=True)) for row in rows
    ]
    # Speed is no part of what a seed repeats.
    return [{k: v for k, v in row.items() if k != "captions_per_sec"} for row in measured]


def test_an_encoder_asked_for_is_the_one_of_the_stored_features(squares: Path) -> None:
    features = FeatureConfig("MobileNet", "", views=1, patches=1, channels=1024)
    info = dataclasses.replace(read_dataset_info(squares), features=features)
    config = make_run_config(info, ModelConfig(), TrainConfig())
    assert config.model.encoder == "MobileNet"
    # The default, but asked for: it is not what the run would have.
    with pytest.raises(CaptionerError, match=r"--encoder: got 'MobileNetV2', .* of 'MobileNet'"):
        make_run_config(info, ModelConfig(), TrainConfig(), given=["encoder"])
    with pytest.raises(CaptionerError, match="--encoder-weights: got 'imagenet', but"):
        make_run_config(info, ModelConfig(), TrainConfig(), given=["encoder_weights"])
    model = ModelConfig(encoder="MobileNet")
    assert make_run_config(info, model, TrainConfig(), given=["encoder"]) == config


@pytest.mark.parametrize(
    ("decoder", "precision", "regularisation"),
    [("transformer", "mixed_float16", 0.0), ("gru", "mixed_bfloat16", 0.1)],
)
def test_mixed_precision_learns_and_keeps_float32_weights(
    tmp_path: Path, squares: Path, decoder: str, precision: str, regularisation: float
) -> None:
    run = tmp_path / "run"
    options = {"decoder": decoder, "concepts": 4, "epochs": 2, "learning_rate": 3e-3}
    options["decoder_layers"] = 1
    options["attention_regularisation"] = regularisation
    assert builders.train(squares, run, precision=precision, **options) == 0
    losses = [row["loss"] for row in history(run)]
    assert losses[-1] < losses[0]
    keras.mixed_precision.set_global_policy("float32")
    captioner, _, _ = restore_captioner(run)
    assert {str(weight.dtype) for weight in captioner.weights} <= {"float32", "uint32", "int32"}


def test_a_run_is_repeated_from_its_config_and_another_seed_gives_another(
    tmp_path: Path, squares: Path
) -> None:
    (tmp_path / "stop.txt").write_text("a\non\nred\n")
    options = {"concepts": 4, "epochs": 1, "dropout": 0.2, "seed": 3}
    first, again = tmp_path / "first", tmp_path / "again"
    assert builders.train(squares, first, stop_words=tmp_path / "stop.txt", **options) == 0
    (tmp_path / "stop.txt").unlink()
    for run, seed in ((again, []), (tmp_path / "other", ["--seed", "4"])):
        arguments = ["--config", str(first), "--dataset", str(squares), "--output", str(run)]
        assert run_command(train_parser(), trainer.run, [*arguments, *seed]) == 0
    assert (first / "config.json").read_text() == (again / "config.json").read_text()
    assert history(first) == history(again)
    assert history(first) != history(tmp_path / "other")
