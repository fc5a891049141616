"""Tests of the layout of pictures: transposed first, they become the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from model.onnx_layout import put_channels_first  # noqa: E402

SCALED = """
    floats = Cast <to = 1> (images)
    scaled = Mul (floats, scale)
    shifted = Sub (shift, scaled)
    seen = Transpose <perm = [0, 3, 1, 2]> (shifted)
"""


def network(body: str, last: str = "seen", shape: str = "N, 3, 8, 4") -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 17]>
        graph (uint8[N, 8, 4, 3] images) => (float[{shape}] {last})
        <float scale = {{0.5}}, float[1] shift = {{3.0}}, float[3] means = {{1.0, 2.0, 3.0}}>
        {{ {body} }}
    """)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto) -> np.ndarray:
    pictures = np.random.default_rng(1).integers(0, 256, (2, 8, 4, 3), np.uint8)
    (result,) = ReferenceEvaluator(model).run(None, {"images": pictures})
    return result


def test_what_is_transposed_after_it_is_scaled_is_transposed_before() -> None:
    model = network(SCALED)
    turned = copy.deepcopy(model)
    assert put_channels_first(turned.graph)
    onnx.checker.check_model(turned, full_check=True)
    kinds = [node.op_type for node in turned.graph.node]
    assert kinds == ["Transpose", "Cast", "Mul", "Sub"]
    np.testing.assert_array_equal(run(turned), run(model))
    assert not put_channels_first(turned.graph)  # it is already


TURN = "Transpose <perm = [0, 3, 1, 2]>"


@pytest.mark.parametrize(
    "model",
    [
        network(SCALED.replace("shift,", "means,")),  # a number for each channel
        network(f"{SCALED} again = {TURN} (scaled) both = Add (seen, again)", "both"),
        network(SCALED.replace(f"seen = {TURN} (shifted)", ""), "shifted", "N, 8, 4, 3"),
        network(SCALED, "shifted", "N, 8, 4, 3"),  # a result keeps its layout
        network(f"turned = {TURN} (images) seen = Cast <to = 1> (turned)"),
    ],
)
def test_nothing_else_changes(model: onnx.ModelProto) -> None:
    before = copy.deepcopy(model)
    assert not put_channels_first(model.graph)
    assert model == before
