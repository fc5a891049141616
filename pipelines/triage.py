"""Flags that tell a person which captions to look at first."""

from model.flaws import has_dangling_ending, has_repeats
from model.vocabulary import OOV, SPECIAL_TOKENS

LOW_SCORE, REPEATS, DANGLING_ENDING, UNK = "low_score", "repeats", "dangling_ending", "unk"


def flags_of(caption: str, score: float, low_score: float | None) -> list[str]:
    """The flags of a caption.

    Args:
        score: mean log-probability of a token, in nats.
        low_score: captions below it are flagged; None if the model was never evaluated.

    Returns:
        `low_score`; `repeats` for a word twice in a row or the same three words twice;
        `dangling_ending` for a caption that stops at a word like "with"; `unk` for one with the
        token of unknown words, which the samplers here never write but a bundle made elsewhere may.
    """
    words = caption.split()
    flags = []
    if low_score is not None and score < low_score:
        flags.append(LOW_SCORE)
    if has_repeats(words):
        flags.append(REPEATS)
    if has_dangling_ending(words):
        flags.append(DANGLING_ENDING)
    if SPECIAL_TOKENS[OOV] in words:
        flags.append(UNK)
    return flags
