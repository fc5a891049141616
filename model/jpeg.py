"""The segments and scans of a JPEG, walked as its readers do, without decoding it."""

import re
from collections.abc import Iterator

EXIF, SCAN = 0xE1, 0xDA
_END_OF_IMAGE = 0xD9
# Markers of no length, to Pillow and to libjpeg.
_ALONE = frozenset([0x00, 0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)])
# What is a marker within coded data, too: no 0xff that was coded, and no restart.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG up to its first scan's, and where their lengths are, as Pillow goes."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) <= len(data) - 4:
        marker = data[at + 1]
        at += 1 if marker == 0xFF else 2
        if marker == 0xFF or marker in _ALONE:
            continue
        yield marker, at
        if marker == SCAN:
            return
        at += max(2, int.from_bytes(data[at : at + 2], "big"))


def scans_of(data: bytes, at: int) -> tuple[int, bool]:
    """The scans of a JPEG from `at` on, none of other pictures behind it, and whether it ends."""
    scans = 0
    while (found := _MARKER.search(data, at)) and (marker := found[0][1]) != _END_OF_IMAGE:
        scans += marker == SCAN
        at = found.end()
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    return scans, found is not None


def is_filled_up(data: bytes) -> bool:
    """Whether a JPEG has zeros in place of its end, as a copy that broke off may leave it.

    libjpeg takes zeros for a part of the picture.
    """
    if not data.endswith(b"\0"):
        return False
    first = next((at for marker, at in segments(data) if marker == SCAN), None)
    return first is not None and not scans_of(data, first - 2)[1]
