"""Flaws that a caption's words show, whatever the picture."""

import itertools
from collections.abc import Sequence

# English words that no caption ends with; in other languages the flaw never shows.
_DANGLING = frozenset(
    "a an and are as at by for from her his in into is its near of on or over that the their to "
    "two three under while with".split()
)
_REPEATED_WORDS = 3


def has_repeats(words: Sequence[str]) -> bool:
    """Whether a word comes twice in a row, or the same three words come twice."""
    if any(word == following for word, following in itertools.pairwise(words)):
        return True
    runs = [tuple(words[i : i + _REPEATED_WORDS]) for i in range(len(words) - _REPEATED_WORDS + 1)]
    return len(runs) != len(set(runs))


def has_dangling_ending(words: Sequence[str]) -> bool:
    """Whether the words stop at one like "with", or there are none."""
    return not words or words[-1] in _DANGLING
