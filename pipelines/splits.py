"""Splits: by image, as given or by hash, so that no image's captions straddle two of them."""

import hashlib
from dataclasses import dataclass

from model.artifacts import SPLITS
from model.errors import CaptionerError


@dataclass(frozen=True)
class SplitRatios:
    """Shares of images in train, validation and test; they sum to 1."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        # Said in the positive: every comparison with NaN is false.
        if not (min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6 and self.train > 0):
            raise CaptionerError(
                f"--split-ratios: got {','.join(map(str, shares))}, expected three shares that sum "
                "to 1, the first above 0, e.g. 0.8,0.1,0.1"
            )


def parse_split_ratios(text: str) -> SplitRatios:
    """Reads ``0.8,0.1,0.1``.

    Raises:
        CaptionerError: if it is not three numbers that sum to 1.
    """
    try:
        train, validation, test = (float(share) for share in text.split(","))
    except ValueError as error:
        raise CaptionerError(
            f"--split-ratios: got {text!r}, expected three numbers, e.g. 0.8,0.1,0.1"
        ) from error
    return SplitRatios(train, validation, test)


def hash_fraction(image_id: str) -> float:
    """A fraction in [0, 1) that depends on nothing but `image_id`."""
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def split_by_hash(image_id: str, ratios: SplitRatios) -> str:
    """The split of `image_id`: the same in every run, however many images there are."""
    fraction = hash_fraction(image_id)
    if fraction < ratios.train:
        return SPLITS[0]
    return SPLITS[1] if fraction < ratios.train + ratios.validation else SPLITS[2]


def shard_of(image_id: str, shards: int) -> int:
    """The shard of `image_id`, 0 to `shards` - 1, independent of its split."""
    return int(hash_fraction("shard/" + image_id) * shards)
