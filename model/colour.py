"""Colours: what Pillow made of a file, in any mode, as the RGB that a person sees."""

import numpy as np
from PIL import Image

# Here the fourth byte of a pixel was padding before it was alpha; some writers leave it 0.
_PADDED = {"BMP", "CUR", "DIB", "ICO", "TGA"}
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB, as viewers show it; colour profiles are not applied.

    - 1, L, P, YCbCr, HSV, LAB: Pillow's conversion.
    - CMYK, and YCCK that libjpeg made CMYK: `(255 - ink) * (255 - black) / 255` of each ink. The
      inks of a JPEG are inverted, with Adobe's marker or without, as every writer inverts them.
    - Alpha (LA, La, PA, RGBA, RGBa, transparent entries or colours): over white; ignored where it
      is 0 everywhere in a format whose writers leave it 0. What the first frame of an animated GIF
      does not cover is white too, whatever background it names.
    - 16 bits (I;16 of any byte order) and what has no known white (I, F): by `_to_8_bit`.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(image)).convert("RGB")
    rgb = _over_white(image) if image.has_transparency_data else image.convert("RGB")
    covered = getattr(image, "dispose_extent", None) or (0, 0, *image.size)
    if covered == (0, 0, *image.size):
        return rgb
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(rgb.crop(covered), covered[:2])
    return canvas


def _over_white(image: Image.Image) -> Image.Image:
    """A picture that has transparency, over white."""
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    if image.format in _PADDED and rgba.getchannel("A").getextrema() == (0, 0):
        return rgba.convert("RGB")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def _to_8_bit(image: Image.Image) -> np.ndarray:
    """Samples of 16 or 32 bits or floats as `uint8[H, W]`, between the levels of black and white.

    A transparent level is white; what is not a number is black.
    """
    samples = np.asarray(image)
    black, white = _black_and_white(image, samples)
    with np.errstate(all="ignore"):
        scaled = (samples.astype(np.float32) - black) * np.float32(255 / (white - black))
        np.nan_to_num(np.rint(scaled, out=scaled), copy=False)
    shades = scaled.clip(0, 255, out=scaled).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        shades = 255 - shades
    if isinstance(transparent := image.info.get("transparency"), int):
        shades[samples == transparent] = 255
    return shades


def _black_and_white(image: Image.Image, samples: np.ndarray) -> tuple[float, float]:
    """The levels of black and white: known of 16 bits, else told from the samples.

    - I;16: 0 and 65535; 4095 in a TIFF of 12 bits.
    - I: 0 and 255 or 0 and 65535, F: 0 and 1 or 0 and 255: the first that holds every sample.
    - I and F otherwise: the 1st and the 99th percentile, as viewers of measurements choose.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
        return 0, 2**bits - 1
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return 0, 1
    for white in (1, 255) if image.mode == "F" else (255, 65535):
        if finite.min() >= 0 and finite.max() <= white:
            return 0, white
    # A million samples of a big picture tell as much as all of them.
    black, white = np.percentile(finite[:: 1 + finite.size // 1_000_000], (1, 99))
    return float(black), float(white if white > black else black + 1)
