"""Tests of the one decoder: orientation, first frames, damage, agreement with TensorFlow's PNG."""

from __future__ import annotations

import contextlib
import io
from concurrent.futures import ThreadPoolExecutor

import builders
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from model.config import ImageConfig
from model.image import DecodedImage, ImageError, decode_image, encode_png

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SIZE = ImageConfig(image_size_px=32)
REASONS = {"empty", "unreadable", "truncated", "bomb"}
ORIENTATION = 0x0112
# How the EXIF standard lays the upright rows and columns out for each orientation.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: upright[::-1].swapaxes(0, 1),
}
FORMATS = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    **({"AVIF": {"quality": 95}} if features.check("avif") else {}),
}


def upright_picture() -> np.ndarray:
    """64 x 48 px, with a mark in one corner and another shade on each side."""
    rows, columns = np.mgrid[0:48, 0:64]
    picture = np.stack([rows * 4, columns * 3, 255 - rows * 2 - columns], axis=-1)
    picture[:12, :16] = (255, 0, 0)
    return picture.astype("uint8")


def oriented_file(orientation: int, format: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright_picture()))
    return builders.picture_file(Image.fromarray(stored), format, exif=exif, **FORMATS[format])


def assert_sound(decoded: DecodedImage) -> None:
    assert decoded.pixels.shape == (32, 32, 3)
    assert decoded.pixels.dtype == np.uint8
    assert min(decoded.width_px, decoded.height_px) > 0


def assert_sound_or_refused(data: bytes) -> None:
    """Either pixels or an ImageError; anything else raised fails the test."""
    reason = None
    try:
        assert_sound(decode_image(data, SIZE))
    except ImageError as error:
        reason = error.reason
    assert reason in {None, *REASONS}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_comes_out_upright(orientation: int, format: str) -> None:
    expected = Image.fromarray(upright_picture()).resize((32, 32), Image.Resampling.BILINEAR)
    decoded = decode_image(oriented_file(orientation, format), SIZE)
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(expected))
    assert difference.mean() < 2
    assert (decoded.width_px, decoded.height_px) == (64, 48)
    assert decoded.format == format


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"no TIFF!", b"II+\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_costs_no_picture(format: str, exif: bytes) -> None:
    plain, lossless = Image.fromarray(upright_picture()), {"lossless": True}
    odd = builders.picture_file(plain, format, exif=b"Exif\0\0" + exif, **lossless)
    np.testing.assert_array_equal(
        decode_image(odd, SIZE).pixels,
        decode_image(builders.picture_file(plain, format, **lossless), SIZE).pixels,
    )


def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_covers_what_is_wanted() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    data = builders.picture_file(Image.fromarray(noise), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (32, 32))
        assert image.size == (32, 32)
        expected = np.asarray(image)
    decoded = decode_image(data, ImageConfig(32))
    assert (decoded.width_px, decoded.height_px) == (256, 256)
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_an_orientation_out_of_range_is_taken_for_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    plain = Image.fromarray(upright_picture())
    odd = decode_image(builders.picture_file(plain, "PNG", exif=exif), SIZE)
    np.testing.assert_array_equal(
        odd.pixels, decode_image(builders.picture_file(plain, "PNG"), SIZE).pixels
    )


@pytest.mark.parametrize(
    ("format", "options"),
    [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {})],
)
def test_the_first_frame_of_an_animation_is_taken(format: str, options: dict) -> None:
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue", "lime")]
    options = {**options, "save_all": True, "append_images": frames[1:]}
    decoded = decode_image(builders.picture_file(frames[0], format, **options), SIZE)
    np.testing.assert_allclose(decoded.pixels[16, 16], [255, 0, 0], atol=2)
    assert (decoded.width_px, decoded.height_px, decoded.format) == (40, 20, format)


def test_threads_decode_as_one_thread_does() -> None:
    files = [oriented_file(turn, format) for turn in STORED for format in FORMATS] * 4
    with ThreadPoolExecutor(8) as pool:
        in_threads = list(pool.map(lambda data: decode_image(data, SIZE).pixels, files))
    for data, pixels in zip(files, in_threads, strict=True):
        np.testing.assert_array_equal(pixels, decode_image(data, SIZE).pixels)


def test_png_keeps_every_pixel_for_pillow_and_tensorflow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
    png = encode_png(pixels)
    np.testing.assert_array_equal(decode_image(png, SIZE).pixels, pixels)
    np.testing.assert_array_equal(tf.io.decode_png(png, channels=3), pixels)


def test_pixels_of_a_jpeg_reach_training_as_decoded() -> None:
    pixels = decode_image(oriented_file(6, "JPEG"), SIZE).pixels
    np.testing.assert_array_equal(tf.io.decode_png(encode_png(pixels), channels=3), pixels)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_decoded(data: bytes) -> None:
    assert_sound_or_refused(data)


@settings(max_examples=200)
@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
def test_damaged_pictures_are_refused_or_decoded(format: str, damage: list, kept: float) -> None:
    data = bytearray(oriented_file(6, format))
    for position, value in damage:
        data[position % len(data)] = value
    assert_sound_or_refused(bytes(data[: int(len(data) * kept) + 1]))


@pytest.mark.parametrize(
    ("mode", "format", "options", "bytes_per_pixel"),
    [
        ("RGB", "PNG", {}, 5),
        ("L", "TIFF", {}, 5),
        ("RGBA", "PNG", {}, 14),
        ("RGB", "PNG", {"transparency": (1, 2, 3)}, 14),
        ("I;16", "PNG", {}, 14),
        ("CMYK", "TIFF", {}, 14),
        ("RGB", "WEBP", {}, 14),
        ("RGB", "JPEG", {}, 5 / 64),
        ("RGB", "JPEG", {"progressive": True}, 5 / 64 + 3),
    ],
)
def test_room_is_asked_for_by_what_decoding_takes(
    mode: str, format: str, options: dict, bytes_per_pixel: float
) -> None:
    """JPEGs are decoded at an eighth of their sides."""
    file, asked = io.BytesIO(), []
    Image.new(mode, (512, 256)).save(file, format, **options)

    def room(size: int) -> contextlib.nullcontext:
        asked.append(size)
        return contextlib.nullcontext()

    decode_image(file.getvalue(), SIZE, room)
    assert asked == [512 * 256 * bytes_per_pixel]
