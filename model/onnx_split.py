"""ONNX graphs cut into their stages."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import onnx

from model.cuts import OUTPUT, Operation, Tensor, find_cuts
from model.onnx_loops import subgraphs

# Their inputs are `[B, C, H, W]`.
_CONVOLUTIONS = ("Conv", "Pad")


def split(model: onnx.ModelProto) -> list[tuple[onnx.ModelProto, bool]]:
    """The stages of a model of pictures `[B, H, W, 3]`: each takes what the one before makes.

    Returns:
        models, and whether each may be rounded; the last of them makes the outputs.
    """
    known = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name: value for value in (*known.input, *known.value_info, *known.output)}
    (given,) = model.graph.input
    _, height_px, width_px, _ = _shape(given)
    tensors = _tensors(model.graph, values)
    operations = (
        Operation(_name(node), frozenset(reads_of(node)), tuple(tensors[n] for n in _makes(node)))
        for node in model.graph.node
    )
    cuts = find_cuts(tensors[given.name], (height_px, width_px), operations)
    parts = []
    for name, rounded in cuts.stages():
        # A value of no known type can be no input.
        if (end := values.get(str(name))) is not None:
            parts.append((_part(model, given, [end]), rounded))
            given = end
    return [*parts, (_part(model, given, model.graph.output), bool(parts))]


def _tensors(
    graph: onnx.GraphProto, values: Mapping[str, onnx.ValueInfoProto]
) -> dict[str, Tensor]:
    """The tensors of `graph` by name, and who reads them."""
    readers: defaultdict[str, set[str]] = defaultdict(set)
    convolved = set()
    for node in graph.node:
        for name in reads_of(node):
            readers[name].add(_name(node))
        if node.op_type in _CONVOLUTIONS:
            convolved.add(node.input[0])
    for value in graph.output:
        readers[value.name].add(OUTPUT)

    def tensor(name: str) -> Tensor:
        size = None
        if name in convolved and name in values:
            _, channels, height_px, width_px = _shape(values[name])
            if channels and height_px and width_px:
                size = (height_px, width_px, channels)
        return Tensor(name, frozenset(readers[name]), size)

    names = {name for node in graph.node for name in _makes(node)} | {i.name for i in graph.input}
    return {name: tensor(name) for name in names}


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """The dimensions of a value; 0 where one is not known."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def _makes(node: onnx.NodeProto) -> list[str]:
    """Names of what `node` makes; those that nobody wants have none."""
    return [name for name in node.output if name]


def _name(node: onnx.NodeProto) -> str:
    """What tells `node` from others: a name of its own it need not have."""
    return _makes(node)[0]


def reads_of(node: onnx.NodeProto) -> Iterator[str]:
    """Names of what `node` reads, and of what its subgraphs read of the graph around them."""
    yield from filter(None, node.input)
    for inner in subgraphs(node):
        own = {value.name for value in (*inner.input, *inner.initializer)}
        own.update(name for made in inner.node for name in made.output)
        reads = {name for made in inner.node for name in reads_of(made)}
        yield from (reads | {value.name for value in inner.output}) - own


def _part(
    model: onnx.ModelProto, given: onnx.ValueInfoProto, wanted: Sequence[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """What makes `wanted` of `given`."""
    needed = {value.name for value in wanted}
    nodes = []
    for node in reversed(model.graph.node):
        if given.name not in node.output and needed & set(node.output):
            nodes.append(node)
            needed.update(reads_of(node))
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    graph = onnx.helper.make_graph(nodes[::-1], model.graph.name, [given], wanted, constants)
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
