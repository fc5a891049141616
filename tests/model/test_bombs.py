"""Tests of small files that would take hours or all memory, and of sound ones like them."""

from __future__ import annotations

import struct
import time
import zlib

import builders
import numpy as np
import pytest
from PIL import Image

from model.bombs import bomb_before_opening
from model.config import ImageConfig
from model.image import ImageError, decode_image

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SIZE = ImageConfig(image_size_px=32)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("uint8"))


def bomb(data: bytes, config: ImageConfig = SIZE) -> str:
    """The message of the refusal of `data`, which comes at once."""
    started = time.process_time()
    with pytest.raises(ImageError) as caught:
        decode_image(data, config)
    assert caught.value.reason == "bomb"
    assert time.process_time() - started < 2
    return str(caught.value)


def within(data: bytes, at: int, inserted: bytes) -> bytes:
    return data[:at] + inserted + data[at:]


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def gif(extension: bytes) -> bytes:
    data = builders.picture_file(Image.new("L", (8, 8)), "GIF")
    return within(data, data.index(b",\0\0\0\0"), extension)


def scanned_jpeg(scans: int) -> bytes:
    """A grey progressive JPEG of 64 x 64 px, all of whose scans but the first are empty."""
    tables = b"".join(segment(0xC4, bytes([kind, 1]) + bytes(16)) for kind in (0x00, 0x10))
    parts = [
        segment(0xDB, b"\0" + bytes([16]) * 64),
        segment(0xC2, struct.pack(">BHHB3B", 8, 64, 64, 1, 1, 0x11, 0)),
        tables,
        segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(16),
        (segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + bytes(16)) * (scans - 1),
    ]
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def tiled_tiff(side: int) -> bytes:
    """A TIFF of 100 x 100 px in one tile of `side` x `side` px."""
    tile = zlib.compress(bytes(side * side))
    tags = [(256, 100), (257, 100), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, side), (323, side), (324, 8), (325, len(tile))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + directory


def codestream(side: int, tile: int, components: int) -> bytes:
    """The header of a JPEG 2000 of `side` x `side` px, and a tile of nothing."""
    size = struct.pack(">H8IH", 0, side, side, 0, 0, tile, tile, 0, 0, components)
    coding = segment(0x52, bytes([0, 0, 0, 1, 0, 0, 4, 4, 0, 1])) + segment(0x5C, b"\x40\x40")
    part = segment(0x90, struct.pack(">HIBB", 0, 0, 0, 1)) + b"\xff\x93" + bytes(99) + b"\xff\xd9"
    return b"\xff\x4f" + segment(0x51, size + b"\x07\x01\x01" * components) + coding + part


def box(kind: bytes, body: bytes, long: bool = False) -> bytes:
    """A box of a JPEG 2000, of which `long` ones have their size behind their kind."""
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


def boxed(stream: bytes, side: int, long: bool = False) -> bytes:
    header = box(b"ihdr", struct.pack(">IIHBBBB", side, side, 3, 7, 7, 0, 0))
    header += box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16))
    # What a decoder that looked for a codestream would find first.
    decoy = box(b"free", codestream(8, 8, 3), long)
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + decoy + box(b"jp2h", header) + box(b"jp2c", stream, long)


def icon(member: bytes) -> bytes:
    body = struct.pack(">4sI", b"ic07", 8 + len(member)) + member
    return struct.pack(">4sI", b"icns", 8 + len(body)) + body


def texture(jpeg: bytes, header: int = 20) -> bytes:
    """A BLP of 64 x 64 px, the first bytes of whose JPEG are apart from the others."""
    sizes = struct.pack("<6I", 0, 0, 64, 64, 5, 0)
    start, length = 4 + len(sizes) + 2 * 64 + 4 + header + 3, len(jpeg) - header
    tables = struct.pack("<32I", start, *[0] * 15, length, *[0] * 15)
    parts = struct.pack("<I", header) + jpeg[:header] + b"gap" + jpeg[header:]
    return b"BLP1" + sizes + tables + parts


