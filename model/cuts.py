"""Where a graph from pictures to captions is cut into stages.

The first stage is the stem, which sees pictures large, and the second the rest of the image
encoder; then comes all that follows. A small network may have fewer.

What the first two make of a whole batch is too large for a CPU's caches, so that both take less
time for a few pictures at a time. And in bfloat16 a number has eight bits; what the first layers
round off goes through all later ones: computed in it throughout, a MobileNetV2's captions get worse
(docs/results.md). So what sees the pictures themselves is never rounded.

Of such a graph no operation mixes pictures.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# A picture is small once its sides are a quarter of what they were.
_SMALLER = 4
# Pictures at a time: fewer take longer for what each call costs.
_FEW = 4
# The name of what reads a graph's outputs; no operation has it.
OUTPUT = ""


class Tensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        key: what tells it from others.
        readers: names of the operations that read it; `OUTPUT` too if it is one of the graph's.
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


class Cuts(NamedTuple):
    """Keys of the tensors between the stages of a graph; all that is later follows from each alone.

    Attributes:
        small: pictures with sides of at most a quarter, as a convolution reads them: of the largest
            such, the first of those of the fewest channels. None if there are none.
        seen: all that is kept of pictures where they part into several tensors. None if nothing is.
    """

    small: Hashable | None
    seen: Hashable | None

    def stages(self) -> list[tuple[Hashable, bool]]:
        """Ends of the stages before the last, in order, and whether each may be rounded.

        The first, which sees the pictures themselves, never is.
        """
        ends = [end for end in dict.fromkeys(self) if end is not None]
        return [(end, number > 0) for number, end in enumerate(ends)]


def find_cuts(pictures: Tensor, sides_px: tuple[int, int], operations: Iterable[Operation]) -> Cuts:
    """Where to cut a graph.

    Args:
        pictures: its input.
        sides_px: its height and width.
        operations: of the graph, what is read made before.
    """
    waists = [w for w in find_waists(pictures, operations) if OUTPUT not in w.readers]
    return Cuts(_find_small(waists, sides_px), waists[-1].key if waists else None)


def _find_small(waists: Sequence[Tensor], sides_px: tuple[int, int]) -> Hashable | None:
    found: Tensor | None = None
    for tensor in waists:
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


def look(
    stages: Sequence[Callable[[np.ndarray], np.ndarray]], images: np.ndarray, threads: int
) -> np.ndarray:
    """What `stages`, one after another, make of `images [B, ...]`, at least one.

    One thread looks at a few at a time; several share out a batch, as few take too much sharing.
    """
    if not stages:
        return images
    size = _FEW if threads == 1 else len(images)
    made = []
    for start in range(0, len(images), size):
        seen = images[start : start + size]
        for stage in stages:
            seen = stage(seen)
        made.append(seen)
    return made[0] if len(made) == 1 else np.concatenate(made)
