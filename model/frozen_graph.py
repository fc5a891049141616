"""A signature of a bundle with its weights as constants, computed by TensorFlow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from model.cuts import OUTPUT, Cuts, Operation, Tensor, find_cuts, look
from model.engine import compute_threads

# What a convolution's input is read by: it, or what adds a border for it.
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "Pad", "PadV2")


class FrozenGraph:
    """Computes a signature of one input, its variables folded in as constants.

    TensorFlow can then lay weights out for the CPU once, and fold what follows from them.

    Args:
        signature: of a loaded SavedModel.
        bfloat16: whether to compute in bfloat16: of pictures all but the first stage (see
            `model.cuts`), of anything else everything.

    Raises:
        CaptionerError: if the environment tells something else than a number of threads.
    """

    def __init__(self, signature: Any, bfloat16: bool) -> None:
        frozen, graph = _freeze(signature), tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(frozen, name="")
        # Of its inputs all but the first are variables.
        names = [tensor.name for tensor in (signature.inputs[0], *signature.outputs)]
        given, *results = [graph.get_tensor_by_name(name) for name in names]
        self._names = sorted(signature.structured_outputs)
        self._looks = []
        for name, rounded in _find_cuts(given, results).stages():
            end = graph.get_tensor_by_name(name)
            self._looks.append(_stage(given, end, rounded and bfloat16))
            given = end
        sees_pictures = given.shape.rank == 4 and not self._looks
        self._rest = _stage(given, results, bfloat16 and not sees_pictures)
        told = tf.config.threading.get_intra_op_parallelism_threads()
        self._threads = told or compute_threads()

    def __call__(self, given: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name, of the input; any thread may call it at any time.

        Raises:
            tf.errors.OpError: if an operation fails.
        """
        seen = look(self._looks, given, self._threads)
        return dict(zip(self._names, self._rest(seen), strict=True))


def _freeze(signature: Any) -> Any:
    """The graph of `signature` without functions or variables, a `GraphDef`.

    As by `convert_variables_to_constants_v2`, which then makes a function of the graph again: that
    takes seconds, three times as long as all before.
    """
    data = convert_to_constants._FunctionConverterDataInEager(
        signature, lower_control_flow=True, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(data)
    return graph


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


def _find_cuts(given: tf.Tensor, results: Sequence[tf.Tensor]) -> Cuts:
    """Where to cut the graph from pictures `given [B, H, W, 3]`; nowhere if they are none.

    Nor on a GPU, which has no need of it.
    """
    if given.shape.rank != 4 or tf.config.list_physical_devices("GPU"):
        return Cuts(None, None)
    wanted = {tensor.name for tensor in results}
    operations = _operations(given.graph, wanted)
    return find_cuts(_tensor(given, wanted), tuple(given.shape[1:3]), operations)


def _operations(graph: tf.Graph, wanted: set[str]) -> Iterator[Operation]:
    for operation in graph.get_operations():
        reads = frozenset(tensor.name for tensor in operation.inputs)
        makes = tuple(_tensor(tensor, wanted) for tensor in operation.outputs)
        yield Operation(operation.name, reads, makes)


def _tensor(tensor: tf.Tensor, wanted: set[str]) -> Tensor:
    readers = tensor.consumers()
    size = None
    if tensor.shape.rank == 4 and any(reader.type in _CONVOLUTIONS for reader in readers):
        size = tuple(tensor.shape[1:]) if tensor.shape[1:].is_fully_defined() else None
    names = {reader.name for reader in readers} | ({OUTPUT} if tensor.name in wanted else set())
    return Tensor(tensor.name, frozenset(names), size)
