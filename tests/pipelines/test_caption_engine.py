"""Tests of an archive captioned by another engine: the same captions, their own partition."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pyarrow.dataset as pads
import pytest
from pipeline_builders import (
    FINGERPRINT,
    assert_same_rows,
    caption_arguments,
    captioner,
    read_rows,
    write_bundle,
)

OF_OPENVINO = f"{FINGERPRINT}-openvino"


@pytest.fixture(scope="module")
def by_openvino(captions: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The captions of `archive` by TensorFlow and, beside them, by OpenVINO."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the package openvino is not installed")
    folder = tmp_path_factory.mktemp("engine")
    write_bundle(folder / "bundle", "openvino")
    shutil.copytree(captions, folder / "captions")
    arguments = caption_arguments(folder / "bundle", archive, folder / "captions")
    assert captioner(*arguments, "--engine", "openvino") == 0
    return folder / "captions"


def test_openvino_captions_alike_and_its_rows_tell(by_openvino: Path) -> None:
    parts = pads.dataset(str(by_openvino / f"model={OF_OPENVINO}"), format="parquet")
    rows = parts.to_table().drop_columns(["captioned_at"]).to_pylist()
    assert {row["model_fingerprint"] for row in rows} == {OF_OPENVINO}
    alike = [{**row, "model_fingerprint": FINGERPRINT} for row in rows]
    alike.sort(key=lambda row: row["image_uri"])
    assert_same_rows(alike, read_rows(by_openvino))


def test_the_runs_record_tells_the_engine(by_openvino: Path) -> None:
    texts = (path.read_text(encoding="utf-8") for path in (by_openvino / "_runs").iterdir())
    engines = [json.loads(text)["config"]["engine"] for text in texts]
    assert sorted(engine["name"] for engine in engines) == ["openvino", "tensorflow"]
    assert not any(engine["bfloat16"] for engine in engines)


def test_an_engine_that_is_not_installed_is_one_line(
    tiny_bundle: Path,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    arguments = caption_arguments(tiny_bundle, archive, tmp_path / "captions")
    assert captioner(*arguments, "--engine", "openvino") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("captioner caption: error: --engine openvino: the package openvino is")
    assert list(tmp_path.iterdir()) == []
