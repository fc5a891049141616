"""Tests of loops of ONNX graphs: without states that never change they compute the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

from model.onnx_loops import free_invariants  # noqa: E402

FLOAT, INT64, BOOL = (getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "BOOL"))


def floats(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, FLOAT, [2])


def power(results: list[str]) -> onnx.ModelProto:
    """`x * factor + bias`, three times over, in a loop with a weight and an input among its states.

    Args:
        results: of the loop, to return: ``total``, ``weight``, ``shift``.
    """
    make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    inner = onnx.helper.make_graph(
        [make("Mul", ["x_in", "factor_in"], ["chosen"])], "then", [], [floats("chosen")]
    )
    other = onnx.helper.make_graph(
        [make("Identity", ["bias_in"], ["unchosen"])], "else", [], [floats("unchosen")]
    )
    body = onnx.helper.make_graph(
        [
            make("Identity", ["go_in"], ["go_out"]),
            make("If", ["go_in"], ["scaled"], then_branch=inner, else_branch=other),
            make("Add", ["scaled", "bias_in"], ["x_out"]),
            make("Identity", ["factor_in"], ["factor_again"]),
            make("Identity", ["factor_again"], ["factor_out"]),
        ],
        "body",
        [info("number", INT64, []), info("go_in", BOOL, [])]
        + [floats(name) for name in ("factor_in", "x_in", "bias_in")],
        [info("go_out", BOOL, [])] + [floats(name) for name in ("factor_out", "x_out", "bias_in")],
    )
    loop = make(
        "Loop", ["limit", "go", "factor", "x", "bias"], ["weight", "total", "shift"], body=body
    )
    constants = [
        onnx.helper.make_tensor("limit", INT64, [], [3]),
        onnx.helper.make_tensor("go", BOOL, [], [True]),
        onnx.helper.make_tensor("factor", FLOAT, [2], [2.0, 3.0]),
    ]
    use = make("Add", ["total", "shift"], ["sum"])
    graph = onnx.helper.make_graph(
        [loop, use],
        "graph",
        [floats("x"), floats("bias")],
        [floats(name) for name in ["sum", *results]],
        constants,
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    given = {"x": np.array([1, 2], np.float32), "bias": np.array([0.5, -1], np.float32)}
    return session.run(None, given)


def test_loops_may_call_their_own_values_alike() -> None:
    model = power([])
    (loop, use) = model.graph.node
    second = copy.deepcopy(loop)
    second.input[2:] = ["bias", "x", "factor"]
    second.output[:] = ["weight_2", "total_2", "shift_2"]
    use.input[1] = "total_2"
    del model.graph.node[:]
    model.graph.node.extend([loop, second, use])
    freer = copy.deepcopy(model)
    assert free_invariants(freer.graph) == 4
    np.testing.assert_array_equal(run(freer)[0], run(model)[0])


def test_a_state_that_another_takes_over_stays() -> None:
    model = power([])
    (body,) = (attribute.g for attribute in model.graph.node[0].attribute)
    body.output[2].name = "bias_in"  # what x becomes after a pass
    freer = copy.deepcopy(model)
    assert free_invariants(freer.graph) == 1
    np.testing.assert_array_equal(run(freer)[0], run(model)[0])


@pytest.mark.parametrize(
    ("results", "freed"), [([], 2), (["total"], 2), (["weight"], 1), (["weight", "shift"], 0)]
)
def test_states_that_never_change_are_none(results: list[str], freed: int) -> None:
    model = power(results)
    freer = copy.deepcopy(model)
    assert free_invariants(freer.graph) == freed
    (loop, *_) = freer.graph.node
    assert len(loop.output) == 3 - freed
    for found, expected in zip(run(freer), run(model), strict=True):
        np.testing.assert_array_equal(found, expected)
    x, bias, factor = np.array([1, 2]), np.array([0.5, -1]), np.array([2, 3])
    total = x * factor**3 + bias * (factor**2 + factor + 1)
    np.testing.assert_allclose(run(freer)[0], total + bias)
    assert free_invariants(freer.graph) == 0
