"""Flags that tell a person which captions to look at first."""

import itertools
from collections.abc import Sequence

LOW_SCORE, REPEATS, DANGLING_ENDING = "low_score", "repeats", "dangling_ending"

# English words that no caption ends with; in other languages the flag never shows.
_DANGLING = frozenset(
    "a an and are as at by for from her his in into is its near of on or over that the their to "
    "two three under while with".split()
)
_REPEATED_WORDS = 3


def flags_of(caption: str, score: float, low_score: float | None) -> list[str]:
    """The flags of a caption.

    Args:
        score: mean log-probability of a token, in nats.
        low_score: captions below it are flagged; None if the model was never evaluated.

    Returns:
        `low_score`; `repeats` for a word twice in a row or the same three words twice;
        `dangling_ending` for a caption that stops at a word like "with".
    """
    words = caption.split()
    flags = []
    if low_score is not None and score < low_score:
        flags.append(LOW_SCORE)
    if _repeats(words):
        flags.append(REPEATS)
    if not words or words[-1] in _DANGLING:
        flags.append(DANGLING_ENDING)
    return flags


def _repeats(words: Sequence[str]) -> bool:
    if any(word == following for word, following in itertools.pairwise(words)):
        return True
    runs = [tuple(words[i : i + _REPEATED_WORDS]) for i in range(len(words) - _REPEATED_WORDS + 1)]
    return len(runs) != len(set(runs))
