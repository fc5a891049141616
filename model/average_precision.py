"""Mean average precision of tags: how well scores rank the images that bear each tag.

Dimensions: I images, K classes.
"""

import numpy as np


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the average precision, 0 to 1.

    A class's average precision is the mean, over its positive images, of the share of positives
    among the images ranked as high or higher, without interpolation. Images of equal score rank in
    their order. Classes without a positive image have no average precision and are left out.

    Args:
        scores: `float[I, K]`, higher for what is likelier; no NaN.
        labels: `bool[I, K]` or 0 and 1: whether the image bears the tag.

    Raises:
        ValueError: if the shapes are not both `[I, K]`, a score is NaN, a label is neither 0 nor 1,
            or no class has a positive image.

    Example::

        >>> mean_average_precision([[0.9], [0.8], [0.1]], [[1], [0], [1]])  # (1/1 + 2/3) / 2
        0.8333333333333333
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(
            f"got scores of shape {scores.shape} and labels of shape {labels.shape}; expected the "
            "same two dimensions, images and classes"
        )
    if np.isnan(scores).any():
        raise ValueError(f"got {np.isnan(scores).sum()} score(s) that are NaN; expected numbers")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"got labels {np.unique(labels)[:5]}; expected 0 and 1")
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(labels.astype(np.float64), order, axis=0)
    positives = hits.sum(axis=0)
    if not positives.any():
        raise ValueError(
            f"got {labels.shape[0]} images and {labels.shape[1]} classes without a positive; "
            "expected at least one"
        )
    precisions = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, np.newaxis]
    seen = positives > 0
    return float(((precisions * hits).sum(axis=0)[seen] / positives[seen]).mean())
