"""What can be said of a set of captions without looking at the pictures."""

from collections.abc import Sequence

from model.flaws import has_dangling_ending, has_repeats
from model.vocabulary import SPECIAL_TOKENS, Vocabulary


def caption_statistics(
    captions: Sequence[str], tokens: Sequence[Sequence[str]], vocabulary: Vocabulary
) -> dict[str, float]:
    """Statistics of at least one caption; shares are of the captions, 0 to 1.

    Args:
        captions: as they are shown.
        tokens: of each caption, as `model.text` makes them; these are the words that are counted.
        vocabulary: of the dataset that the captions are held against.

    Returns:
        - distinct: captions that differ from each other.
        - distinct_share: the same as a share.
        - vocabulary_words_used: different words of the vocabulary in them.
        - vocabulary_words: all that the vocabulary has.
        - mean_words: mean length in words.
        - repeats_share, dangling_ending_share: with the flaws of `model.flaws`.
        - unknown_word_rate: share of all words that the vocabulary lacks. No sampler writes an
          unknown word: it is above 0 only for a model that was trained on another dataset.
    """
    known, count = frozenset(vocabulary.tokens[len(SPECIAL_TOKENS) :]), len(captions)
    said = [token for line in tokens for token in line]
    distinct = len(set(captions))
    split = [caption.split() for caption in captions]
    return {
        "distinct": distinct,
        "distinct_share": distinct / count,
        "vocabulary_words_used": len(known.intersection(said)),
        "vocabulary_words": len(known),
        "mean_words": len(said) / count,
        "repeats_share": sum(map(has_repeats, split)) / count,
        "dangling_ending_share": sum(map(has_dangling_ending, split)) / count,
        "unknown_word_rate": sum(token not in known for token in said) / max(1, len(said)),
    }
