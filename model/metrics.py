"""Caption scores: BLEU, ROUGE-L, CIDEr, METEOR and SPICE as the COCO evaluation computes them.

The measures themselves are pycocoevalcap's, so that figures compare with published ones. What they
are computed over is as much a part of a figure as the measure, so every set of scores names the
tokeniser that made the words. A measure that cannot be had here is left out and named, never
replaced by one like it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.bleu import bleu
from model.bootstrap import Interval, intervals
from model.errors import CaptionerError
from model.java import JavaError
from model.measures import Guess, Measure, Truth, mean_of
from model.meteor import meteor
from model.spice import spice
from model.tokenisers import tokenise

_JAVA_MEASURES: Final = {"meteor": meteor, "spice": spice}


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one set of captions.

    Their names, each 0 to 1 but for CIDEr:

    - bleu_1 to bleu_4: BLEU over up to so many words in a row, over the whole set (Papineni et al.,
      ACL 2002).
    - rouge_l: Mean ROUGE-L F-measure with beta 1.2 (Lin, ACL workshop 2004).
    - cider: Mean CIDEr-D, 0 to 10 (Vedantam et al., CVPR 2015): what the COCO evaluation, and with
      it everyone, publishes as CIDEr is CIDEr-D (sigma 6, matches clipped), so there is no second
      score under that name. Words are weighed by how few images' references hold them, so a single
      image scores 0 whatever its caption.
    - meteor: METEOR 1.5 over the whole set (Denkowski & Lavie, WMT 2014); with Java only.
    - spice: Mean SPICE F-measure (Anderson et al., ECCV 2016); with Java and its parser's files
      only.

    Attributes:
        tokeniser: Name of the tokeniser that split captions and references.
        image_ids: Of the images scored, in the order of the measures' statistics.
        measures: What was computed.
        left_out: Why a measure was not computed, by name.
    """

    tokeniser: str
    image_ids: tuple[str, ...]
    measures: tuple[Measure, ...]
    left_out: Mapping[str, str]

    def values(self) -> dict[str, float]:
        """The scores of the whole set, by name."""
        return {name: value for m in self.measures for name, value in m.scores().items()}

    def by_image(self) -> dict[str, dict[str, float]]:
        """The scores of each image alone, by image id and name."""
        parts = zip(*(measure.by_image() for measure in self.measures), strict=True)
        return {
            image: {name: value for part in row for name, value in part.items()}
            for image, row in zip(self.image_ids, parts, strict=True)
        }

    def intervals(self) -> dict[str, Interval]:
        """The 95% bootstrap intervals of `values()`, by name."""
        return {name: ends for m in self.measures for name, ends in intervals(m).items()}


def score_captions(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tokeniser: str = "auto",
) -> CaptionScores:
    """Score one caption per image against that image's references.

    Args:
        candidates: Caption by image id; an empty one is allowed and scores 0.
        references: Reference captions by image id. Images without a candidate are left out, of
            CIDEr's word weights too.
        tokeniser: "java" for the published measures' own tokeniser, "python" for `model.ptb`'s,
            "auto" for Java's where it runs and ours elsewhere. With "python" no Java is run, so
            METEOR and SPICE are left out.

    Raises:
        ValueError: No candidates; an image without references; an unknown tokeniser.
        CaptionerError: Java's tokeniser was demanded and does not run; an image with no word in any
            of its references.
    """
    _check(candidates, references)
    ids = tuple(candidates)
    batches = [
        [caption for image in ids for caption in references[image]],
        [candidates[image] for image in ids],
    ]
    (reference_lines, candidate_lines), name, without_java = tokenise(batches, tokeniser)
    rest = iter(reference_lines)
    truth = {image: [next(rest) for _ in references[image]] for image in ids}
    wordless = [image for image in ids if not any(truth[image])]
    if wordless:
        raise CaptionerError(
            f"got {len(wordless)} image(s) whose captions hold no word to the tokeniser {name}, "
            f"the first being {wordless[0]!r}; correct them, or leave the pictures out of the split"
        )
    guess = {image: [line] for image, line in zip(ids, candidate_lines, strict=True)}
    measures = [bleu(truth, guess), _rouge_l(truth, guess), _cider(truth, guess)]
    left_out = dict.fromkeys(_JAVA_MEASURES, without_java) if without_java else {}
    for measure, compute in _JAVA_MEASURES.items():
        if measure not in left_out:
            try:
                measures.append(compute(truth, guess))
            except JavaError as error:
                left_out[measure] = str(error)
    return CaptionScores(name, ids, tuple(measures), left_out)


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


def _rouge_l(truth: Truth, guess: Guess) -> Measure:
    """Mean ROUGE-L."""
    # Imported here: the rest of `model` works where pycocoevalcap is not installed.
    from pycocoevalcap.rouge.rouge import Rouge

    _, by_image = Rouge().compute_score(truth, guess)
    # The scorer takes an empty line for one (empty) word, which a wordless reference matches.
    scores = [s if line else 0.0 for s, (line,) in zip(by_image, guess.values(), strict=True)]
    return mean_of("rouge_l", scores)


def _cider(truth: Truth, guess: Guess) -> Measure:
    """Mean CIDEr-D, under the name that it is published by."""
    from pycocoevalcap.cider.cider import Cider

    _, by_image = Cider().compute_score(truth, guess)
    return mean_of("cider", by_image)
