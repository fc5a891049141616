"""What a caption measure is here: sums over images, and the scores that follow from the sums.

Dimensions: I images, S statistics, N scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Image by image in one order: its references, and in a list of one its caption; both as words.
Truth = dict[str, list[str]]
Guess = dict[str, list[str]]


@dataclass(frozen=True)
class Measure:
    """A measure of captions, taken over I images.

    Some measures (BLEU, METEOR) are no means over images: they add up counts and compute one score
    from the sums. In this form the score of any sample of the images can be had without running
    the measure again.

    Attributes:
        names: of its N scores.
        statistics: `float[I, S]`, what each image adds to the sums.
        scores_of: sums `float[..., S]` to scores `float[..., N]`.
    """

    names: tuple[str, ...]
    statistics: np.ndarray
    scores_of: Callable[[np.ndarray], np.ndarray]

    def scores(self) -> dict[str, float]:
        """The scores of all images together, by name."""
        values = self.scores_of(self.statistics.sum(axis=0))
        return dict(zip(self.names, values.tolist(), strict=True))

    def by_image(self) -> list[dict[str, float]]:
        """The scores of each image alone, by name."""
        rows = self.scores_of(self.statistics).tolist()
        return [dict(zip(self.names, row, strict=True)) for row in rows]


def mean_of(name: str, values: Sequence[float]) -> Measure:
    """The measure that is a mean of one value an image."""
    column = np.asarray(values, np.float64)
    return Measure((name,), np.stack([column, np.ones_like(column)], axis=1), _mean)


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., :1] / sums[..., 1:]
