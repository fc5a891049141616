"""Joining captions, pictures and splits by image id: every id becomes an example or a reject."""

from collections.abc import Iterable, Iterator, Mapping

from model.dataset import SPLITS
from pipelines.records import Caption, CaptionedImage, ImageFile, Reject, SplitEntry, TokenisedImage
from pipelines.splits import SplitRatios, split_by_hash


def join_image(
    image_id: str,
    captions: Iterable[Caption],
    images: Iterable[ImageFile],
    splits: Iterable[SplitEntry],
    ratios: SplitRatios | None,
) -> CaptionedImage | Reject | None:
    """One image id with all that is known of it.

    Args:
        ratios: shares for a split by hash; None if `splits` come from lists.

    Returns:
        A captioned picture, a reject, or None for an id that only a split list names: such a line
        promises nothing.
    """
    texts = tuple(caption.text for caption in sorted(captions, key=lambda c: c.position))
    uris = [image.uri for image in images]
    if not texts and not uris:
        return None
    uri = uris[0] if uris else None
    if uri is None:
        return Reject(image_id, uri, "join", "missing", "captions name it, but there is no file")
    if not texts:
        return Reject(image_id, uri, "join", "no_caption", "no caption names this file")
    listed = [entry.split for entry in splits]
    if ratios is None and not listed:
        return Reject(image_id, uri, "join", "no_split", "it is in none of the split lists")
    split = listed[0] if ratios is None else split_by_hash(image_id, ratios)
    return CaptionedImage(image_id, uri, split, texts)


def drop_empty_captions(image: TokenisedImage) -> Iterator[TokenisedImage | Reject]:
    """The picture without its captions of no word, and a reject for each of these.

    A picture with no other caption is rejected itself.
    """
    source = image.image
    pairs = list(zip(source.captions, image.token_ids, strict=True))
    kept = [(text, ids) for text, ids in pairs if ids]
    if not kept:
        error = f"none of its {len(pairs)} captions has a word after normalisation"
        yield Reject(source.image_id, source.uri, "text", "empty_caption", error)
        return
    for text, ids in pairs:
        if not ids:
            error = "the caption has no word after normalisation"
            yield Reject(source.image_id, source.uri, "text", "empty_caption", error, text)
    texts, token_ids = zip(*kept, strict=True)
    captioned = CaptionedImage(source.image_id, source.uri, source.split, texts)
    yield TokenisedImage(captioned, token_ids)


def check_sums(examples: Mapping[str, int], rejects: int, inputs: int) -> None:
    """Checks that inputs = examples + rejected pictures.

    Raises:
        RuntimeError: if pictures were lost or made up: a defect, never the user's fault.
    """
    total = sum(examples.get(split, 0) for split in SPLITS) + rejects
    if total != inputs:
        raise RuntimeError(
            f"got {inputs} images, but {total} examples and rejects ({dict(examples)}, {rejects} "
            "rejected): images were lost; please report this"
        )
