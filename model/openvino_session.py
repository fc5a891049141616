"""ONNX models computed by OpenVINO."""

import functools
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from model.bundle_folder import ModelError
from model.errors import CaptionerError

# What OpenVINO says where there is no memory.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "could not allocate")


class OpenVinoSession:
    """A model in memory; any thread may run it at any time.

    Args:
        path: of the model.
        threads: to compute with.
        bfloat16: whether to compute in bfloat16.

    Attributes:
        given: the name of the model's only input.
        made: names of its outputs.

    Raises:
        CaptionerError: if it cannot be loaded.
    """

    def __init__(self, path: Path, threads: int, bfloat16: bool) -> None:
        self._core = _core()
        self._settings = {
            # OpenVINO's own choice would follow the CPU.
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            # Tying threads to cores helps who has them all; several processes would share a few.
            "ENABLE_CPU_PINNING": threads == os.cpu_count(),
        }
        try:
            self._model = self._core.read_model(path)
            compiled = self._core.compile_model(self._model, "CPU", self._settings)
        except RuntimeError as error:
            told = " ".join(str(error).split())
            raise CaptionerError(f"{path} cannot be loaded: {told}; export it again") from error
        self.given: str = self._model.inputs[0].get_any_name()
        self.made = tuple(output.get_any_name() for output in self._model.outputs)
        self._lock = threading.Lock()
        self._compiled = {frozenset(self.made): compiled}

    def run(self, names: Sequence[str], given: np.ndarray) -> list[np.ndarray]:
        """The outputs `names`.

        Raises:
            ModelError: if an operation fails.
            MemoryError: if it finds no memory.
        """
        try:
            results = self._compile(names).infer_new_request([given])
        except RuntimeError as error:
            told = " ".join(str(error).split())
            if any(sign in told for sign in _NO_MEMORY):
                raise MemoryError(told) from error
            raise ModelError(f"{type(error).__name__}: {told}") from error
        return [results[name] for name in names]

    def _compile(self, names: Sequence[str]) -> Any:
        """What makes the outputs `names` alone: some need little of the model."""
        wanted = frozenset(names)
        with self._lock:
            if wanted not in self._compiled:
                part = self._model.clone()
                for output in part.outputs:
                    if output.get_any_name() not in wanted:
                        part.remove_result(output.get_node())
                self._compiled[wanted] = self._core.compile_model(part, "CPU", self._settings)
            return self._compiled[wanted]


@functools.cache
def _core() -> Any:
    """What loads and compiles models: one for the whole process, and never let go.

    Each has a stack of its own for the signals of the thread that makes it. When one of several
    goes, its stack goes with it, in use or not, and the next signal would end the process.
    """
    return import_openvino().Core()


def import_openvino() -> ModuleType:
    """OpenVINO, without the reports of its use that its tools would send over the network."""
    # To OpenVINO the package that sends them, which it can do without, is not installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")
