"""The elements that flow through the pipelines: paths and text, never the bytes of pictures."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, order=True)
class ImageFile:
    """A file taken for a picture.

    Attributes:
        uri: absolute path or URI.
        image_id: path below the folder that was given, with forward slashes; what captions name.
        byte_size: size that the listing gave.
    """

    uri: str
    image_id: str
    byte_size: int


@dataclass(frozen=True, order=True)
class Caption:
    """A caption as the captions file gives it; `position` keeps the file's order."""

    image_id: str
    position: int
    text: str


@dataclass(frozen=True, order=True)
class SplitEntry:
    """A line of a split list."""

    image_id: str
    split: str


@dataclass(frozen=True)
class CaptionedImage:
    """A picture joined with its captions and its split."""

    image_id: str
    uri: str
    split: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class TokenisedImage:
    """A captioned picture with the token ids of each caption; no caption is empty."""

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
