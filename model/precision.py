"""Where a computation on pictures may go over from float32 to bfloat16.

In bfloat16 a number has eight bits, and what an image encoder's first layers round off goes through
all later ones: computed in it throughout, a MobileNetV2's captions get worse. With the layers that
see the picture large in float32 some words change, but no loss shows (docs/results.md).
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

# A picture is small once its sides are a quarter of what they were.
_SMALLER = 4


class Tensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        key: what tells it from others.
        readers: names of the operations that read it; an output of the graph has one more, of a
            name that no operation has.
        size: height, width and channels if a convolution reads it and they are known, else None.
    """

    key: Hashable
    readers: frozenset[str]
    size: tuple[int, int, int] | None


class Operation(NamedTuple):
    """An operation of a graph: its name, the keys of what it reads, and what it makes."""

    name: str
    reads: frozenset[Hashable]
    makes: tuple[Tensor, ...]


def find_small(
    pictures: Tensor, sides_px: tuple[int, int], operations: Iterable[Operation]
) -> Hashable | None:
    """The tensor from which on pictures are small.

    Args:
        pictures: the graph's input.
        sides_px: its height and width.
        operations: of the graph, what is read made before.

    Returns:
        the key of a convolution's input with sides of at most a quarter, from which alone all
        follows that comes later: of the largest such, the first of those of the fewest channels.
        None if there is none.
    """
    found: Tensor | None = None
    for tensor in find_waists(pictures, operations):
        if tensor.size is None or any(
            _SMALLER * small > whole for small, whole in zip(tensor.size, sides_px, strict=False)
        ):
            continue
        if found is None or found.size is None:
            found = tensor
        elif tensor.size[:2] != found.size[:2]:
            break
        elif tensor.size[2] < found.size[2]:
            found = tensor
    return None if found is None else found.key


def find_waists(given: Tensor, operations: Iterable[Operation]) -> Iterator[Tensor]:
    """Tensors, in order, each of which holds all of `given` that is needed from there on."""
    # Tensors that follow from it, with those that have yet to read them.
    unread = {given.key: (given, set(given.readers))}
    for operation in operations:
        read = operation.reads & unread.keys()
        if not read:
            continue
        for key in read:
            unread[key][1].discard(operation.name)
        unread |= {tensor.key: (tensor, set(tensor.readers)) for tensor in operation.makes}
        unread = {key: (tensor, readers) for key, (tensor, readers) in unread.items() if readers}
        if len(unread) == 1:
            yield from (tensor for tensor, _ in unread.values())
