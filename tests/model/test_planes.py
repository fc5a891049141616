"""Tests of TIFFs with a plane for each colour: they come out as stored, or are refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from model.config import ImageConfig
from model.image import ImageError, decode_image

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SIZE = ImageConfig(image_size_px=32)
KINDS = {"u": 1, "i": 2, "f": 3}
UNPACKED, PACKED = 1, 8
WIDTH, BITS, FILL_ORDER = 256, 258, 266
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INKS, LAB = 0, 1, 2, 5, 8
# Down, across, along the diagonal, and one of a single level.
DOWN, ACROSS = np.mgrid[:32, :32] / 31
LEVELS = np.stack([DOWN, ACROSS, (DOWN + ACROSS) / 2, np.full_like(DOWN, 0.75)], axis=2)


def tiff(
    samples: np.ndarray,
    photometric: int,
    extra: int | None,
    planes: bool,
    packing: int,
    tags_of_its_own: dict[int, list[int]] | None = None,
) -> bytes:
    """A TIFF of `samples [H, W, C]`, a strip for each plane.

    Args:
        extra: what a fourth sample is, or a second of grey.
        planes: whether each colour has one.
        tags_of_its_own: in place of those that go with `samples`.
    """
    order = {"<": b"II", ">": b"MM"}[samples.dtype.str[0]] if samples.itemsize > 1 else b"II"
    sign = {b"II": "<", b"MM": ">"}[order]
    height, width, count = samples.shape
    strips = np.moveaxis(samples, 2, 0) if planes else [samples]
    stored = [np.ascontiguousarray(strip).tobytes() for strip in strips]
    stored = [zlib.compress(data) for data in stored] if packing == PACKED else stored
    body = bytearray(struct.pack(f"{sign}2sHI", order, 42, 0))

    def put(data: bytes) -> int:
        place = len(body)
        body.extend(data + b"\0" * (len(data) % 2))
        return place

    offsets = [put(data) for data in stored]
    tags = {
        256: [width],
        257: [height],
        258: [8 * samples.itemsize] * count,
        259: [packing],
        262: [photometric],
        273: offsets,
        277: [count],
        278: [height],
        279: list(map(len, stored)),
        284: [1 + planes],
        338: [] if extra is None else [extra],
        339: [KINDS[samples.dtype.kind]] * count,
        **(tags_of_its_own or {}),
    }
    entries = b""
    for tag, values in sorted(tags.items()):
        if values:
            data = struct.pack(f"{sign}{len(values)}I", *values)
            value = data if len(values) == 1 else struct.pack(f"{sign}I", put(data))
            entries += struct.pack(f"{sign}HHI", tag, 4, len(values)) + value
    struct.pack_into(f"{sign}I", body, 4, len(body))
    return bytes(body) + struct.pack(f"{sign}H", len(entries) // 12) + entries + bytes(4)


def stored_as(dtype: str, count: int) -> np.ndarray:
    """`LEVELS` of so many colours, from black to white of the type."""
    kind = np.dtype(dtype)
    white = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)
    return (LEVELS[..., :count] * white).astype(kind)


def pixels_of(data: bytes) -> np.ndarray | None:
    """What a file is decoded into, or None if it is refused."""
    try:
        return decode_image(data, SIZE).pixels
    except ImageError:
        return None


@pytest.mark.parametrize("packing", [UNPACKED, PACKED])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", ">i2", "<u4", "<f4", ">f4"])
@pytest.mark.parametrize(
    ("count", "photometric", "extra"),
    [
        (1, BLACK_IS_ZERO, None),
        (1, WHITE_IS_ZERO, None),
        (2, BLACK_IS_ZERO, 2),
        (3, RGB, None),
        (3, LAB, None),
        (4, RGB, None),
        (4, RGB, 0),
        (4, RGB, 2),
        (4, INKS, None),
    ],
)
def test_planes_come_out_as_the_same_pixels_in_one_or_not_at_all(
    count: int, photometric: int, extra: int | None, dtype: str, packing: int
) -> None:
    samples = stored_as(dtype, count)
    found = pixels_of(tiff(samples, photometric, extra, True, packing))
    if found is not None:
        expected = pixels_of(tiff(samples, photometric, extra, False, packing))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize(
    ("dtype", "tags"),
    [
        ("u1", {}),
        ("<u2", {}),
        ("<u2", {FILL_ORDER: [2]}),
        ("<i2", {}),
        (">f4", {}),
        ("u1", {WIDTH: [256], BITS: [1]}),
        ("u1", {WIDTH: [64], BITS: [4]}),
        ("<u2", {WIDTH: [42], BITS: [12]}),
    ],
)
def test_the_only_plane_is_read_as_a_picture_without(
    dtype: str, tags: dict[int, list[int]], photometric: int
) -> None:
    samples = stored_as(dtype, 1)
    expected = pixels_of(tiff(samples, photometric, None, False, UNPACKED, tags))
    found = pixels_of(tiff(samples, photometric, None, True, UNPACKED, tags))
    assert (found is None) == (expected is None)
    if found is not None:
        np.testing.assert_array_equal(found, expected)


def test_bits_in_another_order_are_not_mixed_up() -> None:
    data = tiff(stored_as("u1", 3), RGB, None, True, UNPACKED, {FILL_ORDER: [2]})
    assert pixels_of(data) is None


@pytest.mark.parametrize(
    ("dtype", "count", "photometric", "packing"),
    [
        ("u1", 1, BLACK_IS_ZERO, UNPACKED),
        ("<u2", 1, BLACK_IS_ZERO, UNPACKED),
        (">u2", 1, BLACK_IS_ZERO, UNPACKED),
        ("<f4", 1, BLACK_IS_ZERO, UNPACKED),
        ("u1", 3, RGB, UNPACKED),
        ("u1", 4, INKS, UNPACKED),
        ("u1", 3, RGB, PACKED),
        ("<u2", 3, RGB, PACKED),
    ],
)
def test_planes_that_pillow_knows_are_read(
    dtype: str, count: int, photometric: int, packing: int
) -> None:
    assert pixels_of(tiff(stored_as(dtype, count), photometric, None, True, packing)) is not None


def test_what_is_refused_is_told_with_what_to_do() -> None:
    with pytest.raises(ImageError, match=r"a plane for each colour.*INTERLEAVE=PIXEL") as caught:
        decode_image(tiff(stored_as("<u2", 3), RGB, None, True, UNPACKED), SIZE)
    assert caught.value.reason == "unreadable"
