"""The words that caption scores are taken over: Java's published tokeniser, or ours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from model import ptb
from model.errors import CaptionerError
from model.java import JavaError, run_java
from model.other_writing import adapt

JAVA_TOKENISER: Final = "PTBTokenizer (Stanford CoreNLP 3.4.1, Java)"
PYTHON_TOKENISER: Final = "model.ptb (Python, PTB rules)"
# Ends the name of a tokeniser that was given other texts than the captions themselves.
ADAPTED: Final = ", after adapting writing other than English"

_LOG = logging.getLogger(__name__)
_JAVA_SECONDS: Final = 600.0


class Tokenised(NamedTuple):
    """Batches of captions as words.

    Attributes:
        batches: One line a caption, its words separated by single spaces.
        tokeniser: Name of the tokeniser that made them, and of what was done before.
        without_java: Why Java is not to be used for anything else either; None where it runs.
    """

    batches: list[list[str]]
    tokeniser: str
    without_java: str | None


def tokenise(batches: Sequence[Sequence[str]], tokeniser: str) -> Tokenised:
    """Tokenise batches of captions, all with one tokeniser, and name it.

    The Penn Treebank's rules are for English: of Chinese or Japanese they take a whole sentence for
    a word. Writing other than English is adapted first, as `model.text` does it for training.

    Args:
        batches: Captions.
        tokeniser: "java", "python", or "auto" for Java's where it runs and ours elsewhere.

    Raises:
        ValueError: An unknown tokeniser.
        CaptionerError: Java's tokeniser was demanded and does not run.
    """
    if tokeniser not in ("auto", "java", "python"):
        raise ValueError(f"got tokeniser {tokeniser!r}; expected 'auto', 'java' or 'python'")
    adapted = [adapt(batch) for batch in batches]
    changed = adapted != [list(batch) for batch in batches]
    found = _tokenise(adapted, tokeniser)
    return found._replace(tokeniser=found.tokeniser + ADAPTED) if changed else found


def _tokenise(batches: Sequence[Sequence[str]], tokeniser: str) -> Tokenised:
    """Captions whose words have spaces between them, or signs, as `tokenise` takes them."""
    without_java = "tokeniser 'python' was asked for, with which no Java is run"
    if tokeniser != "python":
        try:
            return Tokenised([tokenise_in_java(batch) for batch in batches], JAVA_TOKENISER, None)
        except JavaError as error:
            if tokeniser == "java":
                raise CaptionerError(
                    f"Java's tokeniser does not run ({error}); install a Java runtime so that "
                    "`java -version` works, or ask for tokeniser 'auto' or 'python'"
                ) from error
            _LOG.warning("Java's tokeniser does not run (%s); using %s", error, PYTHON_TOKENISER)
            without_java = str(error)
    lines = [[" ".join(ptb.tokenise(caption)) for caption in batch] for batch in batches]
    return Tokenised(lines, PYTHON_TOKENISER, without_java)


def tokenise_in_java(captions: Sequence[str]) -> list[str]:
    """Tokenise captions with pycocoevalcap's copy of Stanford's program, one line each.

    Raises:
        JavaError: It does not run, or did not give one line per caption.
    """
    # Imported here: the rest of `model` works where pycocoevalcap is not installed.
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
    # Any line break within a caption would shift all the lines that follow.
    text = "\n".join(" ".join(caption.split()) for caption in captions)
    program = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    lines = run_java([*program, *options], text, _JAVA_SECONDS).split("\n")
    if len(lines) != len(captions):
        raise JavaError(f"got {len(lines)} tokenised lines, expected {len(captions)}")
    marks = frozenset(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(w for w in line.split(" ") if w and w not in marks) for line in lines]
