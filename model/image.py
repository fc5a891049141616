"""The one decoder: every picture, in training and in captioning, becomes pixels here.

Pillow reads the first frame; EXIF orientation is applied; any mode becomes RGB by `to_rgb`; the
whole picture is squeezed into a square by one filter. A picture that is not decoded whole raises.
"""

import io
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from model.config import ImageConfig
from model.errors import CaptionerError

# Part of every artifact: change it whenever the pixels of any picture change.
DECODER_VERSION = "pillow-1"

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

# Pillow warns of what is judged here (bombs, odd metadata). The filter is set once, because
# warnings.catch_warnings is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")
_limit_lock = threading.Lock()


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
    """

    pixels: np.ndarray
    width_px: int
    height_px: int
    format: str


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


def decode_image(data: bytes, config: ImageConfig) -> DecodedImage:
    """Decodes a picture file into `uint8[image_size_px, image_size_px, 3]`.

    Raises:
        ImageError: if the picture cannot be decoded whole.
    """
    if not data:
        raise ImageError("empty", "got a file of 0 bytes")
    try:
        with _open(data, config.max_pixels) as image:
            width_px, height_px = image.size
            # JPEG only: the DCT is computed at the smallest scale that covers the size wanted.
            image.draft(None, (config.image_size_px, config.image_size_px))
            image.load()
            # Asked for only now: loading a TIFF turns it and drops its orientation.
            orientation = _orientation(image)
            # Orienting after the resize is equal, the target being a square, and far cheaper.
            resized = to_rgb(image).resize((config.image_size_px,) * 2, _FILTER)
            format = image.format or "unknown"
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("bomb", f"out of memory while decoding: {error}") from error
    except Exception as error:
        # Pillow's plug-ins raise nearly anything on damaged input (ValueError, SyntaxError,
        # struct.error, IndexError, zlib.error): each means that this file is no whole picture.
        reason = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise ImageError(reason, f"{type(error).__name__}: {error}") from error
    if orientation in _TRANSPOSE:
        resized = resized.transpose(_TRANSPOSE[orientation])
    if orientation in _SIDEWAYS:
        width_px, height_px = height_px, width_px
    return DecodedImage(np.asarray(resized), width_px, height_px, format)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Opens without decoding; refuses bombs by the size that the header gives."""
    if max_pixels != Image.MAX_IMAGE_PIXELS:
        with _limit_lock:
            Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ImageError("bomb", f"{error}; --max-pixels raises the limit") from error
    except UnidentifiedImageError as error:
        raise ImageError("unreadable", "Pillow knows no format that starts like this") from error
    if image.width * image.height > max_pixels:
        image.close()
        raise ImageError(
            "bomb",
            f"got {image.width} x {image.height} px, expected at most {max_pixels} pixels; "
            "--max-pixels raises the limit",
        )
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation (1-8), 1 where there is none or the EXIF block itself is damaged."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        # The pixels may be sound all the same; viewers show such a picture unrotated too.
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: alpha over white, 16-bit by its high byte, floats of 0 to 1 or 0 to 255."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(samples: np.ndarray) -> np.ndarray:
    """Samples `[H, W]` of 16 or 32 bits or floats as `uint8[H, W]`."""
    top = float(samples.max(initial=0))
    if np.issubdtype(samples.dtype, np.floating):
        scaled = np.nan_to_num(samples * 255.0 if top <= 1.0 else samples)
    else:
        scaled = samples / 257.0 if top > 255 or samples.dtype.itemsize == 2 else samples
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def encode_png(pixels: np.ndarray) -> bytes:
    """`uint8[H, W, 3]` as PNG: lossless, so that training sees the pixels that captioning sees."""
    buffer = io.BytesIO()
    # Level 1 is several times faster than the default and a few percent larger.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def image_suffixes() -> frozenset[str]:
    """File name suffixes (``.jpg``) of the formats that Pillow can open here."""
    Image.init()
    return frozenset(s for s, name in Image.registered_extensions().items() if name in Image.OPEN)


assert not ImageFile.LOAD_TRUNCATED_IMAGES, "half a picture must never be captioned"
