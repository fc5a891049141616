"""Bootstrap intervals of caption scores: how far a score would move with other test images.

The images are drawn again with replacement, R times, and each sample is scored as the set was
(Efron & Tibshirani 1993, "An Introduction to the Bootstrap", percentile intervals). What a measure
takes from the whole set, as CIDEr's word weights, stays as it was.

Dimensions: R resamples, I images, S statistics, N scores.
"""

import numpy as np

from model.measures import Measure

RESAMPLES = 1000
LEVEL_PERCENT = 95.0
Interval = tuple[float, float]

_SEED = 1
# Draws held in memory at once.
_DRAWS = 4_000_000


def intervals(measure: Measure) -> dict[str, Interval]:
    """The 95% interval of each score of `measure`, by name; the same at every call."""
    return _intervals(measure.names, _resampled_scores(measure))


def difference_intervals(first: Measure, second: Measure) -> dict[str, Interval]:
    """The 95% intervals of the scores of `second` less those of `first`, by name.

    Both are taken over the same images, and every sample has the same images for both (the paired
    bootstrap of Koehn, EMNLP 2004): what makes an image hard for both cancels out.

    Raises:
        ValueError: if they are not of the same scores and as many images.
    """
    if first.names != second.names or len(first.statistics) != len(second.statistics):
        raise ValueError(
            f"got {first.names} of {len(first.statistics)} images and {second.names} of "
            f"{len(second.statistics)}; expected the same scores of the same images"
        )
    # One seed and as many images: the same draws.
    return _intervals(first.names, _resampled_scores(second) - _resampled_scores(first))


def _resampled_scores(measure: Measure) -> np.ndarray:
    """The scores of R samples of the images, `float[R, N]`."""
    return measure.scores_of(resampled_sums(measure.statistics, RESAMPLES, _SEED))


def resampled_sums(statistics: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums of `statistics [I, S]` over samples of I images drawn with replacement, `[R, S]`."""
    generator = np.random.default_rng(seed)
    images = len(statistics)
    sums = []
    for done in range(0, resamples, step := max(1, _DRAWS // images)):
        rows = min(step, resamples - done)
        drawn = generator.integers(images, size=(rows, images))
        # How often each image was drawn in each sample, `[rows, I]`, in one count.
        places = (drawn + images * np.arange(rows)[:, np.newaxis]).ravel()
        times = np.bincount(places, minlength=rows * images).reshape(rows, images)
        sums.append(times @ statistics)
    return np.concatenate(sums)


def _intervals(names: tuple[str, ...], scores: np.ndarray) -> dict[str, Interval]:
    """The middle 95% of `scores [R, N]`, by name."""
    tail = (100 - LEVEL_PERCENT) / 2
    low, high = np.percentile(scores, [tail, 100 - tail], axis=0).tolist()
    return dict(zip(names, zip(low, high, strict=True), strict=True))
