"""TIFFs with a plane for each colour: of which of them Pillow would make noise."""

from typing import Any

from PIL import Image

_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLES, _PLANES, _SEPARATE = 258, 262, 277, 284, 2
# Grey, RGB, palette, inks; not white for zero, which the first letter of a layout does not tell.
_PHOTOMETRICS = {1, 2, 3, 5}


def reads_planes(image: Image.Image) -> bool:
    """Whether the pixels of `image` come out as they are stored, of any format; before `load`.

    Of unpacked planes Pillow takes the first letter of a pixel's layout for the layout of a plane:
    right of whole bytes, and of 32 bits in the order of this machine. A plane of 16 bits that is
    the only one is given its layout here. Of packed planes it mixes up grey with alpha, and LAB.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if image.format != "TIFF" or tags.get(_PLANES) != _SEPARATE:
        return True
    tiles = image.tile  # type: ignore[attr-defined]
    if all(tile.codec_name != "raw" for tile in tiles):
        return image.mode not in ("LA", "PA", "LAB")
    if image.mode.startswith("I;16") and tags.get(_SAMPLES, 1) == 1:
        layouts = [tile._replace(args=(image.mode, *tile.args[1:])) for tile in tiles]
        image.tile = layouts  # type: ignore[attr-defined]
        return True
    bits = set(tags.get(_BITS_PER_SAMPLE, (1,)))
    if image.mode in ("F", "I"):
        return bits == {32} and tags.prefix == b"II"
    known = image.mode in ("L", "P", "RGB", "RGBA", "CMYK")
    return known and bits == {8} and tags.get(_PHOTOMETRIC) in _PHOTOMETRICS
