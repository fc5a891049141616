"""Reads and checks all inputs of preprocessing but the pictures' bytes, before work starts."""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import is_zip_member
from pipelines.captions.formats import image_sources_of, list_captioned_images, read_all_captions
from pipelines.captions.shared_names import SharedNames, find_shared_names
from pipelines.joins import AMBIGUOUS, DUPLICATE_NAME, MISSING, main_reason
from pipelines.listing import read_batch, write_listing
from pipelines.picture_names import CaptionNames, with_one_name
from pipelines.preprocess_config import PreprocessConfig
from pipelines.records import Caption, ImageFile, SplitEntry
from pipelines.sources import SkippedFiles, list_all_images, normalise_id, read_split_lists
from pipelines.splits import SplitRatios
from pipelines.uncaptioned import Uncaptioned, write_uncaptioned

Row = TypeVar("Row")
_CAPTION_ROWS = 4096
# Pictures decoded into one pixel store: the unit that workers share out.
IMAGES_PER_STORE = 256


@dataclasses.dataclass
class _Seen:
    """What passed by while captions and pictures were written to their listings."""

    shared: SharedNames
    image_ids: set[str] = dataclasses.field(default_factory=set)
    free: set[str] = dataclasses.field(default_factory=set)
    by_whole_path: bool = False
    name_of: dict[str, str] = dataclasses.field(default_factory=dict)
    gives_splits: bool = False
    listed: int = 0
    captioned: int = 0
    image_id: str | None = None
    digest: Any = dataclasses.field(default_factory=hashlib.sha256)


@dataclasses.dataclass(frozen=True)
class Listings:
    """The listings in the staging folder, as URIs and numbers of batches.

    Attributes:
        ratios: of a split by hash; None if lists or captions give the splits.
        listed: pictures found.
        captioned: those of them that captions name.
        uncaptioned: those that none names, which are rejects already and in no listing.
        caption_name: a name by which a caption calls its picture.
        image_name: the name of a picture found.
        digest: of the names and sizes of the pictures.
    """

    captions: tuple[str, int]
    images: tuple[str, int]
    splits: tuple[str, int]
    ratios: SplitRatios | None
    listed: int
    captioned: int
    uncaptioned: int
    caption_name: str
    image_name: str
    digest: str

    def why_none_is_left(self, rejects: Mapping[str, int]) -> str:
        """What a person needs to see where names cost all pictures: they differ, or are shared.

        Args:
            rejects: how many there are for each reason.

        Returns:
            "" if most of them were lost for another reason.
        """
        names = (
            f"captions call their images e.g. {self.caption_name!r}, the images are called e.g. "
            f"{self.image_name!r}: give --images so that these names agree"
        )
        if not rejects.get(AMBIGUOUS):
            # More than a manifest's files that captions name, which may be missing too.
            to_blame = rejects.get(MISSING, 0) > self.captioned
            return names if to_blame and main_reason(rejects) == MISSING else ""
        name, uri, other = next(self._pictures_of_one_name())
        several = (
            f"several pictures have one name, e.g. {name!r}: {uri} and {other}; rename them, let "
            "captions call each by its whole path, or leave --images out if the captions hold "
            "their pictures"
        )
        return f"{several}; {names}" if rejects.get(MISSING) else several

    def _pictures_of_one_name(self) -> Iterator[tuple[str, str, str]]:
        """Names and the URIs of two pictures that have them."""
        uris: dict[str, str] = {}
        for image in _rows(self.images, ImageFile):
            # A later member of the name is no picture of its own: see `separate_doubled`.
            if image.flaw is None or not image.flaw.startswith(DUPLICATE_NAME):
                first = uris.setdefault(image.image_id, image.uri)
                if first != image.uri:
                    yield image.image_id, first, image.uri


def write_listings(
    config: PreprocessConfig, folder: str, rejects: str, skipped: SkippedFiles
) -> Listings:
    """Reads captions, split lists and the names of pictures; writes them as listings.

    Args:
        folder: where the listings go.
        rejects: where the rejects of pictures that no caption names go.

    Raises:
        CaptionerError: if an input is missing, malformed, or contradicts another.
    """

    def listing(name: str, rows: Iterable, row_type: type, per_batch: int) -> tuple[str, int]:
        uri = f"{folder}/{name}.arrow"
        return uri, sum(1 for _ in write_listing(rows, row_type, uri, per_batch))

    seen = _Seen(shared=_shared_names(config))
    captions = listing("captions", _captions(config, seen), Caption, _CAPTION_ROWS)
    found = listing("found", _find_pictures(config, skipped, seen), ImageFile, IMAGES_PER_STORE)
    with write_uncaptioned(f"{rejects}/part-no-caption.parquet") as uncaptioned:
        named = _name_pictures(found, seen, uncaptioned)
        images = listing("images", named, ImageFile, IMAGES_PER_STORE)
    files.delete(found[0])
    if seen.name_of:
        read, renamed = captions, with_one_name(_rows(captions, Caption), seen.name_of)
        captions = listing("named", renamed, Caption, _CAPTION_ROWS)
        files.delete(read[0])
    entries = with_one_name(read_split_lists(config.split_lists), seen.name_of)
    splits = listing("splits", entries, SplitEntry, _CAPTION_ROWS)
    by_hash = None if config.split_lists or seen.gives_splits else SplitRatios()
    return Listings(
        captions=captions,
        images=images,
        splits=splits,
        ratios=config.split_ratios or by_hash,
        listed=seen.listed,
        captioned=seen.captioned,
        uncaptioned=uncaptioned.count,
        caption_name=min(seen.image_ids),
        image_name=seen.image_id or "",
        digest=seen.digest.hexdigest(),
    )


