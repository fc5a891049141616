"""ONNX models computed by ONNX Runtime."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle_folder import ModelError
from model.errors import CaptionerError

# What ONNX Runtime says where an operation finds no memory.
_NO_MEMORY = ("bad allocation", "bad_alloc", "Failed to allocate")


class OnnxRuntimeSession:
    """A model in memory; any thread may run it at any time.

    Args:
        path: of the model.
        threads: to compute with.

    Attributes:
        given: the name of the model's only input.
        made: names of its outputs.

    Raises:
        CaptionerError: if it cannot be loaded.
    """

    def __init__(self, path: Path, threads: int) -> None:
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        # Not its own choice, which ties each thread to a core, the same ones in every process.
        options.intra_op_num_threads = threads
        # Nor do they spin when it has run: the next stage of a graph, a session of its own, would
        # get half the time of their cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 4  # what goes wrong is raised
        self._failures = _failures()
        providers = ["CPUExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except self._failures as error:
            told = " ".join(str(error).split())
            raise CaptionerError(f"{path} cannot be loaded: {told}; export it again") from error
        self.given: str = self._session.get_inputs()[0].name
        self.made = tuple(output.name for output in self._session.get_outputs())

    def run(self, names: Sequence[str], given: np.ndarray) -> list[np.ndarray]:
        """The outputs `names`.

        Raises:
            ModelError: if an operation fails.
            MemoryError: if it finds no memory.
        """
        try:
            return self._session.run(names, {self.given: given})
        except self._failures as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise ModelError(f"{type(error).__name__}: {error}") from error


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: exceptions of its own, without a common class."""
    state: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = (getattr(state, name) for name in dir(state))
    return tuple(k for k in kinds if isinstance(k, type) and issubclass(k, Exception))
