"""Tests of sessions of ONNX models: outputs are those asked for, threads as told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.onnxruntime_session import OnnxRuntimeSession
from model.openvino_session import OpenVinoSession

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")

NO_MEMORY = [
    "Non-zero status code: BFCArena::AllocateRawInternal Failed to allocate memory",
    "Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc",
]


def need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model of pairs: twice each, and its mean."""
    floats = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["pairs", "weights"], ["twice"]),
            onnx.helper.make_node("ReduceMean", ["pairs"], ["mean"], axes=[1], keepdims=0),
        ],
        "graph",
        [floats("pairs", onnx.TensorProto.FLOAT, [None, 2])],
        [
            floats("twice", onnx.TensorProto.FLOAT, [None, 2]),
            floats("mean", onnx.TensorProto.FLOAT, [None]),
        ],
        [onnx.helper.make_tensor("weights", onnx.TensorProto.FLOAT, [2, 2], [2.0, 0, 0, 2.0])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture(params=["onnxruntime", "openvino"])
def session(request: pytest.FixtureRequest, path: Path) -> Any:
    need(request.param)
    if request.param == "openvino":
        return OpenVinoSession(path, 1, bfloat16=False)
    return OnnxRuntimeSession(path, 1)


def test_outputs_are_those_asked_for_in_that_order(session: Any) -> None:
    assert (session.given, session.made) == ("pairs", ("twice", "mean"))
    pairs = np.array([[1, 2], [3, 5]], np.float32)
    for names in (["mean"], ["mean", "twice"], ["twice", "mean"], ["twice"]):
        results = dict(zip(names, session.run(names, pairs), strict=True))
        expected = {"twice": 2 * pairs, "mean": pairs.mean(axis=1)}
        for name, result in results.items():
            np.testing.assert_array_equal(result, expected[name])


@pytest.mark.parametrize("told", NO_MEMORY)
def test_too_little_memory_is_told_as_such(
    session: Any, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """By the words of the engines: a smaller batch may do."""
    kind: type[Exception] = RuntimeError
    if isinstance(session, OnnxRuntimeSession):
        (kind,) = (kind for kind in session._failures if kind.__name__ == "RuntimeException")

    class Full:
        def fail(self, *given: object) -> None:
            raise kind(told)

        run = infer_new_request = fail

    monkeypatch.setattr(session, "_session", Full(), raising=False)
    monkeypatch.setattr(session, "_compile", lambda names: Full(), raising=False)
    with pytest.raises(MemoryError, match=r"Failed to allocate|bad_alloc"):
        session.run(["mean"], np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_it_computes_with_the_threads_it_is_told(path: Path, threads: int) -> None:
    need("onnxruntime")
    options = OnnxRuntimeSession(path, threads)._session.get_session_options()
    assert options.intra_op_num_threads == threads
    need("openvino")
    compiled = OpenVinoSession(path, threads, bfloat16=False)._compile(["mean"])
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    assert compiled.get_property("ENABLE_CPU_PINNING") == (threads == os.cpu_count())


def test_signals_are_handled_where_sessions_came_and_went(path: Path) -> None:
    """Also with Python's faulthandler, which has its handlers run on a stack of their own."""
    need("openvino")
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path

        from model.openvino_session import OpenVinoSession

        def told(*_):
            raise InterruptedError("told")

        sessions = [OpenVinoSession(Path({str(path)!r}), 1, bfloat16=False) for _ in range(3)]
        while sessions:
            del sessions[0]
        signal.signal(signal.SIGUSR1, told)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
        except InterruptedError as error:
            print(error)
    """)
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr[-2000:]
