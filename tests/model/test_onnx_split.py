"""Tests of ONNX graphs cut into stages: what a subgraph reads of the graph around it counts."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from model.onnx_split import split  # noqa: E402


def network(read: str) -> onnx.ModelProto:
    """Pictures to a quarter of their sides, to an eighth, and, of that or of `read`, two sums.

    Args:
        read: what the other branch of a choice sums up: `images`, `quarter` or `eighth`.
    """
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 17]>
        graph (float[N, 16, 16, 3] images) => (float[N] first, float[N] second)
        <float[2, 3, 1, 1] narrow, float[4, 2, 1, 1] wide, bool[1] choice = {{1}},
         int64[3] axes = {{1, 2, 3}}>
        {{
            turned = Transpose <perm = [0, 3, 1, 2]> (images)
            quarter = Conv <strides = [4, 4]> (turned, narrow)
            eighth = Conv <strides = [2, 2]> (quarter, wide)
            first = ReduceSum <keepdims = 0> (eighth, axes)
            second = If (choice) <
                then_branch = then () => (float[N] other) {{
                    other = ReduceSum <keepdims = 0> ({read}, axes)
                }},
                else_branch = else () => (float[N] same) {{
                    same = Identity (first)
                }}
            >
        }}
    """)
    rng = np.random.default_rng(1)
    for name, shape in (("narrow", (2, 3, 1, 1)), ("wide", (4, 2, 1, 1))):
        weights = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize(
    ("read", "ends", "rounded"),
    [
        ("eighth", ["quarter", "eighth"], [False, True, True]),
        # Not all that comes later follows from the eighth alone.
        ("quarter", ["quarter"], [False, True]),
        ("images", [], [False]),
    ],
)
def test_stages_make_what_the_whole_makes(read: str, ends: list[str], rounded: list[bool]) -> None:
    model = network(read)
    stages = split(model)
    assert [rounds for _, rounds in stages] == rounded
    pictures = np.random.default_rng(2).normal(size=(3, 16, 16, 3)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"images": pictures})
    results, given = [pictures], "images"
    for (part, _), end in zip(stages, [*ends, None], strict=True):
        onnx.checker.check_model(part, full_check=True)
        assert [value.name for value in part.graph.input] == [given]
        results = ReferenceEvaluator(part).run(None, {given: results[0]})
        given = end
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-5)


def test_each_stage_has_its_own_weights_alone() -> None:
    held = [{c.name for c in part.graph.initializer} for part, _ in split(network("eighth"))]
    assert held == [{"narrow"}, {"wide"}, {"axes", "choice"}]
