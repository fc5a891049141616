"""Tests of `captioner evaluate`: runs and bundles score alike, with and without Java."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import builders
import numpy as np
import pyarrow.parquet as pq
import pytest

from model import evaluate as evaluator
from model.arguments import evaluate_parser
from model.bundle_folder import ImageCaptions, Scored
from model.checkpoints import Checkpoints
from model.command import run_command
from model.config import ImageConfig, SamplerConfig
from model.dataset import read_dataset_info, read_split
from model.decoding_options import Decoding
from model.engine import Engine
from model.errors import CaptionerError
from model.loading import Model, load_model


def evaluate(model: Path, dataset: Path, output: Path, *arguments: str) -> tuple[dict, list[dict]]:
    """Runs the command with the Python tokeniser; returns metrics and predictions."""
    options = [f"--model={model}", f"--dataset={dataset}", f"--output={output}", *arguments]
    status = run_command(evaluate_parser(), evaluator.run, [*options, "--tokeniser=python"])
    assert status == 0
    predictions = pq.read_table(output / "predictions.parquet").to_pylist()
    return json.loads((output / "metrics.json").read_text()), predictions


@pytest.fixture(scope="module")
def of_run(
    trained_run: Path, squares: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict, list[dict]]:
    # Without Java on the path: the Python tokeniser needs none.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        return evaluate(trained_run, squares, tmp_path_factory.mktemp("of_run"))


def test_a_model_that_knows_its_subject_scores_high(of_run: tuple[dict, list[dict]]) -> None:
    metrics, predictions = of_run
    assert metrics["scores"]["bleu_4"] > 0.95
    assert metrics["scores"]["rouge_l"] > 0.9
    assert metrics["captions"]["distinct"] == len(builders.COLOURS)
    for row in predictions:
        assert row["image_id"].split("-")[-1] in row["caption"].split()


def test_metrics_say_what_they_were_taken_over(
    of_run: tuple[dict, list[dict]], trained_run: Path
) -> None:
    metrics, _ = of_run
    assert metrics["split"] == "test"
    assert metrics["images"] == builders.SPLITS["test"]
    assert metrics["tokeniser"].startswith("model.ptb")
    settings = dataclasses.asdict(SamplerConfig())
    heeded = ("beam_width", "length_normalisation", "min_length", "no_repeat_ngram", "ban_words")
    # Without a recogniser no order follows from concepts.
    assert metrics["sampler"] == {name: settings[name] for name in ("sampler", *heeded)}
    assert metrics["engine"] == {"name": "tensorflow", "bfloat16": False}
    assert metrics["epoch"] == Checkpoints(trained_run).progress().best_epoch
    assert metrics["dataset_fingerprint"] == "squares"
    names = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}
    assert set(metrics["scores"]) == set(metrics["intervals_95"]) == names
    assert set(metrics["left_out"]) == {"meteor", "spice"}
    for name, value in metrics["scores"].items():
        low, high = metrics["intervals_95"][name]
        assert low - 1e-9 <= value <= high + 1e-9


def test_metrics_tell_of_the_captions_themselves(of_run: tuple[dict, list[dict]]) -> None:
    metrics, predictions = of_run
    said = metrics["captions"]
    words = [word for row in predictions for word in row["caption"].split()]
    assert said["mean_words"] == pytest.approx(len(words) / len(predictions))
    assert said["vocabulary_words_used"] == len(set(words))
    assert said["vocabulary_words"] == len(builders.VOCABULARY) - 4
    assert said["distinct_share"] == len(builders.COLOURS) / len(predictions)
    assert said["repeats_share"] == said["dangling_ending_share"] == said["unknown_word_rate"] == 0


def test_predict_takes_the_best_caption_whatever_else_a_model_says(squares: Path) -> None:
    class Result(NamedTuple):
        tags: list
        captions: list[Scored]
        attention: np.ndarray

    def caption(pixels: np.ndarray) -> list[Result]:
        said = [Scored("a dog", -1.0), Scored("a cat", -2.0)]
        return [Result([], said, picture) for picture in pixels]

    model = Model(
        caption, SamplerConfig(), Engine(), None, "", ImageConfig(builders.SIZE_PX), (), len
    )
    examples = read_split(squares, "test", read_dataset_info(squares))
    rows = list(evaluator.predict(model, examples, 3))
    assert len(rows) == builders.SPLITS["test"]
    assert {(row["caption"], row["score"]) for row in rows} == {("a dog", -1.0)}


def test_a_picture_without_a_caption_is_told(squares: Path) -> None:
    def caption(pixels: np.ndarray) -> list[ImageCaptions]:
        return [ImageCaptions([], []) for _ in pixels]

    image = ImageConfig(builders.SIZE_PX)
    model = Model(caption, SamplerConfig(), Engine(), None, "", image, (), len)
    examples = read_split(squares, "test", read_dataset_info(squares))
    with pytest.raises(CaptionerError, match="the model gave no caption of a finite score of test"):
        next(evaluator.predict(model, examples, 3))


def test_every_picture_has_one_row_of_predictions(of_run: tuple[dict, list[dict]]) -> None:
    metrics, predictions = of_run
    assert len({row["image_id"] for row in predictions}) == len(predictions) == 8
    for row in predictions:
        assert row["references"] == builders.captions_of(row["image_id"].split("-")[-1])
        assert row["score"] < 0
        assert 0 <= row["bleu_4"] <= 1.0001
        assert row["meteor"] is row["spice"] is None
    scores = [row["score"] for row in predictions]
    assert metrics["low_score"] == pytest.approx(np.percentile(scores, 10), rel=1e-5)


def test_run_and_bundle_caption_and_score_alike(
    of_run: tuple[dict, list[dict]], bundle_folder: Path, squares: Path, tmp_path: Path
) -> None:
    # Another size of batch, so that batches are seen not to matter.
    metrics, predictions = evaluate(bundle_folder, squares, tmp_path, "--batch-size=3")
    expected_metrics, expected = of_run
    assert metrics["scores"] == expected_metrics["scores"]
    assert [row["caption"] for row in predictions] == [row["caption"] for row in expected]
    np.testing.assert_allclose(
        [row["score"] for row in predictions], [row["score"] for row in expected], atol=1e-4
    )
    assert not list(tmp_path.glob("_*"))


def test_the_split_and_the_sampler_asked_for_are_used(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics, predictions = evaluate(
        trained_run, squares, tmp_path, "--split=validation", "--sampler=greedy", "--min-length=2"
    )
    assert metrics["split"] == "validation"
    # What a greedy search has no use for would read as if it had been used.
    heeded = {"sampler": "greedy", "min_length": 2, "no_repeat_ngram": 0, "ban_words": ""}
    assert metrics["sampler"] == heeded
    told = "8 images of the validation split, greedy search, at least 2 words\n"
    assert capsys.readouterr().out.startswith(told)
    assert all(row["image_id"].startswith("validation-") for row in predictions)


def test_a_bundle_keeps_its_sampler_unless_another_is_asked_for(
    bundle_folder: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    config = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    config["sampler"]["no_repeat_ngram"] = 7
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(config))
    metrics, _ = evaluate(tmp_path / "bundle", squares, tmp_path / "out", "--beam-width=3")
    assert metrics["sampler"]["no_repeat_ngram"] == 7
    metrics, _ = evaluate(tmp_path / "bundle", squares, tmp_path / "out", "--beam-width=4")
    assert (metrics["sampler"]["beam_width"], metrics["sampler"]["no_repeat_ngram"]) == (4, 7)
    capsys.readouterr()
    options = [f"--model={tmp_path}/bundle", f"--dataset={squares}", "--beam-width=4"]
    assert run_command(evaluate_parser(), evaluator.run, options) == 2
    told = f"error: --beam-width: {tmp_path}/bundle/metrics.json tells how good the bundle is as"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "got"),
    [(("--engine=openvino",), "openvino"), (("--bfloat16=on",), "tensorflow in bfloat16")],
)
def test_a_run_is_computed_by_tensorflow_alone(
    trained_run: Path,
    squares: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    got: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [f"--model={trained_run}", f"--dataset={squares}", f"--output={tmp_path}", *options]
    assert run_command(evaluate_parser(), evaluator.run, arguments) == 2
    assert f"got {got}, but {trained_run} is no bundle" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_dataset_is_scored_with_a_note(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.write_dataset(tmp_path / "d", {"test": 4}, fingerprint="other")
    metrics, _ = evaluate(trained_run, tmp_path / "d", tmp_path / "out", "--beam-width=1")
    assert (
        "note: the model was trained on dataset squares, this is other" in capsys.readouterr().err
    )
    assert metrics["dataset_fingerprint"] == "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size=0"], "--batch-size: got 0, expected 1 or more"),
        (["--split=test"], "has no test split"),
        (["--model=nowhere"], "nowhere is no run"),
        (["--samples=5"], "--samples: got 5 for beam search, which makes no use of it"),
        (["--concept-weight=0.3"], "--concept-weight: got 0.3, but the model does not know how"),
        (["--split=validation", "--tokeniser=java"], "install a Java runtime"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    trained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("PATH", "")
    builders.write_dataset(tmp_path, {"validation": 2})
    options = [f"--model={trained_run}", f"--dataset={tmp_path}", *arguments]
    assert run_command(evaluate_parser(), evaluator.run, options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_damaged_dataset_is_one_line(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builders.write_dataset(tmp_path, {"test": 4})
    builders.DAMAGES["a byte flipped"](tmp_path / "test-00001-of-00002.tfrecord")
    options = [f"--model={trained_run}", f"--dataset={tmp_path}", f"--output={tmp_path / 'out'}"]
    assert run_command(evaluate_parser(), evaluator.run, options) == 2
    error = capsys.readouterr().err
    assert f"the dataset {tmp_path} is damaged" in error
    assert error.count("\n") == 1


def test_an_output_that_is_a_file_is_refused_before_the_work(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_text("dear")
    options = [f"--model={trained_run}", f"--dataset={squares}", f"--output={tmp_path / 'notes'}"]
    assert run_command(evaluate_parser(), evaluator.run, options) == 2
    assert "notes is a file; expected a folder" in capsys.readouterr().err


def test_a_disk_that_is_full_costs_no_scores(
    trained_run: Path,
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(evaluator, "write_whole", write)
    options = [f"--model={trained_run}", f"--dataset={squares}", f"--output={tmp_path / 'out'}"]
    arguments = [*options, "--tokeniser=python", "--beam-width=1"]
    assert run_command(evaluate_parser(), evaluator.run, arguments) == 2
    printed = capsys.readouterr()
    assert "cider" in printed.out
    assert "No space left on device" in printed.err


def test_whoever_stops_reading_the_scores_has_the_results(
    trained_run: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=write, flush=lambda: None))
    with pytest.raises(BrokenPipeError):
        evaluate(trained_run, squares, tmp_path, "--beam-width=1")
    assert {"metrics.json", "predictions.parquet"} <= {path.name for path in tmp_path.iterdir()}


def test_concepts_that_no_caption_names_are_left_out_of_the_metrics(
    trained_run: Path, squares: Path
) -> None:
    def tag(pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 2), 0.5)

    def precision(*concepts: str) -> dict:
        model = dataclasses.replace(
            load_model(trained_run, Decoding((("beam_width", 1),))), concepts=concepts, tag=tag
        )
        info = read_dataset_info(squares)
        return evaluator.evaluate(model, squares, info, "test", 4, "python").metrics

    metrics = precision("elephant", "Elephant")
    assert "tag_mean_average_precision" not in metrics
    assert "no caption" in metrics["left_out"]["tag_mean_average_precision"]
    assert {"meteor", "spice"} < set(metrics["left_out"])
    assert 0 < precision("square", "elephant")["tag_mean_average_precision"] <= 1


def test_concepts_with_capitals_are_looked_for_as_they_are() -> None:
    scores = np.array([0.9, 0.1])
    row = {"references": ["Ein Hund im wald"], "concept_scores": scores}
    other = {"references": ["Nichts"], "concept_scores": scores[::-1]}
    assert evaluator.tag_precision(("Hund", "Wald"), [row, other]) == 1.0
    assert evaluator.tag_precision(("hund", "wald"), [row, other]) == 0.75
    assert evaluator.tag_precision(("HUND", "Wald"), [row, other]) is None
    assert evaluator.tag_precision(("Hund", "wald"), [row, other]) == 0.75
    assert evaluator._words(["Ein Hund's Ball", ""]) == [["Ein", "Hund", "'s", "Ball"], []]


def test_pictures_of_another_size_than_the_models_are_refused(squares: Path) -> None:
    info = read_dataset_info(squares)
    image = ImageConfig(64)
    model = Model(lambda _: [], SamplerConfig(), Engine(), None, info.fingerprint, image, (), len)
    with pytest.raises(CaptionerError, match=r"captions pictures of 64 px.*--image-size-px 64"):
        evaluator.evaluate(model, squares, info, "validation", 4, "python")
