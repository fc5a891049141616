"""Tests of what computes a bundle: OpenVINO says what TensorFlow says, and bfloat16 where asked."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from builders import PICTURES, assert_alike, strided_network

import model.bundle
from model.bundle import Bundle, compute_threads
from model.config import SamplerConfig
from model.engine import Engine, read_cpu_info, wants_bfloat16
from model.errors import CaptionerError
from model.export import export
from model.loading import load_model
from model.openvino_encoder import _find_small, import_openvino, load_encoder
from model.run_folder import restore_captioner

OLD_CPU = "processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: fpu avx2 fma avx512_bf16x\n"
NEW_CPUS = [f"flags\t\t: fpu avx2 {flag} fma\n" for flag in ("avx512_bf16", "amx_bf16")]


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture(scope="session")
def installed() -> None:
    # Not imported: how the project imports it decides whom it reports to.
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the package openvino is not installed")


@pytest.fixture(scope="module")
def openvino_bundle(
    installed: None, trained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The bundle of `trained_run` with what OpenVINO needs; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("openvino") / "bundle"
    export(trained_run, folder, SamplerConfig(), "openvino")
    return folder


@pytest.mark.parametrize("count", [6, 1])
def test_openvino_says_what_tensorflow_says(
    openvino_bundle: Path, bundle_folder: Path, count: int
) -> None:
    pictures = PICTURES[-count:]
    results = Bundle(openvino_bundle, Engine("openvino")).caption(pictures)
    assert_alike(results, Bundle(bundle_folder).caption(pictures), atol=1e-3)
    assert len({result.captions[0].text for result in results}) == min(count, 4)


def test_evaluation_is_by_the_engine_asked_for(
    openvino_bundle: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(folder: Path, bfloat16: bool, threads: int) -> Callable[[np.ndarray], np.ndarray]:
        loaded.append((folder, bfloat16))
        return load_encoder(folder, bfloat16, threads)

    monkeypatch.setattr(model.bundle, "load_encoder", load)
    by_openvino = load_model(openvino_bundle, SamplerConfig(), Engine("openvino"))
    assert loaded == [(openvino_bundle, False)]
    expected = load_model(trained_run, SamplerConfig()).caption(PICTURES)
    assert_alike(by_openvino.caption(PICTURES), expected, atol=1e-3)


def test_the_encoder_by_openvino_is_the_runs(openvino_bundle: Path, trained_run: Path) -> None:
    grid = load_encoder(openvino_bundle, bfloat16=False, threads=1)(PICTURES)
    expected = np.asarray(restore_captioner(trained_run)[0].encode(PICTURES))
    np.testing.assert_allclose(grid, expected, atol=1e-4)


def test_threads_may_encode_at_the_same_time(openvino_bundle: Path) -> None:
    encode = load_encoder(openvino_bundle, bfloat16=False, threads=2)
    batches = [PICTURES[i : i + 3] for i in range(4)] * 5
    expected = [encode(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encode, batches))
    for grid, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(grid, other, atol=1e-5)


def test_a_bundle_made_for_openvino_needs_none(
    openvino_bundle: Path, bundle_folder: Path, without_openvino: None
) -> None:
    expected = Bundle(bundle_folder)
    bundle = Bundle(openvino_bundle)
    assert bundle.config == expected.config
    assert_alike(bundle.caption(PICTURES), expected.caption(PICTURES), atol=1e-4)


def test_exporting_for_openvino_reports_to_nobody(openvino_bundle: Path) -> None:
    converter = sys.modules["openvino.tools.ovc.convert_impl"]
    assert converter.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_a_bundle_that_was_not_made_for_openvino_is_refused(
    installed: None, bundle_folder: Path
) -> None:
    expected = r"has no encoder\.xml and no encoder\.bin; .* captioner export --engine openvino"
    with pytest.raises(CaptionerError, match=expected):
        Bundle(bundle_folder, Engine("openvino"))


def test_openvino_that_is_not_installed_is_named(
    bundle_folder: Path, trained_run: Path, tmp_path: Path, without_openvino: None
) -> None:
    expected = r"openvino is not installed; run pip install 'captioner\[openvino\]'"
    with pytest.raises(CaptionerError, match=expected):
        Bundle(bundle_folder, Engine("openvino"))
    with pytest.raises(CaptionerError, match=expected):
        export(trained_run, tmp_path / "bundle", SamplerConfig(), "openvino")
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_tells_an_engine_that_is_not_tensorflow() -> None:
    assert Engine().fingerprint("0123") == "0123"
    assert Engine(bfloat16=True).fingerprint("0123") == "0123"
    assert Engine("openvino").fingerprint("0123") == "0123-openvino"


@pytest.mark.parametrize("told", ["all", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_told(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    with pytest.raises(CaptionerError, match=f"TF_NUM_INTRAOP_THREADS: got '{told}', expected"):
        compute_threads()


def test_threads_are_those_that_tensorflow_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
    assert compute_threads() == 0
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    assert compute_threads() == 0
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert compute_threads() == 3


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


@pytest.fixture(scope="module")
def strided(installed: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a network as a bundle has its encoder for OpenVINO, and the network."""
    network = strided_network(64)
    images = keras.Input((64, 64, 3), dtype="uint8", name="images")
    encoder = keras.Model(images, network(keras.ops.cast(images, "float32") / 127.5 - 1))
    folder = tmp_path_factory.mktemp("strided")
    import_openvino()
    encoder.export(str(folder / "encoder.xml"), format="openvino", verbose=False)
    return folder, encoder


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-4), (True, 0.1)])
def test_openvino_encodes_in_either_precision(
    strided: tuple[Path, Any], bfloat16: bool, tolerance: float
) -> None:
    folder, encoder = strided
    pictures = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    grid, expected = load_encoder(folder, bfloat16, 1)(pictures), np.asarray(encoder(pictures))
    assert grid.shape == expected.shape
    assert np.linalg.norm(grid - expected) / np.linalg.norm(expected) < tolerance
    if bfloat16 and wants_bfloat16("auto", read_cpu_info()):
        assert (grid != load_encoder(folder, False, 1)(pictures)).any()


def test_to_openvino_pictures_are_small_where_they_are_to_tensorflow(
    strided: tuple[Path, Any],
) -> None:
    folder, _ = strided
    small = _find_small(import_openvino().Core().read_model(str(folder / "encoder.xml")))
    assert small.get_partial_shape().to_string() == "[?,8,16,16]"
