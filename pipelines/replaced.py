"""Parquet and zip files that came in the place of others, where neither size nor time tells."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from pipelines import files
from pipelines.archives.containers import (
    close_containers,
    is_parquet_row,
    is_zip_member,
    read_image_bytes,
)
from pipelines.records import ImageFile

# Pictures of a file that are looked at.
_LOOKED_AT = 8


def find_replaced(
    images: Sequence[ImageFile],
    captioned_usec: np.ndarray,
    sha256_of: Callable[[int], str | None],
) -> np.ndarray:
    """Which of `images`, `bool[N]`, lie in a file that is not the one captioned any more.

    Of rows of a Parquet file the listing knows no sizes, and of members of a zip no times; and a
    file that `mv`, `cp -p` or `rsync -a` put in the place of another may be older than the
    captions. The time of its status is not; but that is another one, too, where only its owner is.
    So some pictures from all over it are compared.

    Args:
        images: those that have a row in the ledger; only local files are looked at.
        captioned_usec: when work on their rows began, `int64[N]`.
        sha256_of: the SHA-256 in the row of a picture, by its place in `images`.
    """
    by_container: dict[str, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        if image.container and _tells_little(image) and files.is_local(image.container):
            by_container[image.container].append(number)
    replaced = np.zeros(len(images), bool)
    try:
        for container, numbers in by_container.items():
            before = np.array(numbers)
            before = before[captioned_usec[before] < _status_changed_usec(container)]
            spread = np.linspace(0, len(before), _LOOKED_AT, endpoint=False).astype(int)
            some = np.unique(before[spread]) if len(before) else before
            if any(_is_another(images[n], sha256_of(n)) for n in some.tolist()):
                replaced[before] = True
    finally:
        close_containers()
    return replaced


def _tells_little(image: ImageFile) -> bool:
    return is_parquet_row(image) or is_zip_member(image)


def _status_changed_usec(path: str) -> int:
    try:
        return os.stat(path).st_ctime_ns // 1000
    except OSError:  # it has gone since it was listed, which reading its pictures will tell
        return 0


def _is_another(image: ImageFile, sha256: str | None) -> bool:
    """Whether the bytes are others; those that cannot be read now or then tell nothing."""
    try:
        return sha256 is not None and hashlib.sha256(read_image_bytes(image)).hexdigest() != sha256
    except OSError:
        return False
