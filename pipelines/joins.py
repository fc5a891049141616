"""Joining captions, pictures and splits by image id: every id becomes an example or a reject."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from model.artifacts import SPLITS
from model.text import has_word
from pipelines.records import (
    Caption,
    CaptionedImage,
    PreparedImage,
    Reject,
    SplitEntry,
)
from pipelines.splits import SplitRatios, split_by_hash

AMBIGUOUS, DUPLICATE_NAME, MISSING = "ambiguous", "duplicate_name", "missing"
NO_CAPTION, NO_SPLIT = "no_caption", "no_split"


def join_image(
    image_id: str,
    captions: Iterable[Caption],
    images: Iterable[PreparedImage | Reject],
    splits: Iterable[SplitEntry],
    ratios: SplitRatios | None,
) -> Iterator[CaptionedImage | Reject]:
    """One image id with all that is known of it: a captioned picture, or rejects.

    An id that only a split list names yields nothing: such a line promises nothing.

    Args:
        ratios: shares for a split by hash; None if lists or the captions give the splits.
    """
    ordered = sorted(captions, key=lambda caption: caption.position)
    found, doubled = separate_doubled(images)
    yield from doubled
    if not found:
        if ordered:
            error = "captions name it, but there is no file"
            yield Reject(image_id, None, "join", MISSING, error)
        return
    if len(found) > 1:
        uris = sorted(_uri(image) for image in found)
        error = f"{len(uris)} pictures have this name: {', '.join(uris[:3])}"
        yield from (Reject(image_id, uri, "join", AMBIGUOUS, error) for uri in uris)
        return
    (image,) = found
    if isinstance(image, Reject):
        yield image
        return
    given = [entry.split for entry in splits] or [c.split for c in ordered if c.split]
    if ratios is None and not given:
        error = "it is in none of the split lists, and no caption gives it a split"
        yield Reject(image_id, image.uri, "join", NO_SPLIT, error)
        return
    split = split_by_hash(image_id, ratios) if ratios else given[0]
    yield CaptionedImage(image, split, tuple(caption.text for caption in ordered))


def separate_doubled(
    images: Iterable[PreparedImage | Reject],
) -> tuple[list[PreparedImage | Reject], list[Reject]]:
    """Pictures of one name without those that add nothing: the rejects of these.

    Later members of an archive that repeat a name, and further copies of the same pixels, as in
    tables that repeat the picture for each of its captions.
    """
    doubled: list[Reject] = []
    others: list[PreparedImage | Reject] = []
    for image in sorted(images, key=_uri):
        if isinstance(image, Reject) and image.reason == DUPLICATE_NAME:
            doubled.append(image)
        else:
            others.append(image)
    sound = [image for image in others if isinstance(image, PreparedImage)]
    if len(sound) == len(others) > 1 and len({image.pixel_sha256 for image in sound}) == 1:
        error = f"the same picture as {sound[0].uri}, whose name it has"
        doubled += [Reject(i.image_id, i.uri, "join", DUPLICATE_NAME, error) for i in sound[1:]]
        others = others[:1]
    return others, doubled


def _uri(image: PreparedImage | Reject) -> str:
    return image.uri if isinstance(image, PreparedImage) else image.image_uri or ""


def drop_empty_captions(image: CaptionedImage) -> Iterator[CaptionedImage | Reject]:
    """The picture without its captions of no word, and a reject for each of these.

    A picture with no other caption is rejected itself.
    """
    kept = tuple(text for text in image.captions if has_word(text))
    if not kept:
        error = f"none of its {len(image.captions)} captions has a word after normalisation"
        yield Reject(image.image_id, image.image.uri, "text", "empty_caption", error)
        return
    for text in image.captions:
        if not has_word(text):
            error = "the caption has no word after normalisation"
            yield Reject(image.image_id, image.image.uri, "text", "empty_caption", error, text)
    yield dataclasses.replace(image, captions=kept)


def main_reason(rejects: Mapping[str, int]) -> str:
    """Why most of the captioned pictures were rejected.

    Args:
        rejects: pictures by reason, one of which is a captioned one.
    """
    return max((reason for reason in rejects if reason != NO_CAPTION), key=rejects.__getitem__)


def check_sums(
    examples: Mapping[str, int], rejects: Mapping[str, int], listed: int, unlisted: int
) -> None:
    """Checks that listed pictures + those that only captions name = examples + rejects.

    Args:
        rejects: pictures by reason.
        listed: pictures that the driver found before the pipeline started.
        unlisted: those among the rejects that only captions name.

    Raises:
        RuntimeError: if pictures were lost or made up: a defect, never the user's fault.
    """
    total = sum(examples.get(split, 0) for split in SPLITS) + sum(rejects.values())
    inputs = listed + unlisted
    if total != inputs:
        raise RuntimeError(
            f"got {inputs} images, but {total} examples and rejects ({dict(examples)}, "
            f"{dict(rejects)} rejected): images were lost; please report this"
        )
