"""Flaws that a caption's words show, whatever the picture."""

import itertools
from collections.abc import Sequence

# English words that no caption ends with.
_DANGLING = frozenset(
    "a an and are as at by for from her his in into is its near of on or over that the their to "
    "two three under while with".split()
)
# Captions of other languages may: a German puts a jacket "an", a Dane sees a town ("by").
_ALSO_ELSEWHERE = frozenset("a an as at by for her in is on over that to under".split())
# Hardly a caption of English has none of these, and hardly one of those languages has any.
_ENGLISH = frozenset("a and are from his its the their three two while with".split())
_REPEATED_WORDS = 3


def has_repeats(words: Sequence[str]) -> bool:
    """Whether a word comes twice in a row, or the same three words come twice."""
    if any(word == following for word, following in itertools.pairwise(words)):
        return True
    runs = [tuple(words[i : i + _REPEATED_WORDS]) for i in range(len(words) - _REPEATED_WORDS + 1)]
    return len(runs) != len(set(runs))


def has_dangling_ending(words: Sequence[str]) -> bool:
    """Whether the words are English and stop at one like "with", or there are none."""
    if not words:
        return True
    *before, last = words
    if last in _ALSO_ELSEWHERE and _ENGLISH.isdisjoint(before):
        return False
    return last in _DANGLING
