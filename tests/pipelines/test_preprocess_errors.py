"""Tests of what `captioner preprocess` refuses: one line, status 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_builders import captioner, files_of, preprocess_arguments

from pipelines import preprocess


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """One captioned picture's worth of inputs; no run comes so far as to decode it."""
    folder = tmp_path / "inputs"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(b"")
    (folder / "captions.token.txt").write_text("a.jpg#0\tA dog\n", encoding="utf-8")
    for split, name in (("train", "a.jpg"), ("validation", "b.jpg"), ("test", "c.jpg")):
        (folder / f"{split}.txt").write_text(name + "\n", encoding="utf-8")
    (folder / "captions.csv").write_text("where,caption\na.jpg,A dog\n", encoding="utf-8")
    return folder


def refused(
    capfd: pytest.CaptureFixture[str], inputs: Path, output: Path, *more: str | Path
) -> str:
    """The one line that the command says as it refuses its work."""
    assert captioner(*preprocess_arguments(inputs, output, *more)) == 2
    said = capfd.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    assert line.startswith("captioner preprocess: error: ")
    return line


@pytest.fixture(autouse=True)
def no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is refused before work starts."""
    monkeypatch.setattr(preprocess, "build", lambda *_: pytest.fail("a pipeline was built"))


def test_a_file_system_that_tensorflow_lacks_is_told(
    capfd: pytest.CaptureFixture[str], inputs: Path, memory: dict[str, bytes]
) -> None:
    arguments = preprocess_arguments(inputs, Path("unused"))
    arguments[arguments.index(Path("unused"))] = "memory://bucket/dataset"
    assert captioner(*arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert (
        "--output: got memory://bucket/dataset, expected a path of this machine or of gs://" in line
    )
    assert memory == {}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--captions", "absent.txt"], "absent.txt"),
        (["--train-list", "absent.txt"], "absent.txt"),
        (["--images", "absent"], "absent cannot be listed"),
        (["--images", "captions.csv", "--images-column", "image"], "got no column 'image'"),
        (
            ["--images", "captions.csv"],
            "give its name (--image-column; of --images, --images-column",
        ),
        (["--images", "absent/*.jpg"], "no pictures found"),
        (["--captions", "images"], "images"),
        (["--split-ratios", "0.8,0.1,0.1"], "--split-ratios"),
        (["--min-count", "0"], "--min-count: got 0"),
        (["--shard-mib", "0"], "--shard-mib: got 0"),
        (["--read-timeout-sec", "0"], "--read-timeout-sec: got 0.0"),
        (["--vocabulary-size", "3"], "--vocabulary-size: got 3"),
        (["--min-score", "-1"], "--min-score"),
        (["--image-size-px", "4"], "--image-size-px: got 4"),
        (["--", "--no_such_option=1"], "--no_such_option=1"),
        (["--", "--runner=NoSuchRunner"], "NoSuchRunner"),
    ],
)
def test_wrong_options_and_inputs_are_named_and_nothing_is_written(
    inputs: Path,
    tmp_path: Path,
    more: list[str],
    named: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(inputs)
    before = files_of(tmp_path)
    assert named in refused(capfd, inputs, tmp_path / "dataset", *more)
    assert files_of(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["inputs"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("captions.token.txt", b"a.jpg#0\tA dog\nno caption\n", "line 2: got 'no caption'"),
        ("captions.token.txt", b"", "is empty"),
        ("captions.token.txt", b"\xff\xfe", "expected UTF-8"),
        ("captions.token.txt", b'{"images": []}', "'annotations' is missing"),
        ("test.txt", b"c.jpg\na.jpg\n", "'a.jpg' is in the train list too"),
        ("validation.txt", b"\n", "validation.txt is empty"),
    ],
)
def test_flaws_of_the_inputs_are_named_and_nothing_is_written(
    inputs: Path,
    tmp_path: Path,
    name: str,
    data: bytes,
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (inputs / name).write_bytes(data)
    line = refused(capfd, inputs, tmp_path / "dataset")
    assert words in line
    assert str(inputs / name) in line
    assert not (tmp_path / "dataset").exists()


def test_a_folder_without_pictures_is_refused(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (inputs / "images" / "a.jpg").rename(inputs / "images" / "a.dat")
    line = refused(capfd, inputs, tmp_path / "dataset")
    assert f"{inputs / 'images'}: no pictures found" in line
    assert ".dat: 1" in line


def test_lists_without_a_train_list_are_refused(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = preprocess_arguments(inputs, tmp_path / "dataset")
    at = arguments.index("--train-list")
    assert captioner(*arguments[:at], *arguments[at + 2 :]) == 2
    assert "--train-list is missing" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["notes.txt", "_incomplete_notes.txt", "deep/notes.txt"])
def test_a_folder_with_other_files_is_refused_and_left_alone(
    inputs: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dataset"
    (output / name).parent.mkdir(parents=True)
    (output / name).write_text("precious", encoding="utf-8")
    line = refused(capfd, inputs, output)
    assert str(output / name) in line
    assert "no dataset" in line
    assert files_of(output) == {name: b"precious"}


def test_a_folder_whose_name_is_a_pattern_is_refused(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "pattern; choose a name without" in refused(capfd, inputs, tmp_path / "data*")
    assert [path.name for path in tmp_path.iterdir()] == ["inputs"]


def test_a_source_that_is_not_there_takes_no_folder_from_a_run_at_work(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    claim = tmp_path / "dataset" / "_incomplete" / "another" / "claim"
    claim.parent.mkdir(parents=True)
    claim.touch()
    refused(capfd, inputs, tmp_path / "dataset", "--images", "absent")
    assert claim.exists()


def test_a_file_in_place_of_the_output_is_refused(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset").write_text("precious", encoding="utf-8")
    assert str(tmp_path / "dataset") in refused(capfd, inputs, tmp_path / "dataset")
    assert (tmp_path / "dataset").read_text(encoding="utf-8") == "precious"


def test_an_empty_output_folder_survives_a_refusal(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset").mkdir()
    refused(capfd, inputs, tmp_path / "dataset", "--images", "absent")
    assert list((tmp_path / "dataset").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_dataset_json_is_refused(
    inputs: Path, tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "dataset.json").write_text(content, encoding="utf-8")
    assert str(tmp_path / "dataset") in refused(capfd, inputs, tmp_path / "dataset")
