"""Tests of what the demo runs and of the check that it ends with."""

import argparse
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import CaptionerError
from pipelines.cli import _COMMANDS
from pipelines.demo.archive import read_truth, write_archive
from pipelines.demo.language import canonical_caption
from pipelines.demo.run import accuracy, check, commands, run, shuffled
from pipelines.demo.scenes import Scene, sample_scene


def scenes(count: int) -> dict[str, Scene]:
    rng = random.Random(3)
    return {f"{index}.jpg": sample_scene(rng) for index in range(count)}


def test_every_command_of_the_demo_is_one_that_the_console_takes() -> None:
    names = [command[0] for command in commands(Path("demo"), epochs=2)]
    assert names == ["preprocess", "train", "evaluate", "export", "caption", "report"]
    for name, *options in commands(Path("demo"), epochs=2):
        _COMMANDS[name].parser().parse_args(options)


def test_the_demo_takes_a_folder_of_any_name() -> None:
    folder = Path("/a demo's")
    found = [_COMMANDS[name].parser().parse_args(o) for name, *o in commands(folder, epochs=2)]
    outputs = [options.output for options in found if options.output]
    names = ["dataset", "run", "bundle", "captions", "report.html"]
    assert outputs == [str(folder / name) for name in names]


def test_accuracy_counts_whole_scenes() -> None:
    truth = scenes(4)
    captions = {image: canonical_caption(scene) for image, scene in truth.items()}
    assert accuracy(captions, truth) == 1
    first = next(iter(captions))
    assert accuracy({**captions, first: "a ring"}, truth) == 0.75
    del captions[first]
    assert accuracy(captions, truth) == 0.75


def test_captions_dealt_to_other_scenes_are_wrong() -> None:
    truth = scenes(200)
    captions = {image: canonical_caption(scene) for image, scene in truth.items()}
    dealt = shuffled(captions, seed=1)
    assert sorted(dealt.values()) == sorted(captions.values())
    assert accuracy(dealt, truth) < 0.1


def write_demo(folder: Path, captions: dict[str, str], rejects: int) -> None:
    """The files that `check` reads, as the commands would have left them."""
    rows = [
        {"image_uri": f"{folder}/archive/{image}", "status": "captioned", "caption": c}
        for image, c in captions.items()
    ]
    rows += [
        {"image_uri": f"{folder}/archive/broken-{n}.jpg", "status": "rejected"}
        for n in range(rejects)
    ]
    schema = pa.schema([(name, pa.string()) for name in ("image_uri", "status", "caption")])
    (folder / "captions" / "model=x").mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, folder / "captions" / "model=x" / "part-0.parquet")
    (folder / "run").mkdir()
    (folder / "run" / "metrics.json").write_text(json.dumps({"scores": {"bleu_4": 0.9}}))


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, Scene]:
    write_archive(tmp_path / "archive", 20, 1, tmp_path / "truth.jsonl")
    return read_truth(tmp_path / "truth.jsonl")


def test_true_captions_pass(tmp_path: Path, truth: dict[str, Scene]) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    folder = tmp_path / "link"
    write_demo(folder, {image: canonical_caption(s) for image, s in truth.items()}, rejects=5)
    assert check(folder) == 1


def test_captions_of_other_pictures_fail(tmp_path: Path, truth: dict[str, Scene]) -> None:
    captions = {image: canonical_caption(scene) for image, scene in truth.items()}
    write_demo(tmp_path, shuffled(captions, seed=2), rejects=5)
    with pytest.raises(CaptionerError, match="not learn to look; the defaults of --scenes"):
        check(tmp_path)


@pytest.mark.parametrize(("lost", "rejects"), [(1, 5), (0, 4)])
def test_a_lost_picture_fails(
    tmp_path: Path, truth: dict[str, Scene], lost: int, rejects: int
) -> None:
    captions = {image: canonical_caption(scene) for image, scene in list(truth.items())[lost:]}
    write_demo(tmp_path, captions, rejects)
    with pytest.raises(CaptionerError, match="pictures were lost"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"scenes": 99}, "--scenes: got 99, expected 100 or more"),
        ({"epochs": 0}, "--epochs: got 0, expected 1 or more"),
        ({"output": "file/demo"}, "file is a file; expected a folder"),
    ],
)
def test_senseless_options_are_told_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("dear")
    options = {"output": "demo", "scenes": 100, "epochs": 1, **asked}
    with pytest.raises(CaptionerError, match=named):
        run(argparse.Namespace(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CaptionerError, match="holds files that are no demo"):
        run(argparse.Namespace(output=str(tmp_path), scenes=100, epochs=1))
    assert (tmp_path / "letter.txt").read_text() == "dear"
