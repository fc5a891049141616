"""TIFFs with a plane for each colour: of which of them Pillow would make noise."""

from typing import Any

from PIL import Image

_BITS_PER_SAMPLE, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES = 258, 262, 266, 277
_PLANES, _TILE_WIDTH, _EXTRA_SAMPLES, _TOGETHER, _SEPARATE = 284, 322, 338, 1, 2
# Grey, RGB, palette, inks; not white for zero, which the first letter of a layout does not tell.
_PHOTOMETRICS = {1, 2, 3, 5}


def reads_planes(image: Image.Image) -> bool:
    """Whether the pixels of `image` come out as they are stored, of any format; before `load`.

    Of unpacked planes Pillow takes the first letter of a pixel's layout for the layout of a plane:
    right of whole bytes, and of 32 bits in the order of this machine. A plane that is the only one
    is a picture without planes, and made so here. Of packed planes it mixes up grey with alpha, and
    LAB; of packed planes and tiles, a fourth one of which the file does not say what it holds.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if image.format != "TIFF" or tags.get(_PLANES) != _SEPARATE:
        return True
    packed = all(tile.codec_name != "raw" for tile in image.tile)  # type: ignore[attr-defined]
    if image.mode == "RGBA" and _EXTRA_SAMPLES not in tags and (packed or _TILE_WIDTH in tags):
        return False
    if packed:
        return image.mode not in ("LA", "PA", "LAB")
    if tags.get(_SAMPLES, 1) == 1:
        tags[_PLANES] = _TOGETHER
        image._setup()  # type: ignore[attr-defined]
        return True
    bits, fill_order = set(tags.get(_BITS_PER_SAMPLE, (1,))), tags.get(_FILL_ORDER, 1)
    known = image.mode in ("RGB", "RGBA", "CMYK") and tags.get(_PHOTOMETRIC) in _PHOTOMETRICS
    return known and bits == {8} and fill_order == 1
