"""Tests of what the decoder refuses: formats, bombs, and pictures that are not whole."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import zlib

import builders
import numpy as np
import pytest
from PIL import Image, ImageFile, features

from model.config import DEFAULT_MAX_PIXELS, ImageConfig
from model.image import ImageError, decode_image, image_suffixes

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SIZE = ImageConfig(image_size_px=32)
# What each of them starts with, and enough of the rest for Pillow to open it.
NOT_READ = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(6) + struct.pack("<4h", 9, 9, 99, 99) + b"\x48\x00" * 60,
    "GRIB": b"GRIB" + bytes(3) + b"\x01" + bytes(99),
    "BUFR": b"BUFR" + bytes(99),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "MPEG": b"\x00\x00\x01\xb3\x02\x00\x20\xff" + bytes(99),
    "FITS": b"".join(
        card.ljust(80) for card in (b"SIMPLE  = T", b"BITPIX  = 8", b"NAXIS   = 2", b"NAXIS1  = 9")
    ).ljust(2880)
    + bytes(99),
}
# Whatever lies in it, an EPS file for one, was opened by all of Pillow's plug-ins.
WRAPPED = (
    b"\x1c\x03\x3c\x00\x02\x01\x00\x1c\x03\x14\x00\x02\x00\x09\x1c\x03\x1e\x00\x02\x00\x09"
    b"\x1c\x03\x78\x00\x01\x01\x1c\x08\x0a" + struct.pack(">H", len(NOT_READ["EPS"]))
) + NOT_READ["EPS"]
CUT = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("JPEG2000", {}),
    ("PPM", {}),
    ("TGA", {}),
    ("ICO", {"sizes": [(64, 64)]}),
    ("ICO", {"sizes": [(64, 64)], "bitmap_format": "bmp"}),
    ("DDS", {}),
    ("QOI", {}),
    *([("AVIF", {})] if features.check("avif") else []),
]
# Formats whose decoders say so when data ends early; the others only say that it is damaged.
SAYS_TRUNCATED = {"JPEG", "PNG", "BMP", "PPM", "TGA", "ICO", "DDS"}


def refusal(data: bytes, config: ImageConfig = SIZE) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data, config)
    return caught.value


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_file(width: int, height: int, *chunks: bytes) -> bytes:
    """The beginning of a grey PNG of a size, with `chunks`, and no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", b"")


def ico_file(member: bytes) -> bytes:
    """An icon that says to be of 16 x 16 px and holds the PNG `member`."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(member), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + member


def gif_file(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF of a hundred bytes whose screen and first frame claim these sizes."""
    data = bytearray(builders.picture_file(Image.new("L", (8, 8)), "GIF"))
    position = data.index(b"," + struct.pack("<HHHH", 0, 0, 8, 8))
    data[6:10] = struct.pack("<HH", *screen)
    data[position + 5 : position + 9] = struct.pack("<HH", *frame)
    return bytes(data)


def webp_file(side: int) -> bytes:
    """An animated WebP of small frames on a canvas that claims a size."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = bytearray(
        builders.picture_file(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    )
    position = data.index(b"VP8X") + 12
    data[position : position + 6] = 2 * struct.pack("<I", side - 1)[:3]
    return bytes(data)


BOMBS = {
    "PNG": png_file(100_000, 100_000),
    "APNG": png_file(60_000, 60_000, chunk(b"acTL", struct.pack(">II", 2, 0))),
    "ICO": ico_file(png_file(50_000, 50_000)),
    "GIF screen": gif_file((65_535, 65_535), (8, 8)),
    "GIF frame": gif_file((8, 8), (65_535, 65_535)),
    "WEBP": webp_file(16_384),
    "PPM": b"P6 99999 99999 255 ",
    "BMP": b"BM" + bytes(8) + b"\x36\x00\x00\x00\x28\x00\x00\x00"
    b"\xff\xff\x00\x00\xff\xff\x00\x00\x01\x00\x18\x00" + bytes(24),
    "PNG text": png_file(8, 8, chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(1 << 24)))),
    "PNG texts": png_file(
        8, 8, *[chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(1_000_000)))] * 80
    ),
    "PNG profile": png_file(8, 8, chunk(b"iCCP", b"a\x00\x00" + zlib.compress(bytes(1 << 24)))),
    "PNG international text": png_file(
        8, 8, chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + zlib.compress(bytes(1 << 24)))
    ),
}


@pytest.mark.parametrize("format", NOT_READ)
def test_what_holds_no_pixels_is_not_read(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    error = refusal(NOT_READ[format])
    assert error.reason == "unreadable"
    assert str(error).startswith(f"{format} is not read: ")


def test_what_is_wrapped_in_iptc_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with Image.open(io.BytesIO(WRAPPED)) as image:
        assert image.format == "IPTC"
    assert refusal(WRAPPED).reason == "unreadable"


def test_formats_that_are_not_read_have_no_suffixes() -> None:
    stubs = [
        name
        for name, (factory, _) in Image.OPEN.items()
        if isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)
    ]
    refused = {*NOT_READ, "IPTC", *stubs}
    suffixes = Image.registered_extensions()
    assert {".eps", ".wmf", ".emf", ".h5", ".mpg", ".fits"} <= set(suffixes)
    known = image_suffixes() & set(suffixes)
    assert {suffixes[suffix] for suffix in known}.isdisjoint(refused)


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra that reads HEIF is not installed."""
    Image.init()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    suffixes = {s: name for s, name in Image.EXTENSION.items() if name != "HEIF"}
    monkeypatch.setattr(Image, "EXTENSION", suffixes)


