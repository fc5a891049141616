"""METEOR 1.5 (Denkowski & Lavie, WMT 2014), by the program that pycocoevalcap brings along."""

from pathlib import Path

import numpy as np

from model.java import JavaError, run_java
from model.measures import Guess, Measure, Truth

# METEOR's own for English: a match counts by how it was found (exact, stem, synonym, paraphrase).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
_STATISTICS = 23
# Reading its paraphrases takes 10 seconds; then a millisecond or so for each reference.
_START_SECONDS, _SECONDS_PER_IMAGE = 300.0, 0.1


def meteor(truth: Truth, guess: Guess) -> Measure:
    """METEOR, 0 to 1: matches of words, stems, synonyms and paraphrases, and their order.

    The program aligns every caption with its best reference. As published figures are, the score of
    a set is computed from the counts of all its alignments; it is no mean over images.

    Raises:
        JavaError: if the program does not run, or answers something else than statistics.
    """
    # Imported here: the rest of `model` works where pycocoevalcap is not installed.
    from pycocoevalcap.meteor import meteor as wrapper

    jar = Path(wrapper.__file__).parent / wrapper.METEOR_JAR
    lines = [
        " ||| ".join(["SCORE", *map(_field, references), _field(guess[image][0])])
        for image, references in truth.items()
    ]
    answer = run_java(
        ["-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar), *"- - -stdio -l en -norm".split()],
        "\n".join(lines) + "\n",
        _START_SECONDS + _SECONDS_PER_IMAGE * len(lines),
    )
    return Measure(("meteor",), _parse(answer, len(lines)), _meteor_of)


def _field(line: str) -> str:
    """A line of words without the mark that separates fields."""
    return line.replace("|||", " ")


def _parse(answer: str, images: int) -> np.ndarray:
    """The program's lines as `float[images, 23]`."""
    try:
        statistics = np.array([line.split() for line in answer.splitlines()], np.float64)
    except ValueError as error:
        raise JavaError(f"METEOR answered no statistics: {answer[:80]!r}") from error
    if statistics.shape != (images, _STATISTICS):
        raise JavaError(
            f"METEOR answered statistics of shape {statistics.shape}, expected "
            f"{(images, _STATISTICS)}"
        )
    # As METEOR does: a caption that is its reference, word by word, adds no fragment to the set.
    words, chunks, matched = statistics[:, 0:2], statistics[:, 20], statistics[:, 21:23]
    statistics[(matched == words).all(axis=1) & (chunks == 1), 20] = 0
    return statistics


def _meteor_of(sums: np.ndarray) -> np.ndarray:
    """Sums of METEOR's statistics `[..., 23]` to its score `[..., 1]`.

    They are, of the caption (c) and the reference (r): words c, r; function words c, r; for each of
    4 ways to match: content words c, r, function words c, r; chunks; matched words c, r.
    """
    words, function_words = sums[..., 0:2], sums[..., 2:4]
    matches = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)  # way, kind of word, c or r
    chunks, matched = sums[..., 20], sums[..., 21:23]
    content, function = np.moveaxis(np.einsum("...wkt,w->...kt", matches, _WEIGHTS), -2, 0)
    found = _DELTA * content + (1 - _DELTA) * function
    length = _DELTA * (words - function_words) + (1 - _DELTA) * function_words
    # Without a match some of these are 0 / 0, which METEOR counts as a score of 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(found / length, -1, 0)
        mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        fragments = chunks / matched.mean(axis=-1)
    score = mean * (1 - _GAMMA * fragments**_BETA)
    return np.maximum(np.nan_to_num(score), 0)[..., np.newaxis]
