"""What a practitioner wants to be warned of in a dataset, and from where on."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.config import TrainConfig
from model.vocabulary import SPECIAL_TOKENS
from pipelines.describe.summaries import Description, SplitSummary
from pipelines.readable import plural, share
from pipelines.texts import shorten

MAX_UNKNOWN_SHARE = 0.03
MAX_REJECTED_SHARE = 0.05
MAX_CUT_SHARE = 0.01
MAX_MARKUP_SHARE = 0.01
MAX_COMMON_SHARE = 0.02
MAX_TINY_SHARE = 0.01
MIN_CAPTIONS_PER_IMAGE = 2
# Scores of fewer pictures change by several percent from one choice of pictures to the next.
MIN_EVALUATED_IMAGES = 100
# A picture that is enlarged more than this has little to show; the sides are meant, not the areas.
MAX_ENLARGEMENT = 2
# Training cuts longer captions unless told otherwise: its maximum counts the end mark.
LONGEST_UNCUT = TrainConfig.max_length - 1
_FOREIGN = "files are missing or foreign; run captioner preprocess again."


@dataclass(frozen=True)
class Finding:
    """A warning; `section` is the id of the section of the page that has the numbers."""

    section: str
    text: str


def tiny_limit_px(image_size_px: int) -> int:
    """Pictures whose shorter side is below this are tiny."""
    return -(-image_size_px // MAX_ENLARGEMENT)


def find(description: Description) -> tuple[Finding, ...]:
    """All that is remarkable; the gravest first."""
    return (
        *_damage(description),
        *(found for split in description.examples.splits for found in _of_split(split)),
        *_of_duplicates(description),
        *_of_rejects(description),
        *_of_captions(description),
        *_of_pictures(description),
    )


def _damage(description: Description) -> Iterator[Finding]:
    """Tables that contradict `dataset.json`: a file was lost, or comes from elsewhere."""
    for split in description.examples.splits:
        told = description.info.examples.get(split.name, 0)
        if told != split.images:
            yield Finding(
                "splits",
                f"examples/ holds {plural(split.images, f'{split.name} image')}, dataset.json says "
                f"{told:,}: {_FOREIGN}",
            )
    words = description.info.vocabulary_size - len(SPECIAL_TOKENS)
    if words != description.words.words:
        yield Finding(
            "words",
            f"vocabulary_frequencies.tsv lists {plural(description.words.words, 'word')}, "
            f"dataset.json says {words:,}: {_FOREIGN}",
        )
    told = description.info.inputs - sum(description.info.examples.values())
    if told != description.rejected:
        yield Finding(
            "rejects",
            f"rejects/ holds {plural(description.rejected, 'image')}, dataset.json says {told:,}: "
            f"{_FOREIGN}",
        )


def _of_split(split: SplitSummary) -> Iterator[Finding]:
    if not split.images:
        yield Finding("splits", f"The {split.name} split has no examples.")
        return
    if split.name == "train":
        return
    if split.images < MIN_EVALUATED_IMAGES:
        yield Finding(
            "splits",
            f"The {split.name} split has {plural(split.images, 'image')}; with fewer than "
            f"{MIN_EVALUATED_IMAGES} its scores are a matter of luck.",
        )
    if split.unknown > MAX_UNKNOWN_SHARE * split.tokens:
        yield Finding(
            "words",
            f"{share(split.unknown, split.tokens)} of the {split.name} split's tokens are not in "
            f"the vocabulary (more than {MAX_UNKNOWN_SHARE:.0%}): the model can never say them; "
            "give captioner preprocess a lower --min-count, or more captions.",
        )


def _of_duplicates(description: Description) -> Iterator[Finding]:
    if count := description.duplicates.count("reported"):
        yield Finding(
            "duplicates",
            f"{plural(count, 'pair')} of (nearly) the same picture in two splits: a score on such "
            "pictures is too good to be true.",
        )


def _of_rejects(description: Description) -> Iterator[Finding]:
    inputs = description.images + description.rejected
    if description.rejected > MAX_REJECTED_SHARE * inputs:
        worst = description.rejects[0]
        yield Finding(
            "rejects",
            f"{share(description.rejected, inputs)} of the inputs are rejected (more than "
            f"{MAX_REJECTED_SHARE:.0%}), most often as {worst.reason} ({worst.stage}).",
        )


def _of_captions(description: Description) -> Iterator[Finding]:
    images, captions = description.images, description.captions
    if captions < MIN_CAPTIONS_PER_IMAGE * images:
        yield Finding(
            "captions",
            f"An image has {captions / images:.1f} captions on average, fewer than "
            f"{MIN_CAPTIONS_PER_IMAGE}: scores such as CIDEr need several to compare with.",
        )
    examples = description.examples
    for text, count in examples.common.items():
        if count > MAX_COMMON_SHARE * captions:
            yield Finding(
                "captions",
                f"{share(count, captions)} of the captions are {shorten(text)}, and the model will "
                "say so of many a picture; leave them out unless that is what the pictures show.",
            )
    if examples.markup > MAX_MARKUP_SHARE * captions:
        yield Finding(
            "captions",
            f"{share(examples.markup, captions)} of the captions have HTML in them (<p>…</p>, "
            "&amp;), whose letters become words (p, amp); make them plain text first.",
        )
    splits = examples.splits
    cut = captions - sum(split.lengths.below(LONGEST_UNCUT + 1) for split in splits)
    if cut > MAX_CUT_SHARE * captions:
        yield Finding(
            "captions",
            f"{share(cut, captions)} of the captions have more than {LONGEST_UNCUT} tokens: "
            f"captioner train cuts them there; give it a --max-length above {LONGEST_UNCUT + 1}.",
        )


def _of_pictures(description: Description) -> Iterator[Finding]:
    limit = tiny_limit_px(description.info.image.image_size_px)
    tiny = description.examples.pictures.shorter_sides.below(limit)
    if tiny > MAX_TINY_SHARE * description.images:
        yield Finding(
            "pictures",
            f"{share(tiny, description.images)} of the images are tiny, with a side below "
            f"{limit} px: the model sees them enlarged more than {MAX_ENLARGEMENT} times.",
        )
