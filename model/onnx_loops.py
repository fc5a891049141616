"""Loops of ONNX graphs, made cheaper: what never changes is no state of theirs."""

from collections.abc import Iterator, Mapping

import onnx


def free_invariants(graph: onnx.GraphProto) -> int:
    """Takes states out of the loops of `graph` that each pass hands on as it got them.

    The body of a loop may use what surrounds it. A converter that makes a state of each weight
    hides from ONNX Runtime that they are constants, which it would lay out for the CPU once, and
    computes in every pass what follows from them alone.

    Returns:
        how many states there were.
    """
    freed = 0
    for node in graph.node:
        if node.op_type == "Loop":
            freed += _free(graph, node)
    return freed


def _free(graph: onnx.GraphProto, loop: onnx.NodeProto) -> int:
    """Takes the states that never change out of one loop; returns how many there were."""
    (body,) = subgraphs(loop)
    makers = {name: node for node in body.node for name in node.output}
    returned = {value.name for value in graph.output}
    within: dict[str, str] = {}
    without: dict[str, str] = {}
    states = len(loop.output)
    # Of a loop's inputs (limit, condition, states), its body's (number, condition, states), the
    # body's outputs (condition, states) and the loop's, from the last on: places before it stay.
    for place in reversed(range(2, len(body.input))):
        given, result = body.input[place].name, body.output[place - 1].name
        of_given = [value for value in body.output if _source(value.name, makers) == given]
        if len(of_given) != 1 or of_given[0].name != result or loop.output[place - 2] in returned:
            continue
        within |= {given: loop.input[place], result: loop.input[place]}
        without[loop.output[place - 2]] = loop.input[place]
        del body.input[place], loop.input[place], body.output[place - 1], loop.output[place - 2]
    kept = [node for node in body.node if not set(node.output) & set(within)]
    del body.node[:]
    body.node.extend(kept)
    _rename(body, within)
    _rename(graph, without)
    return states - len(loop.output)


def _source(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """What `name` is another name of."""
    while name in makers and makers[name].op_type == "Identity":
        (name,) = makers[name].input
    return name


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs within `node`: a loop's body, the branches of a choice."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Makes all in `graph`, and in what it surrounds, use other names for some values.

    A graph inside of it may call values of its own by the same names.
    """
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for inner in subgraphs(node):
            own = {value.name for value in (*inner.input, *inner.initializer)}
            own.update(name for made in inner.node for name in made.output)
            _rename(inner, {old: new for old, new in names.items() if old not in own})