def _shared_names(config: PreprocessConfig) -> SharedNames:
    """The names in several of the captions files, if these are where the pictures are."""
    if config.images:
        return SharedNames()
    sources = image_sources_of(config.captions, config.columns)
    return find_shared_names(sources, config.columns.image)


def _captions(config: PreprocessConfig, seen: _Seen) -> Iterator[Caption]:
    """All captions; what lists or ratios say of splits goes before what captions say."""
    with_splits = not (config.split_lists or config.split_ratios)
    for caption in read_all_captions(
        config.captions, config.columns, config.min_score, with_splits, seen.shared
    ):
        seen.image_ids.add(caption.image_id)
        seen.gives_splits = seen.gives_splits or caption.split is not None
        yield caption


def _find_pictures(
    config: PreprocessConfig, skipped: SkippedFiles, seen: _Seen
) -> Iterator[ImageFile]:
    """All pictures, each called by its path; the captions' other names are `seen.free` then."""
    seen.free = set(seen.image_ids)
    for image in list_pictures(config, skipped, seen.shared):
        seen.digest.update(_state(image))
        seen.listed += 1
        seen.image_id = image.image_id
        whole = normalise_id(image.uri)
        seen.by_whole_path = seen.by_whole_path or whole in seen.image_ids
        seen.free -= {image.image_id, whole}
        yield image


def _name_pictures(
    found: tuple[str, int], seen: _Seen, uncaptioned: Uncaptioned
) -> Iterator[ImageFile]:
    """The pictures of the listing `found` that captions name, and called so; they are counted.

    The others are added to `uncaptioned`, but for those with a flaw, whose reason that is. What
    else captions call some is in `seen.name_of` then.
    """
    names = CaptionNames(seen.image_ids, seen.free)
    if seen.by_whole_path and seen.free:
        names = names.with_ends(_rows(found, ImageFile))
    for image in _rows(found, ImageFile):
        image = _renamed(image, names.name(image.image_id, image.uri))
        if other := names.other_name(image.image_id, image.uri):
            seen.name_of[other] = image.image_id
        known = image.image_id in seen.image_ids
        seen.captioned += known
        if known or image.flaw:
            yield image
        else:
            uncaptioned.add(image)


def _rows(listing: tuple[str, int], row_type: type[Row]) -> Iterator[Row]:
    uri, batches = listing
    for number in range(batches):
        yield from read_batch(uri, number, row_type)


def list_pictures(
    config: PreprocessConfig, skipped: SkippedFiles, shared: SharedNames
) -> Iterator[ImageFile]:
    """The pictures that `--images` names or the captions hold, each once.

    Args:
        shared: names of which the captions file that holds the picture is a part.

    Raises:
        CaptionerError: if there are none, or a source is missing or damaged.
    """
    own = any(source.format == "captions" for source in config.captions)
    if config.images:
        images = list_all_images(config.images, skipped, config.images_column)
    elif own:
        images = list_captioned_images(config.captions, config.min_score)
    elif sources := image_sources_of(config.captions, config.columns):
        images = list_all_images(sources, skipped, config.columns.image)
    else:
        raise CaptionerError("--images is missing: these captions do not hold their pictures")
    uris: set[str] = set()
    for image in images:
        if len(config.images) > 1:  # two sources may list one file
            if image.uri in uris:
                continue
            uris.add(image.uri)
        # A table of captions names pictures by their URI.
        yield _renamed(
            image, image.uri if own else shared.name(image.container or "", image.image_id)
        )


def _renamed(image: ImageFile, image_id: str) -> ImageFile:
    """`image` under its normalised name."""
    name = normalise_id(image_id)
    return image if name == image.image_id else dataclasses.replace(image, image_id=name)


def _state(image: ImageFile) -> bytes:
    return f"{image.uri}\0{image.byte_size}\0".encode("utf-8", "surrogateescape")


def digest_pictures(config: PreprocessConfig, made_usec: int | None) -> str:
    """A digest of the names and sizes of the pictures, as `write_listings` computes it.

    It is another one if a picture was modified since.

    Args:
        made_usec: when `write_listings` was done, or later, in microseconds since 1970, if known.
    """
    digest, now_usec = hashlib.sha256(), time.time_ns() // 1000
    changed_usec = functools.cache(files.modified_usec)
    # What the pictures are called is no part of it: it takes no second pass over the shards.
    for image in list_pictures(config, SkippedFiles(), SharedNames()):
        digest.update(_state(image))
        modified = image.modified_usec
        if image.container and is_zip_member(image):
            modified = changed_usec(image.container)
        # A time that lies in the future tells nothing.
        if made_usec and made_usec < (modified or 0) <= now_usec:
            digest.update(b"modified")
    return digest.hexdigest()


def combine(request: str, pictures: str) -> str:
    """The digest of a request and of its pictures."""
    return hashlib.sha256(f"{request} {pictures}".encode()).hexdigest()
