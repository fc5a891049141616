"""Tests of HEIF, which an extra reads: as cameras write it, turned, deep, cut and too large."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from golden.images import picture
from PIL import Image

from model.config import ImageConfig
from model.image import ImageError, decode_image, encode_png, image_suffixes

pillow_heif = pytest.importorskip("pillow_heif", reason="the package pillow-heif is not installed")
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
SIZE_PX = 64
CONFIG = ImageConfig(SIZE_PX)


def heic(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "HEIF", **LOSSLESS, **options)
    return buffer.getvalue()


def squeezed(image: Image.Image) -> np.ndarray:
    return decode_image(encode_png(np.asarray(image)), CONFIG).pixels


def test_a_camera_picture_that_lies_on_its_side_is_turned() -> None:
    image = picture()
    exif = image.getexif()
    exif[0x0112] = 6
    decoded = decode_image(heic(image, exif=exif.tobytes()), CONFIG)
    assert (decoded.width_px, decoded.height_px) == (image.height, image.width)
    assert (decoded.format, decoded.mode) == ("HEIF", "RGB")
    upright = image.transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(decoded.pixels, squeezed(upright))


def test_ten_bits_a_colour_are_eight() -> None:
    levels = np.asarray(picture()).astype("uint16") << 8
    file, buffer = pillow_heif.from_bytes("RGB;16", picture().size, levels.tobytes()), io.BytesIO()
    file.save(buffer, **LOSSLESS)
    decoded = decode_image(buffer.getvalue(), CONFIG)
    np.testing.assert_array_equal(decoded.pixels, squeezed(picture()))


def test_a_transparent_part_is_as_in_a_png() -> None:
    image = picture()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    expected = decode_image(buffer.getvalue(), CONFIG).pixels
    np.testing.assert_allclose(decode_image(heic(image), CONFIG).pixels, expected, atol=1)


def test_the_picture_is_decoded_and_not_its_thumbnail() -> None:
    image = Image.effect_noise((512, 512), 90).convert("RGB")
    data = heic(image, thumbnails=[128])
    np.testing.assert_array_equal(decode_image(data, CONFIG).pixels, squeezed(image))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_part_of_a_picture_is_refused(share: float) -> None:
    data = heic(picture())
    with pytest.raises(ImageError) as refused:
        decode_image(data[: int(len(data) * share)], CONFIG)
    assert refused.value.reason in ("truncated", "unreadable")


def test_an_avif_of_a_brand_of_both_is_none_of_it() -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "AVIF")
    expected = decode_image(buffer.getvalue(), CONFIG)
    data = buffer.getvalue().replace(b"ftypavif", b"ftypmif1", 1)
    assert data != buffer.getvalue()
    decoded = decode_image(data, CONFIG)
    assert decoded.format == "AVIF"
    np.testing.assert_array_equal(decoded.pixels, expected.pixels)


def test_a_damaged_header_is_told() -> None:
    with pytest.raises(ImageError, match="starts like HEIF, but its header is damaged") as refused:
        decode_image(b"\x00\x00\x00\x18ftypheic" + bytes(12), CONFIG)
    assert refused.value.reason == "unreadable"


def test_a_bomb_is_refused_by_its_header() -> None:
    data = heic(picture())
    with pytest.raises(ImageError, match=r"1000 pixels.*--max-pixels") as refused:
        decode_image(data, ImageConfig(SIZE_PX, max_pixels=1000))
    assert refused.value.reason == "bomb"


def test_its_suffixes_are_listed() -> None:
    assert {".heic", ".heif", ".hif"} <= image_suffixes()
