"""A caption graph as ONNX files: everything from pixels to token ids, the search included."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from tf2onnx.handler import tf_op

from model.caption_graph import CaptionGraph
from model.engine import ENCODER_FILE, ONNX_FILE, STEM_FILE, Engine, compute_threads
from model.errors import CaptionerError
from model.onnx_graph import IMAGES, SCORES, TAG_SCORES, OnnxGraph
from model.onnx_layout import put_channels_first
from model.onnx_loops import free_invariants
from model.onnx_split import split

_OPSET = 17
# Of a score in nats or of a probability: rounding is a thousandth of it.
_TOLERANCE = 1e-2


@tf_op("Erfc")
class _Erfc:
    """The one operation of these graphs that tf2onnx does not know: 1 - erf(x)."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        (x,), (result,) = node.input, node.output
        shape, dtype = ctx.get_shape(result), ctx.get_dtype(result)
        ctx.remove_node(node.name)
        one = ctx.make_const(f"{node.name}_one", np.ones((), np.float32))
        erf = ctx.make_node("Erf", [x])
        ctx.make_node(
            "Sub", [one.output[0], erf.output[0]], outputs=[result], shapes=[shape], dtypes=[dtype]
        )


def write_onnx(graph: CaptionGraph, folder: Path, engine: str) -> None:
    """Writes what `graph.spell_pixels` computes, and checks that it scores pictures alike.

    Args:
        graph: of the captioner.
        folder: of the files.
        engine: what is to compute them here; any engine can that has their operations.

    Raises:
        CaptionerError: if the model cannot be converted, the engine cannot compute it, or computes
            something else.
    """
    size_px = graph.size_px
    spec = tf.TensorSpec([None, size_px, size_px, 3], tf.uint8, IMAGES)
    function = tf.function(graph.spell_pixels, input_signature=[spec], autograph=False)
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it cannot convert is told below
    pictures = np.random.default_rng(1).integers(0, 256, (3, size_px, size_px, 3), np.uint8)
    with tf.device("CPU:0"):  # a GPU's matrix products may round to ten bits
        expected = {name: told.numpy() for name, told in function(pictures).items()}
    compute_threads()  # else what the environment tells wrongly would be the model's fault
    with _refused(engine):
        parts = _convert(function, spec)
    for name, part in parts.items():
        onnx.save(part, folder / name)
    with _refused(engine):
        found = OnnxGraph(folder, Engine(engine)).run(list(expected), pictures)
    told = dict(zip(expected, found, strict=True))
    for name in {SCORES, TAG_SCORES} & set(expected):
        far = float(np.abs(told[name] - expected[name]).max())
        if not far < _TOLERANCE:
            raise CaptionerError(
                f"--engine {engine}: {name} of {len(pictures)} pictures differ from "
                f"TensorFlow's by up to {far:.3g}, expected below {_TOLERANCE}; export the model "
                "without --engine, or with another sampler"
            )


@contextlib.contextmanager
def _refused(engine: str) -> Iterator[None]:
    """Tells what cannot be converted or computed."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # the converter has as many as there are operations
        raise CaptionerError(
            f"--engine {engine} cannot compute this model: {type(error).__name__}: {error}; "
            "export it without --engine, or with another sampler"
        ) from error


def _convert(function: Any, spec: tf.TensorSpec) -> dict[str, onnx.ModelProto]:
    """A function of one input as ONNX models by the names of their files."""
    model, _ = tf2onnx.convert.from_function(function, [spec], opset=_OPSET)
    _hold_constants(model.graph, function.get_concrete_function(spec))
    free_invariants(model.graph)
    put_channels_first(model.graph)
    *looks, (rest, _) = split(model)
    files = {ENCODER_FILE if rounded else STEM_FILE: part for part, rounded in looks}
    return {**files, ONNX_FILE: rest}


def _hold_constants(graph: onnx.GraphProto, function: Any) -> None:
    """Puts into the graph what the function holds beside its variables.

    The mean and the variance of an EfficientNet's `Normalization` are such tensors. To the
    converter they are inputs, like the pictures.
    """
    held = {inner.name: outer for outer, inner in function.graph.captures}
    for value in [value for value in graph.input if value.name in held]:
        graph.initializer.append(onnx.numpy_helper.from_array(held[value.name].numpy(), value.name))
        graph.input.remove(value)
