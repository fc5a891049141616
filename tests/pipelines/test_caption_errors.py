"""Tests of what `captioner caption` refuses: one line, status 2, and nothing written."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pipeline_builders import caption_arguments, captioner, files_of, write_picture

from model.errors import CaptionerError
from pipelines import caption, inference
from pipelines.caption import Account, CaptionConfig
from pipelines.records import Unit


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


def test_a_unit_that_was_not_committed_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unit abc was not committed; run again"):
        caption.count_rows(str(tmp_path), [Unit("abc", "plan", 0)])


def test_an_account_that_does_not_add_up_is_a_defect() -> None:
    Account(10, already_done=4, captioned=5, rejected=1, reasons={}).check()
    for inputs in (9, 11):
        with pytest.raises(RuntimeError, match=f"got {inputs} images, but 10 rows"):
            Account(inputs, already_done=4, captioned=5, rejected=1, reasons={}).check()


def test_the_share_of_rejects_is_of_this_run_alone() -> None:
    account = Account(1000, already_done=990, captioned=8, rejected=2, reasons=Counter())
    assert account.exceeds(0.19)
    assert not account.exceeds(0.2)
    assert not Account(5, already_done=5, captioned=0, rejected=0, reasons={}).exceeds(0.0)


@pytest.mark.parametrize("changes", [{"unit_size": 0}, {"max_reject_ratio": -0.1}])
def test_a_configuration_checks_itself(changes: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"bundle": "b", "inputs": ("i",), "output": "o", "unit_size": 1}
    sound |= {"batch_size": 1, "max_reject_ratio": 0.1}
    CaptionConfig(**sound)
    with pytest.raises(CaptionerError, match="got"):
        CaptionConfig(**{**sound, **changes})
