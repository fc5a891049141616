"""Tests of the one decoder: orientation, modes, damage, and agreement with TensorFlow's PNG."""

from __future__ import annotations

import struct

import builders
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from model.config import ImageConfig
from model.image import DecodedImage, ImageError, decode_image, encode_png, image_suffixes

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


def decode_colour(mode: str, colour: object, format: str, **options: object) -> list[int]:
    """The RGB that a file of one colour comes out as."""
    picture = Image.new(mode, (16, 16), colour)  # type: ignore[arg-type]
    pixels = decode_image(builders.picture_file(picture, format, **options), SIZE).pixels
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()


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


def reason_of(data: bytes, config: ImageConfig = SIZE) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, config)
    return caught.value.reason


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_comes_out_upright(orientation: int, format: str) -> None:
    expected = Image.fromarray(upright_picture()).resize((32, 32), Image.Resampling.BILINEAR)
    decoded = decode_image(oriented_file(orientation, format), SIZE)
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(expected))
    assert difference.mean() < 2
    assert (decoded.width_px, decoded.height_px) == (64, 48)
    assert decoded.format == format


def test_an_orientation_out_of_range_is_taken_for_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    plain = Image.fromarray(upright_picture())
    odd = decode_image(builders.picture_file(plain, "PNG", exif=exif), SIZE)
    np.testing.assert_array_equal(
        odd.pixels, decode_image(builders.picture_file(plain, "PNG"), SIZE).pixels
    )


@pytest.mark.parametrize(
    ("mode", "colour", "format", "expected"),
    [
        ("RGB", (10, 20, 30), "PNG", [10, 20, 30]),
        ("1", 1, "PNG", [255, 255, 255]),
        ("1", 0, "PNG", [0, 0, 0]),
        ("L", 77, "PNG", [77, 77, 77]),
        ("L", 77, "JPEG", [77, 77, 77]),
        ("LA", (100, 255), "PNG", [100, 100, 100]),
        ("LA", (100, 0), "PNG", [255, 255, 255]),
        ("LA", (100, 51), "PNG", [224, 224, 224]),
        ("RGBA", (0, 100, 200, 255), "PNG", [0, 100, 200]),
        ("RGBA", (0, 100, 200, 0), "PNG", [255, 255, 255]),
        ("RGBA", (0, 100, 200, 102), "PNG", [153, 193, 233]),
        ("CMYK", (0, 255, 255, 0), "TIFF", [255, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "TIFF", [0, 0, 0]),
        ("I;16", 100 * 257, "PNG", [100, 100, 100]),
        ("I;16", 65535, "TIFF", [255, 255, 255]),
        ("I;16", 200, "PNG", [1, 1, 1]),
        ("I", 200, "TIFF", [200, 200, 200]),
        ("I", 100 * 257, "TIFF", [100, 100, 100]),
        ("F", 0.2, "TIFF", [51, 51, 51]),
        ("F", 200.0, "TIFF", [200, 200, 200]),
        ("F", 1e9, "TIFF", [255, 255, 255]),
        ("F", float("nan"), "TIFF", [0, 0, 0]),
    ],
)
def test_every_mode_becomes_rgb(mode: str, colour: object, format: str, expected: list) -> None:
    assert decode_colour(mode, colour, format) == expected


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    got = decode_colour("CMYK", (0, 255, 255, 0), "JPEG", quality=98)
    np.testing.assert_allclose(got, [255, 0, 0], atol=3)


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (1, 2, 3)), ("L", 9), ("1", 0)])
def test_a_colour_said_to_be_transparent_becomes_white(mode: str, colour: object) -> None:
    assert decode_colour(mode, colour, "PNG", transparency=colour) == [255, 255, 255]
    assert decode_colour(mode, colour, "PNG") != [255, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_becomes_white(format: str) -> None:
    picture = Image.new("P", (32, 32), 0)
    picture.putpalette([200, 0, 0, 0, 0, 200])
    picture.paste(1, (0, 0, 32, 16))
    pixels = decode_image(builders.picture_file(picture, format, transparency=1), SIZE).pixels
    assert pixels[2, 2].tolist() == [255, 255, 255]
    assert pixels[30, 2].tolist() == [200, 0, 0]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue", "lime")]
    data = builders.picture_file(frames[0], "GIF", save_all=True, append_images=frames[1:])
    decoded = decode_image(data, SIZE)
    assert decoded.pixels[16, 16].tolist() == [255, 0, 0]
    assert (decoded.width_px, decoded.height_px, decoded.format) == (40, 20, "GIF")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_half_a_picture_is_refused(format: str, share: float) -> None:
    picture = Image.fromarray(builders.square_picture("red", 1, size_px=96))
    data = builders.picture_file(picture, format)
    reason = reason_of(data[: int(len(data) * share)])
    assert reason == "truncated" or (format not in ("JPEG", "PNG") and reason == "unreadable")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), "truncated"),
        (SyntaxError("broken PNG file"), "unreadable"),
        (struct.error("unpack requires a buffer of 4 bytes"), "unreadable"),
        (IndexError("index out of range"), "unreadable"),
        (MemoryError(), "bomb"),
    ],
)
def test_whatever_pillow_raises_gives_a_reason(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, reason: str
) -> None:
    def load(_: Image.Image) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert reason_of(oriented_file(1, "PNG")) == reason


def test_what_is_no_picture_is_unreadable() -> None:
    assert reason_of(b"This is a text, not a picture.") == "unreadable"
    assert reason_of(b"") == "empty"


@pytest.mark.parametrize(("max_pixels", "refused"), [(3071, True), (3072, False), (10, True)])
def test_a_picture_of_too_many_pixels_is_a_bomb(max_pixels: int, refused: bool) -> None:
    data = builders.picture_file(Image.fromarray(upright_picture()), "PNG")
    config = ImageConfig(32, max_pixels)
    if refused:
        assert reason_of(data, config) == "bomb"
    else:
        assert_sound(decode_image(data, config))


def test_png_keeps_every_pixel_for_pillow_and_tensorflow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
    png = encode_png(pixels)
    np.testing.assert_array_equal(decode_image(png, SIZE).pixels, pixels)
    np.testing.assert_array_equal(tf.io.decode_png(png, channels=3), pixels)


def test_pixels_of_a_jpeg_reach_training_as_decoded() -> None:
    pixels = decode_image(oriented_file(6, "JPEG"), SIZE).pixels
    np.testing.assert_array_equal(tf.io.decode_png(encode_png(pixels), channels=3), pixels)


def test_suffixes_of_usual_formats_are_known() -> None:
    assert {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif"} <= image_suffixes()


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
