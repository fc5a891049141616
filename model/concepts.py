"""Concepts: the frequent content words of the captions, which a recogniser learns to see."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from model.errors import CaptionerError
from model.vocabulary import SPECIAL_TOKENS

# Function words of English: what is said of every picture. Number words are left out of the list
# ("two" can be seen), and so are "inside" and "outside" (where a picture was taken can be, too).
ENGLISH_STOP_WORDS: Final = frozenset(
    # Articles and other determiners.
    "a an the this that these those some any no another other others each every either neither "
    "both all many much more most few several such own same "
    # Pronouns.
    "i me my mine myself you your yours yourself he him his himself she her hers herself it its "
    "itself we us our ours ourselves they them their theirs themselves one's who whom whose which "
    "what someone somebody something anyone anything everyone everything nobody nothing "
    # Auxiliaries, as they are split and as they are contracted.
    "am is are was were be been being do does did doing done have has had having can could may "
    "might must shall should will would 's isn't aren't wasn't weren't doesn't don't didn't hasn't "
    "haven't can't couldn't won't wouldn't "
    # Prepositions and particles.
    "about above across after against along alongside among amongst around as at atop away before "
    "behind below beneath beside besides between beyond by down during for from in into near next "
    "of off on onto out over past per through throughout to together toward towards under "
    "underneath until up upon via with within without "
    # Conjunctions.
    "and although because but if nor or since so than though unless when where whether while "
    "whilst "
    # Adverbs of degree, place and time that nothing in a picture answers to.
    "also again almost already always else even ever here how just not now only quite rather still "
    "then there too very why yet".split()
)


class Frequency(NamedTuple):
    """How often a token occurs in the train split.

    Attributes:
        token: the word.
        occurrences: in all captions.
        pictures: whose captions have it; None where the dataset does not tell.
    """

    token: str
    occurrences: int
    pictures: int | None = None


def choose_concepts(
    frequencies: Sequence[Frequency],
    count: int,
    stop_words: frozenset[str] = ENGLISH_STOP_WORDS,
) -> tuple[str, ...]:
    """The `count` most frequent content words, most frequent first; all, where there are fewer.

    Args:
        frequencies: of tokens, in any order; equals come in order of token.
        count: most concepts.
        stop_words: in lower case; tokens are compared without regard to case.

    Special tokens and tokens without a letter (``2``, ``3.5``) are no concepts.
    """
    concepts = [
        (-occurrences, token)
        for token, occurrences, _ in frequencies
        if token not in SPECIAL_TOKENS
        and token.lower() not in stop_words
        and any(character.isalpha() for character in token)
    ]
    return tuple(token for _, token in sorted(concepts)[:count])


def concept_shares(
    frequencies: Sequence[Frequency], concepts: Sequence[str], pictures: int
) -> tuple[float, ...]:
    """Of each concept, the share of pictures that show it; none where the dataset does not tell.

    Never 0 or 1, so that it has odds: (n + 1/2) / (N + 1), after Haldane 1956.

    Args:
        frequencies: of the train split.
        concepts: words of it.
        pictures: N, of the train split.
    """
    named = {frequency.token: frequency.pictures for frequency in frequencies}
    counts = [named.get(concept) for concept in concepts]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return ()
    return tuple(round((count + 0.5) / (pictures + 1), 8) for count in known)


def parse_frequencies(lines: Iterable[str]) -> Iterator[Frequency]:
    """Reads lines ``TOKEN<TAB>COUNT<TAB>PICTURES`` of a dataset's `vocabulary_frequencies.tsv`.

    Datasets made before pictures were counted have lines without the last.

    Raises:
        CaptionerError: if a line is none of these; the message begins with its number.
    """
    for number, line in enumerate(lines, 1):
        token, *counts = line.removesuffix("\n").split("\t")
        whole = all(count.isascii() and count.isdigit() for count in counts)
        if not (token and whole and 1 <= len(counts) <= 2):
            raise CaptionerError(
                f"line {number}: got {line[:80]!r}, expected TOKEN<TAB>COUNT<TAB>PICTURES"
            )
        yield Frequency(token, *map(int, counts))


def read_frequencies(path: Path) -> list[Frequency]:
    """Reads a dataset's `vocabulary_frequencies.tsv`.

    Raises:
        CaptionerError: if the file is absent, or a line is none that `parse_frequencies` reads.
    """
    advice = "make the dataset again"
    lines = _lines(path, advice)
    try:
        return list(parse_frequencies(lines))
    except CaptionerError as error:
        raise CaptionerError(f"{path}, {error}; {advice}") from error


def read_stop_words(path: Path) -> frozenset[str]:
    """Reads a list of stop words, one a line, as tokens have them; empty lines are passed over.

    Lists may have capitals, typographic apostrophes and accents in either of Unicode's spellings,
    as captions may.

    Raises:
        CaptionerError: if the file is absent, is not UTF-8, or a line holds several words.
    """
    # Imported here: reading concepts needs no TensorFlow.
    import tensorflow as tf

    from model.text import normalise

    lines = [line.strip() for line in _lines(path, "check the path")]
    for number, line in enumerate(lines, 1):
        if len(line.split()) > 1:
            raise CaptionerError(
                f"{path}, line {number}: got {line[:80]!r}, expected one word; give each word a "
                "line of its own"
            )
    words = normalise(tf.constant(lines, tf.string)).numpy()
    return frozenset(word.decode() for word in words if word)


def _lines(path: Path, advice: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CaptionerError(f"{path} is missing; {advice}") from error
    except OSError as error:
        raise CaptionerError(f"{path} cannot be read: {error}; {advice}") from error
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{path}: expected UTF-8, got {error}; {advice}") from error
    # Not splitlines(): a word may hold a character that Unicode counts as a line break.
    return text.removesuffix("\n").split("\n")