@pytest.mark.usefixtures("without_heif")
def test_pictures_that_pillow_does_not_know_are_listed_too() -> None:
    foreign = {".heic", ".heif", ".jxl"}
    assert foreign <= image_suffixes()
    assert foreign.isdisjoint(Image.registered_extensions())


@pytest.mark.usefixtures("without_heif")
@pytest.mark.parametrize("brand", [b"heic", b"hevc"])
def test_heif_is_refused_where_nothing_reads_it(brand: bytes) -> None:
    error = refusal(b"\x00\x00\x00\x18ftyp" + brand + bytes(12))
    assert str(error) == ("HEIF is not read; pip install 'captioner[heif]', or convert it to JPEG")


def test_suffixes_of_usual_formats_are_known() -> None:
    usual = {".jpg", ".jpeg", ".mpo", ".png", ".gif", ".webp", ".bmp", ".tif"}
    assert usual <= image_suffixes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"This is a text, not a picture.", "starts like this: b'This is a text, '"),
        (b"%PDF-1.4 and so on", "starts like this: b'%PDF-1.4 and so '"),
        (b"P", "starts like this: b'P'"),
        (b"II*\x00" + bytes(40), "starts like TIFF, but its header is damaged"),
        (b"\xff\x0aO@$\x08\x04\x01", "JPEG XL is not read; convert it to JPEG"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL is not read; convert it to JPEG"),
        (b"", "got no bytes"),
    ],
)
def test_what_is_no_picture_is_told_by_its_start(data: bytes, message: str) -> None:
    error = refusal(data)
    assert error.reason == ("unreadable" if data else "empty")
    assert message in str(error)


@pytest.mark.parametrize(("format", "options"), CUT)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.98])
def test_a_part_of_a_picture_is_refused(format: str, options: dict, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype("uint8")
    data = builders.picture_file(Image.fromarray(noise), format, **options)
    reason = refusal(data[: int(len(data) * share)]).reason
    assert reason == "truncated" or (format not in SAYS_TRUNCATED and reason == "unreadable")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), "truncated"),
        (ValueError("not enough image data"), "truncated"),
        (SyntaxError("broken PNG file"), "unreadable"),
        (struct.error("unpack requires a buffer of 4 bytes"), "unreadable"),
        (IndexError("index out of range"), "unreadable"),
        (RecursionError("maximum recursion depth exceeded"), "unreadable"),
        (MemoryError(), "bomb"),
        (Image.DecompressionBombError("too big"), "bomb"),
    ],
)
def test_whatever_pillow_raises_gives_a_reason(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, reason: str
) -> None:
    def load(_: Image.Image) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert refusal(builders.picture_file(Image.new("L", (8, 8)), "PNG")).reason == reason


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_that_unpack_to_much_are_bombs(name: str) -> None:
    assert len(BOMBS[name]) < 100_000
    assert refusal(BOMBS[name]).reason == "bomb"


@pytest.mark.parametrize(("max_pixels", "refused"), [(3071, True), (3072, False), (10, True)])
def test_a_picture_of_too_many_pixels_is_a_bomb(max_pixels: int, refused: bool) -> None:
    data = builders.picture_file(Image.new("RGB", (64, 48)), "PNG")
    config = ImageConfig(32, max_pixels)
    if refused:
        error = refusal(data, config)
        assert error.reason == "bomb"
        assert "captioner preprocess --max-pixels raises the limit" in str(error)
    else:
        assert decode_image(data, config).width_px == 64


@pytest.mark.parametrize("max_pixels", [1599, 1600])
def test_a_frame_larger_than_its_header_says_is_a_bomb_too(max_pixels: int) -> None:
    data = ico_file(builders.picture_file(Image.new("RGB", (40, 40)), "PNG"))
    if max_pixels < 1600:
        assert refusal(data, ImageConfig(32, max_pixels)).reason == "bomb"
    else:
        assert decode_image(data, ImageConfig(32, max_pixels)).width_px == 40


def test_the_limit_is_that_of_the_picture_at_hand() -> None:
    data = builders.picture_file(Image.new("L", (100, 100)), "PNG")
    order = [10_000, 9_999, DEFAULT_MAX_PIXELS, 5] * 3
    random.Random(0).shuffle(order)
    for max_pixels in order:
        config = ImageConfig(32, max_pixels)
        if max_pixels < 10_000:
            assert refusal(data, config).reason == "bomb"
        else:
            assert decode_image(data, config).height_px == 100
