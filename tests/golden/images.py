"""Pictures of every mode and the colours that the decoder made of them when somebody last looked.

``image_colours.json`` beside this file holds them; write it again, and look at what changed, with

    PYTHONPATH=.:tests python -m golden.images DATA

where DATA is the folder of development data, whose files have their colours here and nothing else.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import builders
import numpy as np
from PIL import Image, ImageOps, features

from model.config import ImageConfig
from model.image import decode_image

PATH = Path(__file__).with_name("image_colours.json")
SIZE_PX = 64
CELLS = 4
FILES = (
    "exif-orientation-examples/Landscape_6.jpg",
    "exif-orientation-examples/Portrait_7.jpg",
    "image-rs-tests/images/gif/anim/border_touching_layers.gif",
    "image-rs-tests/images/png/16bpc/basi0g16.png",
    "image-rs-tests/images/png/16bpc/basn6a16.png",
    "image-rs-tests/images/png/transparency/tbbn3p08.png",
    "image-rs-tests/images/png/transparency/tm3n3p02.png",
    "image-rs-tests/images/tga/testsuite/utc32.tga",
    "image-rs-tests/images/webp/extended_images/lossy_alpha.webp",
    "pillow-tests/10ct_32bit_128.tiff",
    "pillow-tests/avif/rot1mir1.avif",
    "pillow-tests/hopper.Lab.tif",
    "pillow-tests/hopper_16bit.pgm",
    "pillow-tests/i_trns.png",
    "pillow-tests/pil_sample_cmyk.jpg",
    "pillow-tests/rdf.tif",
    "pillow-tests/tiff_16bit_RGBa.tiff",
    "pillow-tests/tiff_strip_cmyk_jpeg.tif",
)
# The transform that an Adobe marker names: none, or YCbCr with black as it is.
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00"


def picture() -> Image.Image:
    """48 x 32 px in RGB, with another colour in each corner."""
    rows, columns = np.mgrid[0:32, 0:48]
    return Image.fromarray(
        np.stack([rows * 7, columns * 5, 255 - rows * 3 - columns * 2], axis=-1).astype("uint8")
    )


@cache
def opaque_files() -> dict[str, bytes]:
    """`picture` as files that lose next to nothing of it, in modes of every kind."""
    rgb = picture()
    cmyk = builders.picture_file(rgb.convert("CMYK"), "JPEG", quality=98)
    assert cmyk.count(_ADOBE + b"\x00") == 1
    files = {
        "RGB PNG": builders.picture_file(rgb, "PNG"),
        "RGB JPEG": builders.picture_file(rgb, "JPEG", quality=98, subsampling=0),
        "CMYK JPEG, Adobe": cmyk,
        "CMYK JPEG, no marker": cmyk.replace(_ADOBE + b"\x00", b""),
        "YCCK JPEG, Adobe": _ycck_file(rgb),
        "RGB WEBP": builders.picture_file(rgb, "WEBP", lossless=True),
        "RGB BMP": builders.picture_file(rgb, "BMP"),
        "RGB JPEG2000": builders.picture_file(rgb, "JPEG2000"),
    }
    for mode in ("CMYK", "LAB", "RGBA", "RGBX"):
        files[f"{mode} TIFF"] = builders.picture_file(rgb.convert(mode), "TIFF")
    files["YCbCr TIFF"] = builders.picture_file(
        rgb.convert("YCbCr"), "TIFF", compression="tiff_lzw"
    )
    if features.check("avif"):
        files["RGB AVIF"] = builders.picture_file(rgb, "AVIF", quality=95, subsampling="4:4:4")
    return files


def _ycck_file(rgb: Image.Image) -> bytes:
    """Adobe's other CMYK: inverted inks told as luma and chroma. Pillow writes none itself."""
    *inks, black = rgb.convert("CMYK").split()
    planes = [ImageOps.invert(p) for p in Image.merge("RGB", inks).convert("YCbCr").split()]
    stored = builders.picture_file(Image.merge("CMYK", (*planes, black)), "JPEG", quality=98)
    return stored.replace(_ADOBE + b"\x00", _ADOBE + b"\x02")


@cache
def drawn_files() -> dict[str, bytes]:
    """`opaque_files` and the same picture in grey, in deep samples, and with transparency."""
    rgb = picture()
    grey = rgb.convert("L")
    deep = np.asarray(grey).astype(np.uint16) * 257
    alpha = Image.linear_gradient("L").resize(rgb.size)
    faded = Image.merge("RGBA", (*rgb.split(), alpha))
    palette, faint = rgb.quantize(16), bytes(range(0, 256, 16))
    return opaque_files() | {
        "1 PNG": builders.picture_file(rgb.convert("1"), "PNG"),
        "L PNG": builders.picture_file(grey, "PNG"),
        "LA PNG": builders.picture_file(Image.merge("LA", (grey, alpha)), "PNG"),
        "I;16 PNG": builders.picture_file(Image.fromarray(deep), "PNG"),
        "I;16 TIFF": builders.picture_file(Image.fromarray(deep), "TIFF"),
        "I TIFF": builders.picture_file(Image.fromarray(deep.astype(np.int32)), "TIFF"),
        "F TIFF": builders.picture_file(Image.fromarray(deep.astype(np.float32) - 9000), "TIFF"),
        "P PNG, alpha": builders.picture_file(palette, "PNG", transparency=faint),
        "RGBA PNG": builders.picture_file(faded, "PNG"),
        "RGBA WEBP": builders.picture_file(faded, "WEBP", lossless=True),
    }


def colours(data: bytes) -> list[list[int]]:
    """The mean RGB of each of 4 x 4 cells of the picture in the file `data`, row by row."""
    pixels = decode_image(data, ImageConfig(SIZE_PX)).pixels
    side = SIZE_PX // CELLS
    cells = pixels.reshape(CELLS, side, CELLS, side, 3).mean(axis=(1, 3))
    return cells.round().astype(int).reshape(-1, 3).tolist()


def write(development_data: Path) -> None:
    """Writes `PATH`, a line for each picture."""
    folder = development_data / "nasty-images"
    golden = {name: colours(data) for name, data in drawn_files().items()}
    golden |= {name: colours((folder / name).read_bytes()) for name in FILES}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden.items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
