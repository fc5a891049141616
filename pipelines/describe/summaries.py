"""What `captioner describe` finds in a dataset, as frozen dataclasses of counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from model.artifacts import DatasetInfo

# Sizes of pictures are counted in eighths of an octave: 9 % from one to the next.
OCTAVE = 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Whole numbers by how often they occur, e.g. captions by their length."""

    counts: Mapping[int, int]

    @cached_property
    def total(self) -> int:
        """How many numbers there are."""
        return sum(self.counts.values())

    @cached_property
    def sum(self) -> int:
        """All numbers added up."""
        return sum(value * count for value, count in self.counts.items())

    @property
    def mean(self) -> float:
        """Their mean; NaN without numbers."""
        return self.sum / self.total if self.total else math.nan

    def quantile(self, share: float) -> float:
        """Their quantile, interpolated linearly as numpy does; NaN without numbers."""
        if not self.total:
            return math.nan
        values = np.array(sorted(self.counts))
        ends = np.cumsum([self.counts[value] for value in values.tolist()])
        place = share * (self.total - 1)
        below, above = values[np.searchsorted(ends, [int(place), math.ceil(place)], "right")]
        return float(below + (above - below) * (place - int(place)))

    def below(self, limit: float) -> int:
        """How many numbers are smaller than `limit`."""
        return sum(count for value, count in self.counts.items() if value < limit)


@dataclass(frozen=True)
class SplitSummary:
    """A split: its pictures by number of captions, its captions by length in tokens."""

    name: str
    captions_per_image: Spread
    lengths: Spread
    unknown: int

    @property
    def images(self) -> int:
        """Examples, each a picture."""
        return self.captions_per_image.total

    @property
    def captions(self) -> int:
        """Captions of all pictures."""
        return self.lengths.total

    @property
    def tokens(self) -> int:
        """Tokens of all captions."""
        return self.lengths.sum


@dataclass(frozen=True)
class PictureSummary:
    """The files behind the examples, by size, shape and kind.

    Attributes:
        widths: in pixels, orientation applied.
        heights: the same.
        shorter_sides: the smaller of both.
        aspects: width / height in hundredths.
        kibibytes: of the files, rounded.
        byte_size: of all files.
        sizes: pictures by (log2 width, log2 height) in steps of 1 / `OCTAVE`, rounded down.
        modes: by Pillow's name of the file's pixels.
        formats: by Pillow's name of the file's format.
    """

    widths: Spread
    heights: Spread
    shorter_sides: Spread
    aspects: Spread
    kibibytes: Spread
    byte_size: int
    sizes: Mapping[tuple[int, int], int]
    modes: Mapping[str, int]
    formats: Mapping[str, int]


@dataclass(frozen=True)
class ExampleSummary:
    """All that the examples tell.

    Attributes:
        splits: each apart.
        pictures: of all splits.
        longest: the longest captions, the longest first.
        common: captions that very many pictures share by how many these are, most frequent first.
        markup: captions with HTML in them.
    """

    splits: tuple[SplitSummary, ...]
    pictures: PictureSummary
    longest: tuple[Row, ...]
    common: Mapping[str, int]
    markup: int


@dataclass(frozen=True)
class WordSummary:
    """The words of the vocabulary by how often they occur in the train split.

    Attributes:
        words: how many there are.
        frequent: the most frequent ones with their counts, the most frequent first.
        rarest: the rarest of the others, the rarest first.
        curve: (rank, count) of some words, spread evenly over the logarithm of the rank.
    """

    words: int
    frequent: tuple[tuple[str, int], ...]
    rarest: tuple[tuple[str, int], ...]
    curve: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RejectSummary:
    """Rejects of one stage and reason: pictures, and captions whose pictures were kept."""

    stage: str
    reason: str
    images: int
    captions: int
    examples: tuple[Row, ...]


@dataclass(frozen=True)
class DuplicateSummary:
    """Pairs across splits by (action, distance), and some of them."""

    pairs: Mapping[tuple[str, int], int]
    shown: tuple[Row, ...]

    def count(self, action: str) -> int:
        """Pairs of an action, of any distance."""
        return sum(count for (of, _), count in self.pairs.items() if of == action)


@dataclass(frozen=True)
class Description:
    """What is in a dataset: what `dataset.json` says and what its tables hold."""

    name: str
    info: DatasetInfo
    examples: ExampleSummary
    words: WordSummary
    rejects: tuple[RejectSummary, ...]
    duplicates: DuplicateSummary

    @property
    def images(self) -> int:
        """Examples of all splits."""
        return sum(split.images for split in self.examples.splits)

    @property
    def captions(self) -> int:
        """Captions of all splits."""
        return sum(split.captions for split in self.examples.splits)

    @property
    def rejected(self) -> int:
        """Rejected pictures."""
        return sum(reject.images for reject in self.rejects)
