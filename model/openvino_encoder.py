"""The image encoder of a bundle, computed by OpenVINO."""

import importlib
import sys
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from model.engine import ENCODER_FILES
from model.precision import Operation, Tensor, find_small

Encode = Callable[[np.ndarray], np.ndarray]
# Their inputs are `[B, C, h, w]`.
_CONVOLUTIONS = ("Convolution", "GroupConvolution", "Pad")


def import_openvino() -> ModuleType:
    """OpenVINO, without the reports of its use that its converter would send over the network."""
    # To OpenVINO the package that sends them, which it can do without, is not installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def load_encoder(bundle: Path, bfloat16: bool, threads: int) -> Encode:
    """The image encoder of `bundle`.

    Args:
        bundle: that `Engine.check` found complete.
        bfloat16: whether to compute in bfloat16 from where pictures are small (`model.precision`).
        threads: to compute with; 0 for OpenVINO's own choice, all of the CPU.

    Returns:
        `uint8[B, H, W, 3]` to grids `float32[B, P, C]`; any thread may call it at any time.
    """
    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(str(bundle / ENCODER_FILES[0]))

    def stage(part: Any, bfloat16: bool) -> Encode:
        settings = {
            # OpenVINO's own choice would follow the CPU.
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = core.compile_model(part, "CPU", settings)
        return lambda given: compiled.infer_new_request([given])[0]

    small = _find_small(model) if bfloat16 else None
    if small is None:
        return stage(model, bfloat16)
    begin, end = (stage(part, rounded) for part, rounded in _split(openvino, model, small))
    return lambda images: end(begin(images))


def _split(openvino: ModuleType, model: Any, small: Any) -> list[tuple[Any, bool]]:
    """`model` up to its output `small` of an operation, and from there on, which may be rounded."""
    readers = small.get_target_inputs()
    begin = openvino.Model([small], model.get_parameters())
    given = openvino.opset13.parameter(small.get_partial_shape(), small.get_element_type())
    for reader in readers:
        reader.replace_source_output(given.output(0))
    return [(begin, False), (openvino.Model(model.get_results(), [given]), True)]


def _find_small(model: Any) -> Any | None:
    """The output of an operation from which on pictures are small."""
    (images,) = model.inputs
    _, height_px, width_px, _ = images.get_partial_shape()
    outputs = {_key(o): o for operation in model.get_ops() for o in operation.outputs()}
    pictures = _tensor(images.get_node().output(0))
    sides_px = (height_px.get_length(), width_px.get_length())
    key = find_small(pictures, sides_px, _operations(model))
    return None if key is None else outputs[key]


def _operations(model: Any) -> Iterator[Operation]:
    for operation in model.get_ordered_ops():
        reads = frozenset(_key(read.get_source_output()) for read in operation.inputs())
        yield Operation(operation.get_name(), reads, tuple(map(_tensor, operation.outputs())))


def _key(output: Any) -> Hashable:
    return output.get_node().get_name(), output.get_index()


def _tensor(output: Any) -> Tensor:
    readers = [read.get_node() for read in output.get_target_inputs()]
    size = None
    if any(reader.get_type_name() in _CONVOLUTIONS for reader in readers):
        _, channels, *sides = output.get_partial_shape()
        if len(sides) == 2 and all(side.is_static for side in (channels, *sides)):
            height, width, channels = (side.get_length() for side in (*sides, channels))
            size = (height, width, channels)
    return Tensor(_key(output), frozenset(reader.get_name() for reader in readers), size)
