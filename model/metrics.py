"""Caption scores: BLEU, ROUGE-L and CIDEr as the COCO caption evaluation computes them.

The measures themselves are pycocoevalcap's, so that figures compare with published ones. What they
are computed over is as much a part of a figure as the measure, so every set of scores names the
tokeniser that made the words.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model import ptb

JAVA_TOKENISER: Final = "PTBTokenizer (Stanford CoreNLP 3.4.1, Java)"
PYTHON_TOKENISER: Final = "model.ptb (Python, PTB rules)"

_LOG = logging.getLogger(__name__)
_JAVA_SECONDS: Final = 600


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one set of captions, each taken over the whole set.

    Attributes:
        bleu_1: BLEU over single words, 0 to 1 (Papineni et al., ACL 2002).
        bleu_2: BLEU over up to 2 words in a row, 0 to 1.
        bleu_3: BLEU over up to 3 words in a row, 0 to 1.
        bleu_4: BLEU over up to 4 words in a row, 0 to 1.
        rouge_l: Mean ROUGE-L F-measure with beta 1.2, 0 to 1 (Lin, ACL workshop 2004).
        cider: Mean CIDEr-D, 0 to 10 (Vedantam et al., CVPR 2015). Words are weighed by how few
            images' references hold them, so a single image scores 0 whatever its caption.
        tokeniser: Name of the tokeniser that split captions and references.
        images: Number of images scored.
    """

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    cider: float
    tokeniser: str
    images: int


def score_captions(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokeniser: str = "auto",
) -> tuple[CaptionScores, dict[str, dict[str, float]]]:
    """Score one caption per image against that image's references.

    Args:
        candidates: Caption by image id; an empty one is allowed and scores 0.
        references: Reference captions by image id. Images without a candidate are left out, of
            CIDEr's word weights too.
        tokeniser: "java" for the published measures' own tokeniser, "python" for `model.ptb`'s,
            "auto" for Java's where it runs and ours elsewhere.

    Returns:
        The scores of the whole set, and by image id its "bleu_4", "rouge_l" and "cider".

    Raises:
        ValueError: No candidates; an image without references or with no word in any of them; an
            unknown tokeniser.
        RuntimeError: Java's tokeniser was demanded and does not run.
    """
    _check(candidates, references)
    ids = list(candidates)
    batches = [
        [caption for image in ids for caption in references[image]],
        [candidates[image] for image in ids],
    ]
    (reference_lines, candidate_lines), name = _tokenise(batches, tokeniser)
    rest = iter(reference_lines)
    truth = {image: [next(rest) for _ in references[image]] for image in ids}
    wordless = [image for image in ids if not any(truth[image])]
    if wordless:
        raise ValueError(
            f"got {len(wordless)} image(s) whose references hold no word, the first being "
            f"{wordless[0]!r}; expected at least one word per image"
        )
    guess = {image: [line] for image, line in zip(ids, candidate_lines, strict=True)}
    return _score(truth, guess, name)


def _check(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError unless every candidate has references."""
    if not candidates:
        raise ValueError("got no candidates; expected at least one caption to score")
    missing = [image for image in candidates if image not in references]
    if missing:
        raise ValueError(
            f"got {len(missing)} candidate(s) without references, the first being {missing[0]!r}; "
            f"expected references for all {len(candidates)}"
        )
    for image in candidates:
        if isinstance(references[image], str) or not references[image]:
            raise ValueError(
                f"got {references[image]!r} as references of image {image!r}; "
                "expected a sequence of at least one caption"
            )


def _score(
    truth: dict[str, list[str]], guess: dict[str, list[str]], tokeniser: str
) -> tuple[CaptionScores, dict[str, dict[str, float]]]:
    """Run the three scorers over tokenised lines, whose images come in one order."""
    # Imported here: the rest of `model` works where the evaluation extras are not installed.
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    bleu, bleu_by_image = Bleu(4).compute_score(truth, guess, verbose=0)
    _, rouge_by_image = Rouge().compute_score(truth, guess)
    cider, cider_by_image = Cider().compute_score(truth, guess)
    # The ROUGE scorer takes an empty line for one (empty) word, which a wordless reference matches.
    rouge_l = [
        float(score) if line else 0.0
        for score, (line,) in zip(rouge_by_image, guess.values(), strict=True)
    ]
    scores = CaptionScores(
        bleu_1=float(bleu[0]),
        bleu_2=float(bleu[1]),
        bleu_3=float(bleu[2]),
        bleu_4=float(bleu[3]),
        rouge_l=sum(rouge_l) / len(rouge_l),
        cider=float(cider),
        tokeniser=tokeniser,
        images=len(guess),
    )
    columns = zip(guess, bleu_by_image[3], rouge_l, cider_by_image, strict=True)
    return scores, {
        image: {"bleu_4": float(four), "rouge_l": longest, "cider": float(consensus)}
        for image, four, longest, consensus in columns
    }


def _tokenise(batches: Sequence[Sequence[str]], tokeniser: str) -> tuple[list[list[str]], str]:
    """Tokenise batches of captions, all with one tokeniser, and name it."""
    if tokeniser not in ("auto", "java", "python"):
        raise ValueError(f"got tokeniser {tokeniser!r}; expected 'auto', 'java' or 'python'")
    if tokeniser != "python":
        try:
            return [_tokenise_in_java(batch) for batch in batches], JAVA_TOKENISER
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            if tokeniser == "java":
                raise RuntimeError(
                    f"Java's tokeniser does not run ({error}); install a Java runtime so that "
                    "`java -version` works, or ask for tokeniser 'auto' or 'python'"
                ) from error
            _LOG.warning("Java's tokeniser does not run (%s); using %s", error, PYTHON_TOKENISER)
    return [[" ".join(ptb.tokenise(c)) for c in batch] for batch in batches], PYTHON_TOKENISER


def _tokenise_in_java(captions: Sequence[str]) -> list[str]:
    """Tokenise captions with pycocoevalcap's copy of Stanford's program, one line each.

    pycocoevalcap's own wrapper is not used: it writes into its package's folder, which may be
    read-only, and takes a failed program for one that found no words.

    Raises:
        OSError: There is no `java`.
        subprocess.SubprocessError: It failed or did not end.
        RuntimeError: It did not give one line per caption.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer

    jar = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
    program = ["java", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    # Any line break within a caption would shift all the lines that follow.
    text = "\n".join(" ".join(caption.split()) for caption in captions)
    result = subprocess.run(
        [*program, "-preserveLines", "-lowerCase", "-encoding", "UTF-8"],
        input=text.encode("utf-8", errors="replace"),
        capture_output=True,
        check=True,
        timeout=_JAVA_SECONDS,
    )
    lines = result.stdout.decode("utf-8").split("\n")
    if len(lines) != len(captions):
        raise RuntimeError(f"got {len(lines)} tokenised lines; expected {len(captions)}")
    marks = frozenset(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(w for w in line.split(" ") if w and w not in marks) for line in lines]
