"""The elements that flow through the pipelines: paths and text, never the bytes of pictures."""

from dataclasses import dataclass, field
from typing import NamedTuple


# Slots: a listing makes millions of them.
@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file, or a member of a container, taken for a picture.

    Attributes:
        uri: absolute path or URI; of a member ``CONTAINER!/MEMBER``.
        image_id: path below the folder that was given, or the member's name; what captions name.
        byte_size: size that the listing gave; of a row of a Parquet file, that file's size.
        container: the tar, zip or Parquet file that holds it, or None.
        member: its name in the container; of a row of a Parquet file, the row's number, after
            the column's name and a slash where the column was named.
        offset: where a tar member's bytes start; the number of a Parquet row.
        flaw: what the listing found wrong with it, as ``REASON: MESSAGE``; it is not read then.
        modified_usec: when it last changed, in microseconds since 1970; None if nothing tells. A
            member of a tar has the time in its header, a row of a Parquet file that file's.
        sha256: of its bytes, where they are known: other bytes are another picture's.
    """

    uri: str
    image_id: str
    byte_size: int
    container: str | None = None
    member: str | None = None
    offset: int | None = None
    flaw: str | None = None
    modified_usec: int | None = field(default=None, compare=False)
    sha256: str | None = None


@dataclass(frozen=True)
class Caption:
    """A caption as its file gives it.

    Attributes:
        image_id: the picture's name.
        position: keeps the file's order.
        text: as given.
        split: `train`, `validation` or `test` where the file says so, else None.
    """

    image_id: str
    position: int
    text: str
    split: str | None = None


@dataclass(frozen=True, order=True)
class SplitEntry:
    """A line of a split list."""

    image_id: str
    split: str


@dataclass(frozen=True)
class PreparedImage:
    """A picture that was decoded, resized and stored; all that later steps need to know of it.

    Attributes:
        image_id: see `ImageFile`.
        uri: see `ImageFile`.
        store: name of the file of pixels, PNGs end to end, that holds its own.
        offset: where its PNG starts in that file.
        length_bytes: of its PNG.
        pixel_sha256: SHA-256 of the decoded, resized pixels, in hexadecimal.
        perceptual_hash: 64 bits, in hexadecimal: near pictures have near hashes.
        width_px: as a person sees it, orientation applied.
        height_px: the same.
        mode: Pillow's name of the file's pixels, e.g. ``CMYK``.
        format: Pillow's name of the file's format.
        byte_size: of the file.
    """

    image_id: str
    uri: str
    store: str
    offset: int
    length_bytes: int
    pixel_sha256: str
    perceptual_hash: str
    width_px: int
    height_px: int
    mode: str
    format: str
    byte_size: int


@dataclass(frozen=True)
class CaptionedImage:
    """A picture joined with its captions and its split."""

    image: PreparedImage
    split: str
    captions: tuple[str, ...]

    @property
    def image_id(self) -> str:
        """The picture's name."""
        return self.image.image_id


@dataclass(frozen=True)
class DuplicatePair:
    """Two pictures of the same or nearly the same content in two splits.

    Attributes:
        image_id: the one that was moved or dropped, or would be.
        split: its split as given.
        other_image_id: the one that keeps its place.
        other_split: that one's split.
        distance: bits in which their perceptual hashes differ; 0 for the same pixels.
        action: `moved`, `dropped` or `reported`.
    """

    image_id: str
    split: str
    other_image_id: str
    other_split: str
    distance: int
    action: str


@dataclass(frozen=True)
class TokenisedImage:
    """A captioned picture with the token ids of each caption."""

    image: CaptionedImage
    token_ids: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reject:
    """An input that gives no example, and why. `caption` is set if a caption alone is rejected."""

    image_id: str
    image_uri: str | None
    stage: str
    reason: str
    error: str
    caption: str | None = None


class Tally(NamedTuple):
    """A count of one thing, e.g. ``("examples", "train", 512)``; tallies add up."""

    what: str
    of: str
    number: int


@dataclass(frozen=True)
class Unit:
    """A unit of work and of commit: one batch of a plan, written as one Parquet file.

    Attributes:
        unit_id: derived from the pictures in it.
        plan_uri: the plan, an Arrow listing.
        batch: which of its record batches.
    """

    unit_id: str
    plan_uri: str
    batch: int