JPEG = builders.picture_file(NOISE, "JPEG")
EXIF = segment(0xE1, b"Exif\0\0" + b"a" * 10)
MANY_COMPONENTS = codestream(32, 1, 16_384)
BOMBS = {
    "blocks of a comment": (gif(b"!\xfe" + b"\x01a" * 20_000 + b"\0"), "blocks of comments"),
    "comments": (gif(b"!\xfe\x01a\0" * 20_000), "blocks of comments"),
    "comments behind an application": (
        gif(b"!\xff\x0bNETSCAPE2.0\0\x01a\0" + b"!\xfe\x01a\0" * 20_000),
        "blocks of comments",
    ),
    "EXIF": (within(JPEG, 2, EXIF * 2_000), "more than 1000 segments of EXIF"),
    "EXIF behind decoys": (
        within(JPEG, 2, segment(0xE5, b"\xff\xda\xff\xd9") + b"junk\xff\xff\xd0" + EXIF * 2_000),
        "segments of EXIF",
    ),
    "EXIF in a texture": (texture(within(JPEG, 2, EXIF * 2_000)), "segments of EXIF"),
    "TIFF": (tiled_tiff(13_440), "got tiles of 180633600 pixels, expected at most 178956970"),
    "JPEG 2000": (boxed(MANY_COMPONENTS, 32), "got 16384 components, expected at most 4"),
    "JPEG 2000 in long boxes": (boxed(MANY_COMPONENTS, 32, long=True), "got 16384 components"),
    "JPEG 2000 in an icon": (icon(boxed(MANY_COMPONENTS, 32)), "got 16384 components"),
    "tiles of JPEG 2000": (codestream(255, 1, 4), "got tiles of 1 x 1 px"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_told_at_once(name: str) -> None:
    data, message = BOMBS[name]
    assert len(data) < 300_000
    assert message in bomb(data)


@pytest.mark.parametrize(("scans", "refused"), [(100, False), (101, True)])
def test_a_jpeg_of_too_many_scans_for_its_size_is_a_bomb(scans: int, refused: bool) -> None:
    data, config = scanned_jpeg(scans), ImageConfig(32, max_pixels=64 * 64)
    if refused:
        assert bomb(data, config) == "got 101 scans of 64 x 64 px, expected at most 100"
    else:
        assert decode_image(data, config).width_px == 64
    assert decode_image(data, SIZE).width_px == 64, "a small one takes no time"


def test_scans_in_a_texture_are_counted_too() -> None:
    config = ImageConfig(32, max_pixels=64 * 64)
    assert bomb(texture(scanned_jpeg(101)), config).startswith("got 101 scans")
    data = texture(scanned_jpeg(100))
    assert decode_image(data, config).format == "BLP"
    with pytest.raises(ImageError) as caught:
        decode_image(data[:-9], config)
    assert caught.value.reason == "truncated"


def test_scans_are_counted_as_libjpeg_finds_them() -> None:
    hidden = scanned_jpeg(50).removesuffix(b"\xff\xd9") + b"\xff\x01"  # a mark without a length
    data = hidden + scanned_jpeg(60).partition(b"\xff\xda")[2].join([b"\xff\xda", b""])
    assert "got 110 scans" in bomb(data, ImageConfig(32, max_pixels=64 * 64))


@pytest.mark.parametrize(
    "data",
    [
        # Another picture behind it, and a thumbnail within.
        scanned_jpeg(20) + scanned_jpeg(200),
        within(scanned_jpeg(20), 2, segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 200)),
    ],
)
def test_scans_that_are_not_the_pictures_do_not_count(data: bytes) -> None:
    assert decode_image(data, ImageConfig(32, max_pixels=64 * 64)).width_px == 64


@pytest.mark.parametrize(
    "data",
    [
        gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 5_000 + b"\0"),
        gif(b"!\xff\x0bXMP DataXMP" + b"\x01a" * 20_000 + b"\0"),
        within(JPEG, 2, segment(0xE1, b"Exif\0\0" + b"a" * 60_000) * 30),
        within(JPEG, 2, segment(0xE5, EXIF * 2_000)),
        builders.picture_file(NOISE, "JPEG", progressive=True, quality=95),
        tiled_tiff(1_024),
        builders.picture_file(NOISE, "JPEG2000", tile_size=(16, 16)),
        builders.picture_file(NOISE, "JPEG2000", no_jp2=True),
    ],
)
def test_what_is_odd_and_sound_is_decoded(data: bytes) -> None:
    assert decode_image(data, SIZE).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("length", [250, 275, 290, 320])
def test_a_jpeg_2000_cut_off_in_its_header_is_unreadable_and_no_bomb(length: int) -> None:
    data = boxed(codestream(32, 32, 3), 32, long=True)[:length]
    with pytest.raises(ImageError) as caught:
        decode_image(data, SIZE)
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("data", [b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1", b""])
def test_the_start_of_a_picture_is_no_bomb(data: bytes) -> None:
    assert bomb_before_opening(data) is None
