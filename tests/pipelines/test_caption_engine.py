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

ENGINES = ["openvino", "onnxruntime"]


def is_installed(engine: str) -> bool:
    return all(importlib.util.find_spec(name) for name in (engine, "onnx", "tf2onnx"))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if not is_installed(request.param):
        pytest.skip(f"the packages of {request.param} are not installed")
    return request.param


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for every engine: they compute the same files."""
    folder = tmp_path_factory.mktemp("engines") / "bundle"
    write_bundle(folder, next(filter(is_installed, ENGINES)))
    return folder


@pytest.fixture(scope="module")
def by_engine(
    engine: str,
    bundle: Path,
    captions: Path,
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The captions of `archive` by TensorFlow and, beside them, by another engine."""
    folder = tmp_path_factory.mktemp(engine)
    shutil.copytree(captions, folder / "captions")
    arguments = caption_arguments(bundle, archive, folder / "captions")
    assert captioner(*arguments, "--engine", engine) == 0
    return folder / "captions"


def test_it_captions_alike_and_its_rows_tell(engine: str, by_engine: Path) -> None:
    mark = f"{FINGERPRINT}-{engine}"
    parts = pads.dataset(str(by_engine / f"model={mark}"), format="parquet")
    rows = parts.to_table().drop_columns(["captioned_at"]).to_pylist()
    assert {row["model_fingerprint"] for row in rows} == {mark}
    alike = [{**row, "model_fingerprint": FINGERPRINT} for row in rows]
    alike.sort(key=lambda row: row["image_uri"])
    assert_same_rows(alike, read_rows(by_engine))


def test_the_runs_record_tells_the_engine(engine: str, by_engine: Path) -> None:
    texts = (path.read_text(encoding="utf-8") for path in (by_engine / "_runs").iterdir())
    engines = [json.loads(text)["config"]["engine"] for text in texts]
    assert sorted(engine["name"] for engine in engines) == sorted([engine, "tensorflow"])
    assert not any(engine["bfloat16"] for engine in engines)


def test_decoding_otherwise_is_told_before_any_work(
    tiny_bundle: Path, archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("the package onnxruntime is not installed")
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    (bundle / "captioner.onnx").touch()
    arguments = caption_arguments(bundle, archive, tmp_path / "captions", "--beam-width", "2")
    assert captioner(*arguments, "--engine", "onnxruntime") == 2
    assert "--engine onnxruntime decodes as the bundle was exported" in capfd.readouterr().err
    assert not (tmp_path / "captions").exists()


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
