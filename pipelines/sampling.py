"""A sample spread over a whole archive, which is counted on the way."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.records import ImageFile
from pipelines.splits import hash_fraction


@dataclass(frozen=True)
class Sample:
    """Some pictures of an archive.

    Attributes:
        images: the pictures, each once, in the order of the archive.
        total: pictures of the whole archive; one that is listed twice counts twice.
    """

    images: list[ImageFile]
    total: int


def spread_sample(images: Iterable[ImageFile], count: int) -> Sample:
    """Up to `count` of `images`: those whose URIs have the lowest hashes, so the same in every run.

    Folders and containers are sorted, and what lies together was often made together: the first
    pictures say little of the others. It holds no more than `count` pictures at a time.
    """
    total = 0

    def ranked() -> Iterator[tuple[float, int, ImageFile]]:
        nonlocal total
        for image in images:
            yield hash_fraction(image.uri), total, image
            total += 1

    lowest = heapq.nsmallest(count, ranked(), key=lambda entry: entry[:2])
    in_order = sorted(lowest, key=lambda entry: entry[1])
    return Sample(list({image.uri: image for _, _, image in in_order}.values()), total)
