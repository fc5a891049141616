"""A signature of a bundle with its weights as constants, in float32 or most of it in bfloat16.

In bfloat16 a number has eight bits. What an image encoder's first layers round off goes through all
later ones: of MobileNetV2 the features end up a quarter noise, and captions are worse for it. Kept
in float32 while the picture is large, a fifteenth is noise, which changes words, but makes captions
no worse; what comes after takes most of the time (docs/results.md).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

# A picture is small once its sides are a quarter of what they were.
_SMALLER = 4
# What a convolution's input is read by: it, or what adds a border for it.
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "Pad", "PadV2")


class FrozenGraph:
    """Computes a signature of one input, its variables folded in as constants.

    TensorFlow can then lay weights out for the CPU once, and fold what follows from them.

    Args:
        signature: of a loaded SavedModel.
        bfloat16: whether to compute in bfloat16 what gets no worse by it: of pictures all from
            where they are small, of anything else everything.
    """

    def __init__(self, signature: Any, bfloat16: bool) -> None:
        frozen = convert_variables_to_constants_v2(signature)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        names = [tensor.name for tensor in (*frozen.inputs, *frozen.outputs)]
        given, *results = [graph.get_tensor_by_name(name) for name in names]
        self._names = sorted(signature.structured_outputs)
        small = find_small(given, results) if bfloat16 else None
        self._begin = None if small is None else _stage(given, small, bfloat16=False)
        self._end = _stage(given if small is None else small, results, bfloat16)

    def __call__(self, given: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name, of the input; any thread may call it at any time.

        Raises:
            tf.errors.OpError: if an operation fails.
        """
        seen = given if self._begin is None else self._begin(given)
        return dict(zip(self._names, self._end(seen), strict=True))


def _stage(given: tf.Tensor, wanted: Any, bfloat16: bool) -> Callable[[np.ndarray], Any]:
    """Computes `wanted` from `given`, tensors of one graph.

    In a session, of which each has its own choice of precision: that of `tf.config` is the whole
    process's.
    """
    threading = tf.config.threading
    config = tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        intra_op_parallelism_threads=threading.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=threading.get_inter_op_parallelism_threads(),
    )
    rewrites = config.graph_options.rewrite_options
    rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON if bfloat16 else rewrites.OFF
    session = tf.compat.v1.Session(graph=given.graph, config=config)
    return session.make_callable(wanted, feed_list=[given])


def find_small(pictures: tf.Tensor, results: Sequence[tf.Tensor]) -> tf.Tensor | None:
    """Where computation may go over to another precision, pictures being small by then.

    Args:
        pictures: `[B, H, W, 3]`.
        results: what is computed from them.

    Returns:
        the input of a convolution, `[B, h, w, C]` with h and w at most a quarter of H and W, from
        which alone all follows that comes later: of the largest such the first of fewest channels;
        None if there is none.
    """
    found = None
    for tensor in _waists(pictures, results):
        if not _is_small(tensor, pictures):
            continue
        if found is not None and tensor.shape[1:3] != found.shape[1:3]:
            break
        if found is None or tensor.shape[3] < found.shape[3]:
            found = tensor
    return found


def _waists(given: tf.Tensor, results: Sequence[tf.Tensor]) -> Iterator[tf.Tensor]:
    """Tensors, in order, each of which holds all of `given` that is needed from there on."""
    wanted = {tensor.ref() for tensor in results}
    # Tensors that follow from it, with those that have yet to read them.
    unread = {given.ref(): _readers(given)}
    for operation in given.graph.get_operations():
        read = {tensor.ref() for tensor in operation.inputs} & unread.keys()
        if not read:
            continue
        for tensor in read:
            unread[tensor].remove(operation.name)
        unread |= {made.ref(): _readers(made) for made in operation.outputs}
        unread = {made: by for made, by in unread.items() if by or made in wanted}
        if len(unread) == 1:
            yield from (tensor.deref() for tensor in unread)


def _readers(tensor: tf.Tensor) -> set[str]:
    return {operation.name for operation in tensor.consumers()}


def _is_small(tensor: tf.Tensor, pictures: tf.Tensor) -> bool:
    """Whether convolutions go on from `tensor`, and are quick to."""
    if tensor.shape.rank != 4 or not tensor.shape[1:].is_fully_defined():
        return False
    if not any(operation.type in _CONVOLUTIONS for operation in tensor.consumers()):
        return False
    sides = zip(tensor.shape[1:3], pictures.shape[1:3], strict=True)
    return all(_SMALLER * small <= whole for small, whole in sides)
