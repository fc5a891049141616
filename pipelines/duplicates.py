"""The same picture in two splits: copies are moved together, near copies found and reported."""

import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from pipelines.records import CaptionedImage, DuplicatePair, Reject
from pipelines.splits import SplitRatios, split_by_hash

# One hash, or an array of them.
Bits = TypeVar("Bits", int, np.ndarray)
# A copy goes where it is looked at: no picture that evaluates may have been trained on.
_PRECEDENCE = {"test": 0, "validation": 1, "train": 2}
# Perceptual hashes that differ in at most this many of 64 bits are of nearly the same picture.
NEAR_BITS = 4
# Split into one band more than bits may differ, two near hashes agree in a whole band.
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))
# Pairs reported of one picture under a band: a thousand blank pages are no million findings.
_REPORTED = 10


class Hashed(NamedTuple):
    """A picture as the search for near copies sees it."""

    image_id: str
    split: str
    perceptual_hash: int


def unite_copies(
    images: Iterable[CaptionedImage], ratios: SplitRatios | None = None
) -> Iterator[CaptionedImage | DuplicatePair]:
    """Pictures of the same pixels, all in one split: test before validation before train.

    Yields every picture, and a pair for each that was moved.

    Args:
        ratios: shares of a split by hash; the copies' split is then by a hash of their pixels. Were
            it the foremost of their own, tables with a row a caption would lose most of train.
    """
    ordered = sorted(images, key=lambda image: (_PRECEDENCE[image.split], image.image_id))
    first = ordered[0]
    split = first.split
    if ratios is not None and len(ordered) > 1:
        split = split_by_hash(first.image.pixel_sha256, ratios)
    for image in ordered:
        if image.split != split:
            other = first if image is not first else ordered[1]
            pair = (image.image_id, image.split, other.image_id, split)
            yield DuplicatePair(*pair, distance=0, action="moved")
        yield dataclasses.replace(image, split=split)


def _band(value: Bits, number: int) -> Bits:
    start, width = _BANDS[number]
    return (value >> start) & ((1 << width) - 1)


def banded(image: CaptionedImage) -> Iterator[tuple[tuple[int, int], Hashed]]:
    """The picture under each of its bands: near pictures meet under at least one."""
    value = int(image.image.perceptual_hash, 16)
    hashed = Hashed(image.image_id, image.split, value)
    for number in range(len(_BANDS)):
        yield (number, _band(value, number)), hashed


def near_pairs(
    band: tuple[int, int], images: Iterable[Hashed], dropped_split: str | None = None
) -> Iterator[DuplicatePair]:
    """Pairs of near pictures of two splits that meet under `band` and under none before it.

    Of a picture of the lesser split, the ten nearest are told.

    Args:
        dropped_split: whose pictures are dropped, each told with its nearest alone; None to drop
            none and to report the pairs of all splits.
    """
    by_split: dict[str, list[Hashed]] = defaultdict(list)
    for image in images:
        by_split[image.split].append(image)
    for split in sorted(by_split):
        kept = [i for other in by_split for i in by_split[other] if _gives_way(split, other)]
        if kept and dropped_split in (None, split):
            yield from _near(band[0], sorted(kept), sorted(by_split[split]), dropped_split)


def _gives_way(split: str, other: str) -> bool:
    return _PRECEDENCE[split] > _PRECEDENCE[other]


def _near(
    band: int, kept: list[Hashed], others: list[Hashed], dropped_split: str | None
) -> Iterator[DuplicatePair]:
    action, most = ("dropped", 1) if dropped_split else ("reported", _REPORTED)
    told = _first_of_each_hash(kept, most)
    values = np.array([image.perceptual_hash for image in told], np.uint64)

    @functools.cache  # blank pages share few hashes
    def nearest_to(value: int) -> list[tuple[int, int]]:
        return _nearest(band, values, value, most)

    for other in others:
        for i, distance in nearest_to(other.perceptual_hash):
            pair = (other.image_id, other.split, told[i].image_id, told[i].split)
            yield DuplicatePair(*pair, distance=distance, action=action)


def _first_of_each_hash(images: list[Hashed], most: int) -> list[Hashed]:
    """`images` in order, without those that `most` of the same hash come before."""
    seen: Counter[int] = Counter()
    first = []
    for image in images:
        seen[image.perceptual_hash] += 1
        if seen[image.perceptual_hash] <= most:
            first.append(image)
    return first


def _nearest(band: int, values: np.ndarray, value: int, most: int) -> list[tuple[int, int]]:
    """Places in `values` of the `most` hashes nearest to `value`, and in how many bits they differ.

    Args:
        band: one in which all agree with it; those that agree in one before are left out.
    """
    differing = values ^ np.uint64(value)
    distances = np.bitwise_count(differing)
    near = distances <= NEAR_BITS
    for number in range(band):
        near &= _band(differing, number) != 0
    found = np.flatnonzero(near)
    found = found[np.argsort(distances[found], kind="stable")[:most]]
    return list(zip(found.tolist(), distances[found].tolist(), strict=True))


def nearest(pairs: Iterable[DuplicatePair]) -> DuplicatePair:
    """The pair of the least distance; of equal ones the same in every run."""
    return min(pairs, key=lambda pair: (pair.distance, pair.other_image_id))


def drop_near_copy(
    image: CaptionedImage, pairs: dict[str, DuplicatePair]
) -> CaptionedImage | Reject:
    """The picture, or a reject if `pairs`, by image id, say that it is dropped."""
    pair = pairs.get(image.image_id)
    if pair is None:
        return image
    error = (
        f"nearly the same as {pair.other_image_id} of {pair.other_split} "
        f"({pair.distance} of 64 bits differ)"
    )
    return Reject(image.image_id, image.image.uri, "duplicates", "duplicate_across_splits", error)
