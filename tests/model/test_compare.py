"""Tests of `captioner evaluate --compare`: two models on the same pictures."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import builders
import pytest

from model import compare as comparer
from model import evaluate as evaluator
from model.arguments import evaluate_parser
from model.command import run_command
from model.compare import compare, most_different, print_comparison
from model.dataset import read_dataset_info
from model.errors import CaptionerError
from model.evaluate import Evaluation, describe_captions
from model.loading import load_model
from model.tokenisers import ADAPTED


def run(*arguments: object) -> int:
    return run_command(evaluate_parser(), evaluator.run, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def poor_run(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows nothing of the squares."""
    folder = tmp_path_factory.mktemp("poor") / "run"
    builders.untrained_run(squares, folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(trained_run: Path, squares: Path) -> Evaluation:
    info = read_dataset_info(squares)
    model = load_model(trained_run)
    return evaluator.evaluate(model, squares, info, "test", 8, "python")


def test_the_better_model_is_seen(
    poor_run: Path,
    trained_run: Path,
    squares: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--dataset", squares, "--output", tmp_path / "new", "--tokeniser", "python"]
    assert run("--compare", poor_run, trained_run, *options, "--beam-width", 1) == 0
    found = json.loads((tmp_path / "new" / "comparison.json").read_text())
    assert [found[name]["model"] for name in "ab"] == [str(poor_run), str(trained_run)]
    assert found["split"] == "test"
    assert found["images"] == builders.SPLITS["test"]
    assert found["tokeniser"].startswith("model.ptb")
    assert found["a"]["sampler"]["beam_width"] == found["b"]["sampler"]["beam_width"] == 1
    assert set(found["b_minus_a"]) == set(found["a"]["scores"]) == set(found["b"]["scores"])
    for name, difference in found["b_minus_a"].items():
        low, high = difference["interval_95"]
        assert low - 1e-9 <= difference["difference"] <= high + 1e-9
        expected = found["b"]["scores"][name] - found["a"]["scores"][name]
        assert difference["difference"] == pytest.approx(expected)
    assert found["b_minus_a"]["cider"]["interval_95"][0] > 0
    gaps = [row["b"]["cider"] - row["a"]["cider"] for row in found["most_different"]]
    assert gaps == sorted(gaps, key=abs, reverse=True)
    assert 1 <= len(gaps) <= 5

    printed = capsys.readouterr().out
    assert f"A: {poor_run}, greedy search\n" in printed
    worst = found["most_different"][0]
    for part in (worst["image_id"], worst["a"]["caption"], worst["b"]["caption"]):
        assert part in printed
    assert "meteor   left out: tokeniser 'python' was asked for" in printed
    assert f"captions of B: {describe_captions(found['b']['captions'])}" in printed
    assert found["b"]["epoch"] > found["a"]["epoch"] == 1


def test_a_run_and_its_bundle_do_not_differ(
    trained_run: Path,
    bundle_folder: Path,
    squares: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--dataset", squares, "--output", tmp_path, "--tokeniser", "python"]
    assert run("--compare", trained_run, bundle_folder, *options) == 0
    found = json.loads((tmp_path / "comparison.json").read_text())
    for difference in found["b_minus_a"].values():
        assert difference == {"difference": 0, "interval_95": [0, 0]}
    assert found["most_different"] == []
    assert "no CIDEr differs" in capsys.readouterr().out


def test_a_disk_that_is_full_costs_no_comparison(
    trained_run: Path,
    squares: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(path: Path, document: dict) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(comparer, "write_document", write)
    options = ["--dataset", squares, "--output", tmp_path, "--tokeniser", "python"]
    assert run("--compare", trained_run, trained_run, *options, "--beam-width", 1) == 2
    printed = capsys.readouterr()
    assert "no CIDEr differs" in printed.out
    assert "No space left on device" in printed.err


def test_a_run_and_a_bundle_decode_as_asked(
    poor_run: Path, bundle_folder: Path, squares: Path, tmp_path: Path
) -> None:
    options = ["--dataset", squares, "--output", tmp_path, "--tokeniser", "python"]
    # Neither knows how usual its concepts are: without a weight that makes no difference.
    asked = ["--beam-width", 2, "--concept-weight", 0]
    assert run("--compare", poor_run, bundle_folder, *options, *asked) == 0
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert [found[name]["sampler"]["beam_width"] for name in ("a", "b")] == [2, 2]


def test_options_that_mean_nothing_to_the_sampler_are_refused(
    poor_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", squares, "--output", tmp_path, "--tokeniser", "python"]
    assert run("--compare", poor_run, poor_run, *options, "--top-k", 5) == 2
    assert "--top-k: got 5 for beam search" in capsys.readouterr().err


def test_tags_are_compared_where_both_have_them(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    tagged = [
        dataclasses.replace(
            evaluation, metrics={**evaluation.metrics, "tag_mean_average_precision": precision}
        )
        for precision in (0.25, 0.2)
    ]
    print_comparison(compare(*tagged))
    (line,) = [line for line in capsys.readouterr().out.split("\n") if "tags mAP" in line]
    assert line.split() == ["tags", "mAP", "25.0", "20.0", "-5.0"]
    print_comparison(compare(tagged[0], evaluation))
    assert "tags mAP" not in capsys.readouterr().out


def test_what_is_printed_is_of_each_model(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(evaluation, evaluation)
    for name, number in (("a", 1), ("b", 2)):
        scores = {**found[name]["scores"], "cider": number / 10}
        ends = {**found[name]["intervals_95"], "cider": (number / 100, number / 5)}
        left_out = {f"measure {name}": f"reason {name}"}
        found[name] |= {"scores": scores, "intervals_95": ends, "left_out": left_out}
    sides = {name: {"caption": f"of {name}", "cider": 0.25} for name in "ab"}
    found["most_different"] = [{"image_id": "7.jpg", **sides}]
    print_comparison(found)
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.split("\n") if line.startswith("  cider ")]
    assert line.split()[1:7] == ["10.0", "[1.0,", "20.0]", "20.0", "[2.0,", "40.0]"]
    for name in "ab":
        assert f"measure {name} left out: reason {name}" in printed
        assert f"{name.upper()}   25.0  of {name}" in printed


def test_the_largest_differences_come_first_and_equals_do_not() -> None:
    ciders = [(0.5, 0.5), (0.0, 1.0), (2.0, 0.0), *[(0.1, 0.2)] * 5]
    rows = [
        [
            {"image_id": str(n), "caption": f"{side} {n}", "cider": pair[side], "references": ["r"]}
            for n, pair in enumerate(ciders)
        ]
        for side in (0, 1)
    ]
    found = most_different(*rows)
    assert [row["image_id"] for row in found] == ["2", "1", "3", "4", "5"]
    assert found[0] == {
        "image_id": "2",
        "a": {"caption": "0 2", "cider": 2.0},
        "b": {"caption": "1 2", "cider": 0.0},
        "references": ["r"],
    }


def test_scores_over_other_words_are_not_compared(evaluation: Evaluation) -> None:
    scores = dataclasses.replace(evaluation.scores, tokeniser="another")
    with pytest.raises(CaptionerError, match=r"A was scored with another.*--tokeniser python"):
        compare(dataclasses.replace(evaluation, scores=scores), evaluation)


def test_scores_compare_where_one_models_captions_alone_were_adapted(
    evaluation: Evaluation,
) -> None:
    name = evaluation.scores.tokeniser + ADAPTED
    scores = dataclasses.replace(evaluation.scores, tokeniser=name)
    assert compare(dataclasses.replace(evaluation, scores=scores), evaluation)["b_minus_a"]


def test_scores_of_other_pictures_are_not_compared(evaluation: Evaluation) -> None:
    image_ids = evaluation.scores.image_ids[::-1]
    scores = dataclasses.replace(evaluation.scores, image_ids=image_ids)
    with pytest.raises(ValueError, match="different pictures"):
        compare(evaluation, dataclasses.replace(evaluation, scores=scores))


def test_a_measure_of_one_model_alone_has_no_difference(evaluation: Evaluation) -> None:
    measures = [m for m in evaluation.scores.measures if m.names != ("cider",)]
    scores = dataclasses.replace(evaluation.scores, measures=tuple(measures))
    found = compare(evaluation, dataclasses.replace(evaluation, scores=scores))
    assert set(found["b_minus_a"]) == set(evaluation.scores.values()) - {"cider"}


def test_comparison_needs_a_folder_to_write_into(
    squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--compare", "a", "b", "--dataset", squares) == 2
    assert "--compare needs --output" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_told_before_anything_is_read(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    options = ["--dataset", squares, "--output", tmp_path / "out"]
    assert run("--compare", "a", "b", *options) == 2
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_both_are_checked_before_the_split_asked_for_is_captioned(
    trained_run: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def evaluate(model: object, dataset: Path, info: object, split: str, *_: object) -> None:
        calls.append(split)
        raise CaptionerError("enough")

    monkeypatch.setattr(comparer, "check_image_size", lambda *_: calls.append("checked"))
    monkeypatch.setattr(comparer, "evaluate", evaluate)
    options = ["--dataset", squares, "--output", tmp_path / "out", "--split", "validation"]
    assert run("--compare", trained_run, trained_run, *options) == 2
    assert calls == ["checked", "checked", "validation"]


def test_a_second_model_that_is_none_is_told_before_the_first_is_captioned(
    trained_run: Path, squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--dataset", squares, "--output", tmp_path / "out")
    assert run("--compare", trained_run, tmp_path / "absent", *where) == 2
    printed = capsys.readouterr()
    assert f"{tmp_path / 'absent'} is no" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the arguments --model --compare is required"),
        (["--model", "a", "--compare", "a", "b"], "not allowed with argument"),
        (["--compare", "a"], "expected 2 arguments"),
    ],
)
def test_one_model_or_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate_parser().parse_args([*arguments, "--dataset", "d"])
    assert message in capsys.readouterr().err
