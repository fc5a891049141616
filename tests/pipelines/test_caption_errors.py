"""Tests of what `captioner caption` refuses: one line, status 2, and nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from pipeline_builders import caption_arguments, captioner, files_of, write_picture

from pipelines import inference


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    write_picture(folder / "a.jpg", 1)
    return folder


def refused(
    capfd: pytest.CaptureFixture[str], bundle: Path, inputs: Path, output: Path, *more: str | Path
) -> str:
    """The one line that the command says as it refuses its work."""
    assert captioner(*caption_arguments(bundle, inputs, output, *more)) == 2
    printed = capfd.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith("captioner caption: error: ")
    return line


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--unit-size", "0"], "--unit-size: got 0"),
        (["--batch-size", "-1"], "--batch-size: got -1"),
        (["--max-reject-ratio", "1.5"], "--max-reject-ratio: got 1.5"),
        (["--max-reject-ratio", "nan"], "--max-reject-ratio: got nan"),
        (["--limit", "0"], "--limit: got 0, expected 1 or more"),
        (["--sample", "0"], "--sample: got 0.0"),
        (["--sample", "nan"], "--sample: got nan"),
        (["--sample", "1e-9"], "--sample: got 1e-09, which takes none of the images"),
        (["--sample", "1e-9", "--dry-run"], "--sample: got 1e-09"),
        (["--num-captions", "0"], "--num-captions: got 0"),
        (["--num-captions", "4"], "--num-captions: got 4, expected at most 3, which beam search"),
        (["--num-captions", "2", "--sampler", "greedy"], "got 2, expected at most 1, which greedy"),
        (["--remove-unlisted", "--limit", "3"], "--remove-unlisted: got it with --limit 3 and"),
        (["--tags", "-1"], "--tags: got -1, expected 0 or more"),
        (["--output", "archive/captions"], "archive/captions lies in --input"),
        (
            ["--input", "list.txt"],
            "list.txt, line 2: got 'a\\x00b', expected the path of a picture",
        ),
        (["--input", "absent"], "absent cannot be listed"),
        (["--input", "absent/*.jpg"], "absent/*.jpg: no pictures found"),
        (["--input", "empty"], "empty: no pictures found"),
        (["--bundle", "absent"], "absent is no bundle"),
        (["--bundle", "archive"], "archive is no bundle"),
        (["--", "--no_such_option=1"], "--no_such_option=1"),
        (["--", "word"], "word"),
        (["--", "--runner=NoSuchRunner"], "NoSuchRunner"),
    ],
)
def test_wrong_options_and_inputs_are_named_and_nothing_is_written(
    tiny_bundle: Path,
    inputs: Path,
    tmp_path: Path,
    more: list[str],
    named: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_bytes(b"archive/a.jpg\na\0b\n")
    assert named in refused(capfd, tiny_bundle, inputs, tmp_path / "captions", *more)
    assert not (tmp_path / "captions").exists()


def test_a_bundle_of_another_decoder_version_is_refused(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    config = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    config["decoder_version"] = "pillow-0"
    (bundle / "bundle.json").write_text(json.dumps(config), encoding="utf-8")
    line = refused(capfd, bundle, inputs, tmp_path / "captions")
    assert str(bundle) in line
    assert "'pillow-0'" in line
    assert not (tmp_path / "captions").exists()


def test_a_bundle_without_its_model_is_refused(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle").mkdir()
    shutil.copy(tiny_bundle / "bundle.json", tmp_path / "bundle")
    line = refused(capfd, tmp_path / "bundle", inputs, tmp_path / "captions")
    assert "saved_model.pb" in line


@pytest.mark.parametrize("name", ["captioner.weights.h5", "vocabulary.txt"])
def test_decoding_otherwise_takes_all_of_a_bundle(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (bundle / name).unlink()
    line = refused(capfd, bundle, inputs, tmp_path / "captions", "--beam-width", "2")
    assert f"--beam-width: {bundle} has no {name}, without which it decodes only as it was" in line
    assert not (tmp_path / "captions").exists()


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_bundle_that_was_copied_in_part_is_refused_before_anything_is_listed(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (bundle / name).unlink()
    line = refused(capfd, bundle, inputs, tmp_path / "captions")
    assert f"{bundle} is no bundle: it has no {name}; export or copy it again" in line


@pytest.mark.parametrize("pattern", ["saved_model.pb", "variables/variables.data-*"])
def test_a_damaged_bundle_is_told_in_one_line(
    tiny_bundle: Path,
    inputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    (file,) = bundle.glob(pattern)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    line = refused(capsys, bundle, inputs, tmp_path / "captions")
    assert f"{bundle} cannot be loaded: " in line
    assert line.endswith("; export or copy it again")


def test_a_bundle_without_the_signature_that_captions_is_refused(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, [tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(module, bundle, {"serving_default": module.double})
    shutil.copy(tiny_bundle / "bundle.json", bundle)
    line = refused(capsys, bundle, inputs, tmp_path / "captions")
    assert f"{bundle}: got signatures ['serving_default'], expected 'caption_pixels'" in line
    assert line.endswith("export it again")
    assert not (tmp_path / "captions").exists()


def test_a_file_in_place_of_the_output_is_refused(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "captions"
    output.write_text("precious", encoding="utf-8")
    assert f"--output {output} is a file" in refused(capfd, tiny_bundle, inputs, output)
    assert output.read_text(encoding="utf-8") == "precious"


def test_a_folder_with_other_files_is_refused_and_left_alone(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "captions"
    output.mkdir()
    for name in ("dataset.json", "_precious.tmp"):
        (output / name).write_text("precious", encoding="utf-8")
    before = files_of(output)
    line = refused(capfd, tiny_bundle, inputs, output)
    assert str(output) in line
    assert "_precious.tmp" in line
    assert files_of(output) == before


def test_a_run_that_fails_leaves_no_half_and_no_plan(
    tiny_bundle: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(inference.pq, "write_table", full_disk)
    with pytest.raises(Exception, match="disk full"):
        captioner(*caption_arguments(tiny_bundle, inputs, tmp_path / "captions"))
    assert files_of(tmp_path / "captions") == {}
