"""Tests of `to_rgb`: every mode of Pillow, transparency, and samples of more than 8 bits."""

from __future__ import annotations

import struct
import zlib

import builders
import numpy as np
import pytest
from golden import images as golden
from PIL import Image

from model.colour import to_rgb
from model.config import ImageConfig
from model.image import decode_image

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SIZE = ImageConfig(image_size_px=32)
WIDTH, BITS_PER_SAMPLE, PHOTOMETRIC = 256, 258, 262


def decode_colour(mode: str, colour: object, format: str, **options: object) -> list[int]:
    """The RGB that a file of one colour comes out as."""
    picture = Image.new(mode, (16, 16), colour)  # type: ignore[arg-type]
    return only_colour(builders.picture_file(picture, format, **options))


def only_colour(data: bytes) -> list[int]:
    pixels = decode_image(data, SIZE).pixels
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()


def levels_file(levels: list, dtype: object, format: str = "TIFF", **options: object) -> bytes:
    """A grey picture of 32 x 32 px, a column of 32 / n px for each of n levels."""
    row = np.repeat(np.array(levels, dtype), 32 // len(levels))
    return builders.picture_file(Image.fromarray(np.tile(row, (32, 1))), format, **options)


def shades(data: bytes, count: int) -> list[int]:
    """The grey that each of `count` columns of a file of 32 x 32 px comes out as."""
    pixels = decode_image(data, SIZE).pixels
    assert (pixels == pixels[:1]).all()
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :: 32 // count, 0].tolist()


def png_file(bit_depth: int, colour_type: int, row: bytes, transparent: bytes) -> bytes:
    """A PNG 32 px wide and high, each row as `row`, that names a colour transparent."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", struct.pack(">IIBBBBB", 32, 32, bit_depth, colour_type, 0, 0, 0)),
            (b"tRNS", transparent),
            (b"IDAT", zlib.compress((b"\x00" + row) * 32)),
            (b"IEND", b""),
        )
    )


def with_tag(tiff: bytes, tag: int, value: int, kind: int = 3) -> bytes:
    """The little-endian TIFF with another value of a tag of kind SHORT (3) or LONG (4)."""
    position = tiff.index(struct.pack("<HHI", tag, kind, 1))
    return tiff[: position + 8] + struct.pack("<I", value) + tiff[position + 12 :]


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
        ("F", 1e9, "TIFF", [0, 0, 0]),
        ("F", float("nan"), "TIFF", [0, 0, 0]),
    ],
)
def test_every_mode_becomes_rgb(mode: str, colour: object, format: str, expected: list) -> None:
    assert decode_colour(mode, colour, format) == expected


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("La", (50, 51), [254, 254, 254]),
        ("RGBa", (50, 0, 0, 51), [254, 204, 204]),
        ("PA", (0, 0), [255, 255, 255]),
        ("HSV", (0, 255, 255), [255, 0, 0]),
        ("YCbCr", (77, 128, 128), [77, 77, 77]),
        ("LAB", (255, 128, 128), [255, 255, 255]),
        ("RGBX", (1, 2, 3, 0), [1, 2, 3]),
        ("I;16B", 100 * 257, [100, 100, 100]),
        ("I;16L", 100 * 257, [100, 100, 100]),
        ("I;16N", 100 * 257, [100, 100, 100]),
    ],
)
def test_modes_that_few_files_have_become_rgb(mode: str, colour: object, expected: list) -> None:
    picture = Image.new(mode, (4, 4), colour)  # type: ignore[arg-type]
    assert to_rgb(picture).mode == "RGB"
    np.testing.assert_allclose(to_rgb(picture).getpixel((1, 1)), expected, atol=1)


@pytest.mark.parametrize("name", golden.opaque_files())
def test_a_picture_looks_the_same_in_every_mode(name: str) -> None:
    decoded = decode_image(golden.opaque_files()[name], SIZE)
    expected = golden.picture().resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(expected)).mean() < 2.5
    assert name.split()[1].rstrip(",") == decoded.format


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("RGB JPEG", "RGB"),
        ("CMYK JPEG, Adobe", "CMYK"),
        ("YCCK JPEG, Adobe", "CMYK"),
        ("1 PNG", "1"),
        ("LA PNG", "LA"),
        ("P PNG, alpha", "P"),
        ("I;16 PNG", "I;16"),
        ("LAB TIFF", "LAB"),
        ("F TIFF", "F"),
        ("RGBA WEBP", "RGBA"),
    ],
)
def test_the_mode_of_the_file_is_kept(name: str, mode: str) -> None:
    assert decode_image(golden.drawn_files()[name], SIZE).mode == mode


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (1, 2, 3)), ("L", 9), ("1", 0), ("I;16", 9)])
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


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "dark", "light"),
    [
        (2, 0, b"\x55" * 4, b"\xaa" * 4),
        (4, 0, b"\x33" * 8, b"\x99" * 8),
        (8, 0, b"\x33" * 16, b"\x99" * 16),
        (16, 0, b"\x12\x34" * 16, b"\x99\x99" * 16),
        (16, 2, b"\x12\x34" * 48, b"\x99\x99" * 48),
    ],
)
def test_a_transparent_colour_is_found_at_every_depth(
    bit_depth: int, colour_type: int, dark: bytes, light: bytes
) -> None:
    level = int.from_bytes(dark[:2]) if bit_depth == 16 else dark[0] & (2**bit_depth - 1)
    transparent = struct.pack(">H", level) * (3 if colour_type == 2 else 1)
    got = shades(png_file(bit_depth, colour_type, dark + light, transparent), 2)
    assert got == [255, {2: 170}.get(bit_depth, 153)]


@pytest.mark.parametrize("format", ["BMP", "TGA", "ICO", "PNG"])
def test_alpha_that_is_0_everywhere_is_padding_where_writers_leave_it_so(format: str) -> None:
    picture = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
    options = {"bitmap_format": "bmp", "sizes": [(32, 32)]} if format == "ICO" else {}
    data = builders.picture_file(picture, format, **options)
    if format == "BMP":
        # Version 4 of the header, whose mask gives the fourth byte to alpha.
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        header = struct.pack("<IiiHHIIIIII", 108, 32, -32, 1, 32, 3, 4096, 0, 0, 0, 0)
        body = header + masks + bytes(108 - 40 - 16) + b"\x00\x00\xc8\x00" * 1024
        data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 108) + body
    assert only_colour(data) == ([255, 255, 255] if format == "PNG" else [200, 0, 0])


@pytest.mark.parametrize("format", ["TGA", "ICO", "PNG"])
def test_alpha_that_is_0_in_places_is_none_of_padding(format: str) -> None:
    picture = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (16, 0, 32, 32))
    options = {"bitmap_format": "bmp", "sizes": [(32, 32)]} if format == "ICO" else {}
    pixels = decode_image(builders.picture_file(picture, format, **options), ImageConfig(32)).pixels
    assert pixels[0, [0, 31]].tolist() == [[255, 255, 255], [200, 0, 0]]


def test_what_the_first_frame_of_a_gif_does_not_cover_is_white() -> None:
    frame = Image.new("P", (20, 10), 0)
    frame.putpalette([200, 0, 0, 0, 0, 200])
    data = bytearray(builders.picture_file(frame, "GIF", background=1, optimize=False))
    data[6:10] = struct.pack("<HH", 40, 40)
    position = data.index(b"," + struct.pack("<HHHH", 0, 0, 20, 10))
    data[position + 1 : position + 5] = struct.pack("<HH", 20, 30)
    decoded = decode_image(bytes(data), ImageConfig(40))
    assert (decoded.width_px, decoded.height_px) == (40, 40)
    expected = np.full((40, 40, 3), 255)
    expected[30:, 20:] = (200, 0, 0)
    np.testing.assert_array_equal(decoded.pixels, expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_come_down_to_eight_in_either_byte_order(order: str) -> None:
    levels = [0, 257 * 7, 257 * 128 + 129, 65535]
    assert shades(levels_file(levels, f"{order}u2"), 4) == [0, 7, 129, 255]
    assert shades(levels_file(levels, f"{order}u2", compression="tiff_lzw"), 4) == [0, 7, 129, 255]


def test_a_tiff_whose_white_is_zero_is_turned_round() -> None:
    plain = levels_file([0, 65535], "u2")
    assert shades(with_tag(plain, PHOTOMETRIC, 0), 2) == [255, 0]
    floats = levels_file([0.0, 1.0], "f4")
    assert shades(with_tag(floats, PHOTOMETRIC, 0), 2) == [255, 0]


def test_twelve_bits_come_down_to_eight() -> None:
    # Two samples of 12 bits take three bytes: rows of 48 bytes are rows of 32 such samples.
    stored = np.tile(np.array([0x80, 0x88, 0x08], np.uint8), (32, 16))
    data = builders.picture_file(Image.fromarray(stored), "TIFF")
    data = with_tag(with_tag(data, BITS_PER_SAMPLE, 12), WIDTH, 32, kind=4)
    assert only_colour(data) == [128, 128, 128]


@pytest.mark.parametrize(
    ("levels", "dtype", "expected"),
    [
        ([0.0, 0.5, 1.0, 0.25], "f4", [0, 128, 255, 64]),
        ([0.0, 100.0, 255.0, 3.0], "f4", [0, 100, 255, 3]),
        ([0, 100, 255, 3], "i4", [0, 100, 255, 3]),
        ([0, 257 * 9, 65535, 257], "i4", [0, 9, 255, 1]),
        ([-3.0, -1.0, 1.0, 3.0], "f4", [0, 85, 170, 255]),
        ([100_000, 150_000, 200_000, 175_000], "i4", [0, 128, 255, 191]),
        ([1e-9, -1e-9, 1e-9, -1e-9], "f4", [255, 0, 255, 0]),
        ([0.0, float("inf"), float("nan"), 1.0], "f4", [0, 255, 0, 255]),
    ],
)
def test_samples_of_no_known_white_are_scaled(levels: list, dtype: str, expected: list) -> None:
    np.testing.assert_allclose(shades(levels_file(levels, dtype), 4), expected, atol=1)


def test_a_few_wild_samples_do_not_hide_the_others() -> None:
    heights = np.linspace(900, 1100, 100 * 100, dtype="f4").reshape(100, 100)
    heights[0, :5] = -3.4e38
    pixels = decode_image(builders.picture_file(Image.fromarray(heights), "TIFF"), SIZE).pixels
    assert pixels[1:].min() < 20
    assert pixels.max() > 235
    assert 118 < pixels[16].mean() < 138
