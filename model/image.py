"""The one decoder: every picture, in training and in captioning, becomes pixels here.

Pillow reads the first frame; EXIF orientation is applied; `model.colour` makes any mode RGB; the
whole picture is squeezed into a square by one filter. A picture that is not decoded whole raises.
"""

import contextlib
import ctypes
import io
import logging
import re
import struct
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from model.bombs import bomb_before_loading, bomb_before_opening, tile_pixels
from model.colour import to_rgb
from model.config import ImageConfig
from model.errors import CaptionerError
from model.jpeg import is_filled_up
from model.planes import reads_planes

# Part of every artifact: change it whenever the pixels of any picture change.
DECODER_VERSION = "pillow-2"

# Formats that Pillow registers and that are refused all the same.
_NOT_READ = {
    "BUFR": "it holds measurements, no pixels",
    "EPS": "another program would have to draw it",
    "FITS": "Pillow mixes up the bytes of its samples: noise would come out",
    "GRIB": "it holds measurements, no pixels",
    "HDF5": "it holds measurements, no pixels",
    "IPTC": "what it wraps would be opened as any format, refused ones among them",
    "MPEG": "it is a film",
    "WMF": "it holds drawing commands, no pixels",
}
# Pictures of formats that Pillow knows nothing of, by suffix and by start: they are listed all the
# same, so that a row tells of each.
FOREIGN_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".jxl"})
# Other packages read some of them, where they are installed.
_READ_WITH = {"HEIF": "pip install 'captioner[heif]', or "}
_FOREIGN_STARTS = {
    "HEIF": re.compile(rb"(?s:.{4})ftyp(he[iv][cmsx]|mif1|msf1)"),
    "JPEG XL": re.compile(rb"\xff\n|\0\0\0\x0cJXL \r\n\x87\n"),  # bare, or in a container
}
_PLANES = (
    "of a TIFF with a plane for each colour, Pillow mixes up samples like these; store it pixel by "
    "pixel (gdal_translate -co INTERLEAVE=PIXEL), or convert it to PNG"
)
_FILTER = Image.Resampling.BILINEAR
_EXIF_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}
# Bytes that decoding takes for each pixel, measured of pictures of 100 megapixels: Pillow's own
# four and what it unpacks, or all that `to_rgb` needs beside these, or codecs of their own.
_PLAIN_BYTES, _MOST_BYTES = 5, 14
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "YCbCr"})
_FORMATS_OF_MOST = frozenset({"AVIF", "HEIF", "WEBP"})
# A progressive JPEG's whole coefficients, however small it is drawn.
_PROGRESSIVE_BYTES = 3

assert not ImageFile.LOAD_TRUNCATED_IMAGES, "half a picture must never be captioned"

with contextlib.suppress(ImportError):
    import pillow_heif

    # Pictures are decoded by several threads already; a thumbnail may be whole where the picture
    # is not.
    pillow_heif.register_heif_opener(
        decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
    )

# What Pillow and libtiff print is judged here (bombs, odd metadata) and part of the reject. All is
# set once and for the process: warnings.catch_warnings is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
with contextlib.suppress(OSError, AttributeError):
    # Where libtiff cannot be reached in this way, its messages stay; no picture depends on it.
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


class ImageError(Exception):
    """A picture that cannot be decoded whole.

    Attributes:
        reason: `empty`, `unreadable`, `truncated` or `bomb`, the reason code of its reject.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class DecodedImage:
    """Pixels and what the file said of itself.

    Attributes:
        pixels: `uint8[H, W, 3]`, RGB.
        width_px: width of the picture as a person sees it (orientation applied).
        height_px: height of the same.
        format: Pillow's name of the file format, e.g. ``JPEG``.
        mode: Pillow's name of what the file's pixels are before `to_rgb`, e.g. ``CMYK``.
    """

    pixels: np.ndarray
    width_px: int
    height_px: int
    format: str
    mode: str


def check_decoder_version(found: str, artifact: object) -> None:
    """Checks that `artifact` was made from pictures decoded as here.

    Raises:
        CaptionerError: if not: its captions would be worse without a sign.
    """
    if found != DECODER_VERSION:
        raise CaptionerError(
            f"{artifact}: its pictures were decoded by {found!r}, this version decodes by "
            f"{DECODER_VERSION!r}: captions would be worse without a sign. Install the version "
            "that made it, or preprocess, train and export again"
        )


def decode_image(
    data: bytes,
    config: ImageConfig,
    room: Callable[[int], AbstractContextManager] = contextlib.nullcontext,
) -> DecodedImage:
    """Decodes a picture file into `uint8[image_size_px, image_size_px, 3]`.

    Args:
        data: the file.
        config: size of the picture, and the most pixels of the file's.
        room: called with about as many bytes as decoding takes; what it gives is entered
            meanwhile. For threads that shall not decode many large pictures at a time.

    Raises:
        ImageError: if the picture cannot be decoded whole.
    """
    if not data:
        raise ImageError("empty", "got no bytes")
    try:
        with _open(data, config.max_pixels) as image:
            (width_px, height_px), mode = image.size, image.mode
            if not reads_planes(image):
                raise ImageError("unreadable", _PLANES)
            # JPEG only: the DCT is computed at the smallest scale that covers the size wanted.
            image.draft(None, (config.image_size_px, config.image_size_px))
            _scale_transparent_colour(image)
            with room(_decoding_bytes(image, width_px * height_px)):
                image.load()
                # Asked for only now: loading a TIFF turns it and drops its orientation.
                orientation = _orientation(image)
                # Orienting after the resize is equal, the target being a square, and far cheaper.
                resized = to_rgb(image).resize((config.image_size_px,) * 2, _FILTER)
            format = image.format or "unknown"
    except ImageError:
        raise
    except Exception as error:
        # Pillow's plug-ins raise nearly anything on damaged input (ValueError, SyntaxError,
        # struct.error, IndexError, zlib.error): each means that this file is no whole picture.
        raise _refusal(error) from error
    if orientation in _TRANSPOSE:
        resized = resized.transpose(_TRANSPOSE[orientation])
    if orientation in _SIDEWAYS:
        width_px, height_px = height_px, width_px
    return DecodedImage(np.asarray(resized), width_px, height_px, format, mode)


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Opens without decoding; refuses bombs by what the header gives."""
    if bomb := bomb_before_opening(data):
        raise ImageError("bomb", bomb)
    # Frames and tiles have headers of their own, which Pillow checks: it refuses twice this number.
    Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError as error:
        raise ImageError("unreadable", _why_unidentified(data)) from error
    if image.width * image.height > max_pixels:
        image.close()
        raise ImageError(
            "bomb",
            f"got {image.width} x {image.height} px, expected at most {max_pixels} pixels; "
            "captioner preprocess --max-pixels raises the limit",
        )
    if bomb := bomb_before_loading(image, data, max_pixels):
        image.close()
        raise ImageError("bomb", bomb)
    if isinstance(image, JpegImagePlugin.JpegImageFile) and is_filled_up(data):
        image.close()
        raise ImageError("truncated", "got zeros where the picture should go on or end")
    return image


