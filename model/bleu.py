"""BLEU over a whole set of captions (Papineni et al., ACL 2002), as pycocoevalcap computes it."""

import numpy as np

from model.measures import Guess, Measure, Truth

_ORDERS = 4
# pycocoevalcap's, which keep a caption without words or matches from a division by zero.
_TINY, _SMALL = 1e-15, 1e-9


def bleu(truth: Truth, guess: Guess) -> Measure:
    """BLEU over 1 to 4 words in a row: `bleu_1` to `bleu_4`, each 0 to 1.

    The n-grams are counted by pycocoevalcap; the length that a caption is held against is that of
    the reference closest in length.
    """
    # Imported here: the rest of `model` works where pycocoevalcap is not installed.
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    counts = [
        cook_test(guess[image][0], cook_refs(references, n=_ORDERS), eff="closest", n=_ORDERS)
        for image, references in truth.items()
    ]
    statistics = [[c["testlen"], c["reflen"], *c["correct"], *c["guess"]] for c in counts]
    names = tuple(f"bleu_{order}" for order in range(1, _ORDERS + 1))
    return Measure(names, np.asarray(statistics, np.float64), _bleu_of)


def _bleu_of(sums: np.ndarray) -> np.ndarray:
    """Sums of lengths, matches and guesses, `[..., 2 + 4 + 4]`, to BLEU `[..., 4]`."""
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, guesses = np.split(sums[..., 2:], 2, axis=-1)
    precisions = (matches + _TINY) / (guesses + _SMALL)
    means = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, _ORDERS + 1))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = np.exp(np.minimum(0, 1 - 1 / ratio))
    return means * brevity[..., np.newaxis]
