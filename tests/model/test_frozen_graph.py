"""Tests of frozen graphs: they compute what the signature does, in either precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from builders import strided_network

from model import frozen_graph
from model.cuts import Cuts
from model.engine import AUTO, read_cpu_info, wants_bfloat16
from model.frozen_graph import FrozenGraph, _find_cuts

SIZE_PX = 64
PICTURES = np.random.default_rng(1).integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return strided_network(SIZE_PX)


def signature_of(call: Callable, shape: list[int | None], dtype: Any) -> Any:
    """The signature of a SavedModel that was just loaded."""
    spec = tf.TensorSpec(shape, dtype, "given")
    return tf.function(call, input_signature=[spec]).get_concrete_function()


@pytest.fixture(scope="module")
def signature(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def encode(given: tf.Tensor) -> dict[str, tf.Tensor]:
        grid = network(tf.cast(given, tf.float32) / 127.5 - 1)
        return {"grid": grid, "brightest": tf.reduce_max(grid, axis=[1, 2, 3])}

    archive = keras.export.ExportArchive()
    archive.track(network)
    shape = [None, SIZE_PX, SIZE_PX, 3]
    archive.add_endpoint("encode", encode, [tf.TensorSpec(shape, tf.uint8, "given")])
    folder = Path(tmp_path_factory.mktemp("frozen")) / "saved"
    archive.write_out(str(folder), verbose=False)
    loaded = tf.saved_model.load(str(folder))
    loaded.signatures["encode"].keep = loaded  # it owns the variables
    return loaded.signatures["encode"]


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-4), (True, 0.1)])
@pytest.mark.parametrize("count", [3, 1])
def test_what_is_frozen_computes_the_same(
    signature: Any, network: keras.Model, bfloat16: bool, tolerance: float, count: int
) -> None:
    pictures = PICTURES[:count]
    outputs = FrozenGraph(signature, bfloat16)(pictures)
    expected = np.asarray(network(pictures.astype("float32") / 127.5 - 1))
    assert outputs["grid"].shape == expected.shape
    far = np.linalg.norm(outputs["grid"] - expected) / np.linalg.norm(expected)
    assert far < tolerance
    np.testing.assert_array_equal(outputs["brightest"], outputs["grid"].max(axis=(1, 2, 3)))


def test_pictures_are_small_after_the_first_narrow_layer_of_a_quarter(signature: Any) -> None:
    frozen = FrozenGraph(signature, bfloat16=True)
    stem, encoder = frozen._looks
    assert stem(PICTURES).shape == (3, SIZE_PX // 4, SIZE_PX // 4, 8)
    assert encoder(stem(PICTURES)).shape == (3, SIZE_PX // 8, SIZE_PX // 8, 24)


def test_one_thread_computes_the_same(signature: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.concatenate([PICTURES, PICTURES[::-1], PICTURES])
    expected = FrozenGraph(signature, bfloat16=False)(pictures)["grid"]
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 1)
    alone = FrozenGraph(signature, bfloat16=False)
    assert alone._threads == 1
    np.testing.assert_allclose(alone(pictures)["grid"], expected, atol=1e-5)


def test_what_is_no_picture_has_no_place_to_go_over() -> None:
    function = signature_of(lambda given: {"twice": 2 * given}, [None, 4, 8], tf.float32)
    assert _find_cuts(function.inputs[0], function.outputs) == Cuts(None, None)
    frozen = FrozenGraph(function, bfloat16=True)
    np.testing.assert_array_equal(frozen(np.ones((2, 4, 8), np.float32))["twice"], 2)


def test_a_result_that_needs_the_picture_keeps_it_from_being_small() -> None:
    kernel = tf.ones([3, 3, 3, 2])

    def strided(given: tf.Tensor) -> tf.Tensor:
        once = tf.nn.conv2d(given, kernel, 4, "SAME")
        return tf.nn.conv2d(once, tf.ones([3, 3, 2, 2]), 1, "SAME")

    shape = [None, 8, 8, 3]
    alone = signature_of(lambda given: {"out": strided(given)}, shape, tf.float32)
    assert _find_cuts(alone.inputs[0], alone.outputs).small is not None

    def summed(given: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"out": strided(given) + tf.reduce_sum(given, axis=[1, 2, 3], keepdims=True)}

    both = signature_of(summed, shape, tf.float32)
    assert _find_cuts(both.inputs[0], both.outputs).small is None
    pictures = np.ones((2, 8, 8, 3), np.float32)
    expected = both(tf.constant(pictures))["out"]
    np.testing.assert_allclose(FrozenGraph(both, True)(pictures)["out"], expected, rtol=0.02)


def test_without_a_cut_nothing_is_rounded(signature: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_graph, "_find_cuts", lambda *_: Cuts(None, None))
    rough, exact = (
        FrozenGraph(signature, bfloat16)(PICTURES)["grid"] for bfloat16 in (True, False)
    )
    np.testing.assert_array_equal(rough, exact)


def test_each_has_its_own_precision(signature: Any) -> None:
    rough, exact = FrozenGraph(signature, True), FrozenGraph(signature, False)
    before = exact(PICTURES)["grid"]
    # Else a bfloat16 that nobody computes in would pass all that is asked of it here.
    differs = bool((rough(PICTURES)["grid"] != before).any())
    assert differs or not wants_bfloat16(AUTO, read_cpu_info())
    np.testing.assert_array_equal(exact(PICTURES)["grid"], before)
    np.testing.assert_array_equal(rough._looks[0](PICTURES), exact._looks[0](PICTURES))
    options = tf.config.optimizer.get_experimental_options()
    assert not options.get("auto_mixed_precision_onednn_bfloat16")