def _decoding_bytes(image: ImageFile.ImageFile, file_pixels: int) -> int:
    """About how many bytes it takes to decode `image`, whose file has so many pixels."""
    plain = image.mode in _PLAIN_MODES and not image.has_transparency_data
    each = _PLAIN_BYTES if plain and image.format not in _FORMATS_OF_MOST else _MOST_BYTES
    whole = _PROGRESSIVE_BYTES * file_pixels if "progressive" in image.info else 0
    return max(image.width * image.height, tile_pixels(image)) * each + whole


def _formats() -> tuple[str, ...]:
    """The formats that are read, in the order in which Pillow tries them."""
    Image.init()
    read = (name for name in Image.ID if name not in _NOT_READ)
    # Last: it opens an AVIF whose brand is that of any HEIF (`mif1`), and cannot decode it.
    return tuple(sorted(read, key="HEIF".__eq__))


def _why_unidentified(data: bytes) -> str:
    """What to say of a file that none of the formats read can open."""
    for name, start in _FOREIGN_STARTS.items():
        if name not in Image.OPEN and start.match(data):
            return f"{name} is not read; {_READ_WITH.get(name, '')}convert it to JPEG"
    alike = []
    for name, (_, accepts) in Image.OPEN.items():
        # Some look further than a short file goes; Pillow passes over them just so.
        with contextlib.suppress(IndexError, struct.error):
            if accepts and accepts(data[:16]):
                alike.append(name)
    for name in alike:
        if name in _NOT_READ:
            return f"{name} is not read: {_NOT_READ[name]}; convert it to PNG"
    if alike:
        return (
            f"starts like {' or '.join(alike)}, but its header is damaged, cut off or of a kind "
            "that is not read, as TIFF of many bands; if it is whole, convert it to PNG"
        )
    return f"no format that Pillow reads starts like this: {data[:16]!r}"


def _refusal(error: Exception) -> ImageError:
    """The reject that goes with what Pillow raised."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, Image.DecompressionBombError):
        return ImageError("bomb", f"{error}; captioner preprocess --max-pixels raises the limit")
    # MAX_TEXT_CHUNK and MAX_TEXT_MEMORY limit what a PNG's texts and profiles unpack to.
    if isinstance(error, MemoryError) or "MAX_TEXT" in message:
        return ImageError("bomb", f"{message}; it unpacks to more than the memory for it")
    cut = "truncated" in message.lower() or "not enough image data" in message
    return ImageError("truncated" if cut else "unreadable", message)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation (1-8), 1 where there is none or the EXIF block itself is damaged."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        # The pixels may be sound all the same; viewers show such a picture unrotated too.
        return 1


def _scale_transparent_colour(image: ImageFile.ImageFile) -> None:
    """Scales the transparent colour of a PNG like its samples; Pillow scales the samples alone."""
    if image.format != "PNG" or not image.tile or "transparency" not in image.info:
        return
    colour, layout = image.info["transparency"], image.tile[0].args
    if layout == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in colour)
    elif layout in ("L;2", "L;4"):
        image.info["transparency"] = colour * {"L;2": 85, "L;4": 17}[layout]


def encode_png(pixels: np.ndarray) -> bytes:
    """`uint8[H, W, 3]` as PNG: lossless, so that training sees the pixels that captioning sees."""
    buffer = io.BytesIO()
    # Level 1 is several times faster than the default and a few percent larger.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def image_suffixes() -> frozenset[str]:
    """File name suffixes (``.jpg``) of the formats that are read here, and of foreign pictures."""
    # Pillow's reader of JPEG opens MPO, a JPEG with further pictures behind it.
    formats = {*_formats(), "MPO"}
    known = (s for s, name in Image.registered_extensions().items() if name in formats)
    return FOREIGN_SUFFIXES.union(known)
