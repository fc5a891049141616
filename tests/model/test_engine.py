"""Tests of what computes a bundle: the engine asked for, and bfloat16 where the CPU has it."""

from __future__ import annotations

import os
from pathlib import Path

import builders
import keras
import pytest
import tensorflow as tf
from builders import PICTURES

from model.bundle import Bundle
from model.caption_graph import CaptionGraph
from model.captioner import build_captioner
from model.config import ImageConfig, ModelConfig, SamplerConfig
from model.engine import (
    AUTO,
    OFF,
    ON,
    ONNX_FILE,
    ONNXRUNTIME,
    OPENVINO,
    Engine,
    choose_engine,
    compute_threads,
    wants_bfloat16,
)
from model.errors import CaptionerError
from model.export import export
from model.frozen_graph import FrozenGraph
from model.vocabulary import Vocabulary

OLD_CPU = "processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: fpu avx2 fma avx512_bf16x\n"
NEW_CPUS = [f"flags\t\t: fpu avx2 {flag} fma\n" for flag in ("avx512_bf16", "amx_bf16")]
ENGINES = [OPENVINO, ONNXRUNTIME]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that seems to be installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    return request.param


def test_a_bundle_that_was_not_made_for_it_is_refused(engine: str, bundle_folder: Path) -> None:
    expected = rf"has no captioner\.onnx; .* captioner export --engine {engine}"
    with pytest.raises(CaptionerError, match=expected):
        Engine(engine).check(bundle_folder)


def test_decoding_otherwise_needs_another_export(engine: str, tmp_path: Path) -> None:
    (tmp_path / ONNX_FILE).touch()
    Engine(engine).check(tmp_path)
    with pytest.raises(CaptionerError, match="as the bundle was exported, got --beam-width 2;"):
        Engine(engine).check(tmp_path, [("beam_width", 2)])


@pytest.mark.parametrize(
    ("engine", "package"), [(e, p) for e in ENGINES for p in (e, "onnx", "tf2onnx")]
)
def test_a_package_that_is_not_installed_is_named(
    trained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    package: str,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != package or None)
    expected = rf"{package} is not installed; run pip install 'captioner\[{engine}\]'"
    with pytest.raises(CaptionerError, match=expected):
        export(trained_run, tmp_path / "bundle", SamplerConfig(), engine)
    if package == engine:
        with pytest.raises(CaptionerError, match=expected):
            Engine(engine).check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_tells_an_engine_that_is_not_tensorflow() -> None:
    assert Engine().fingerprint("0123") == "0123"
    assert Engine(bfloat16=True).fingerprint("0123") == "0123"
    assert Engine(OPENVINO).fingerprint("0123") == "0123-openvino"


@pytest.mark.parametrize("told", ["all", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_told(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    with pytest.raises(CaptionerError, match=f"TF_NUM_INTRAOP_THREADS: got '{told}', expected"):
        compute_threads()


@pytest.mark.parametrize(("told", "expected"), [("3", 3), ("", None), ("0", None)])
def test_threads_are_as_told_or_one_for_each_core(
    monkeypatch: pytest.MonkeyPatch, told: str, expected: int | None
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    assert compute_threads() == (expected or len(os.sched_getaffinity(0)))
    monkeypatch.delattr(os, "sched_getaffinity")  # not every system has it
    assert compute_threads() == (expected or os.cpu_count())


def test_onnx_runtime_has_no_bfloat16() -> None:
    assert (
        choose_engine(ONNXRUNTIME, OFF) == choose_engine(ONNXRUNTIME, AUTO) == Engine(ONNXRUNTIME)
    )
    with pytest.raises(CaptionerError, match="onnxruntime computes in float32"):
        choose_engine(ONNXRUNTIME, ON)


@pytest.mark.parametrize("cpu", [OLD_CPU, *NEW_CPUS, ""])
def test_bfloat16_is_as_asked_or_where_the_cpu_has_it(cpu: str) -> None:
    assert wants_bfloat16("on", cpu)
    assert not wants_bfloat16("off", cpu)
    assert wants_bfloat16("auto", cpu) == (cpu in NEW_CPUS)


def test_captions_stay_in_bfloat16(bundle_folder: Path) -> None:
    results = Bundle(bundle_folder, Engine(bfloat16=True)).caption(PICTURES)
    expected = Bundle(bundle_folder).caption(PICTURES)
    best = [[result.captions[0].text for result in said] for said in (results, expected)]
    assert best[0] == best[1]


@pytest.mark.parametrize("concepts", [0, 3])
def test_a_bundle_is_cut_with_a_recogniser_and_without(concepts: int) -> None:
    keras.utils.set_random_seed(1)
    model = ModelConfig("cnn", None, embedding_dim=16, hidden_dim=16, heads=2, decoder_layers=1)
    vocabulary = Vocabulary(builders.VOCABULARY)
    ids = tuple(range(4, 4 + concepts))
    captioner = build_captioner(model, ImageConfig(32), len(vocabulary), ids, 8)
    graph = CaptionGraph(captioner, vocabulary, SamplerConfig(), 8, ImageConfig(32))
    spec = tf.TensorSpec([None, 32, 32, 3], tf.uint8)
    signature = tf.function(graph.caption_pixels, input_signature=[spec], autograph=False)
    assert FrozenGraph(signature.get_concrete_function(), bfloat16=False)._looks
