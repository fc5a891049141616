"""Tests of the decoder on real, damaged and hostile files, and of its silence."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import builders
import numpy as np
import pytest
from PIL import Image

from model.config import ImageConfig
from model.image import ImageError, decode_image

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
ROOT = Path(__file__).resolve().parents[2]
SIZE = ImageConfig(image_size_px=64)


def outcome(path: Path) -> str:
    """``decoded`` or the reason of the reject; anything else is a defect and raises."""
    try:
        pixels = decode_image(path.read_bytes(), SIZE).pixels
    except ImageError as error:
        return error.reason
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    return "decoded"


@pytest.mark.timeout(60)
def test_nasty_files_give_pixels_or_a_reason(development_data: Path) -> None:
    files = [path for path in (development_data / "nasty-images").rglob("*") if path.is_file()]
    assert files
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(outcome, files))
    assert set(outcomes) <= {"decoded", "empty", "unreadable", "truncated", "bomb"}
    assert outcomes.count("decoded") > len(files) / 4


def test_photographs_of_every_orientation_look_alike(development_data: Path) -> None:
    folder = development_data / "nasty-images" / "exif-orientation-examples"
    upright = {path.stem[:-1]: path for path in folder.rglob("*_1.jpg")}
    assert upright
    for name, first in upright.items():
        expected = decode_image(first.read_bytes(), SIZE)
        for path in first.parent.glob(f"{name}[2-8].jpg"):
            decoded = decode_image(path.read_bytes(), SIZE)
            assert np.abs(decoded.pixels.astype(int) - expected.pixels).mean() < 6, path.name
            assert decoded.width_px > decoded.height_px or "Landscape" not in name


def test_a_big_jpeg_is_decoded_small_and_much_the_same() -> None:
    rows, columns = np.mgrid[0:1200, 0:1600] / 6.0
    waves = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 8, waves.shape)
    picture = Image.fromarray((128 + 100 * waves + noise).clip(0, 255).astype("uint8"))
    data = builders.picture_file(picture, "JPEG", quality=90)
    decoded = decode_image(data, ImageConfig(224))
    full = np.asarray(picture.resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decoded.pixels - full).mean() < 2
    assert (decoded.width_px, decoded.height_px) == (1600, 1200)


# One file that Pillow warns of as a bomb, one whose EXIF block it warns of.
_DECODE = """
import pathlib, sys
from model.config import ImageConfig
from model.image import ImageError, decode_image

folder = pathlib.Path(sys.argv[1])
try:
    decode_image((folder / "bomb.png").read_bytes(), ImageConfig(32, max_pixels=100))
except ImageError as error:
    print(error.reason)
print(decode_image((folder / "exif.jpg").read_bytes(), ImageConfig(32)).pixels.shape)
"""


def test_pillow_does_not_warn_of_what_is_judged(tmp_path: Path) -> None:
    picture = Image.new("RGB", (12, 12), "red")
    picture.save(tmp_path / "bomb.png")
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01\x03\x00"
    (tmp_path / "exif.jpg").write_bytes(builders.picture_file(picture, "JPEG", exif=exif))
    result = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", _DECODE, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": ""},
        check=False,
    )
    assert result.stdout.splitlines() == ["bomb", "(32, 32, 3)"], result.stderr
    assert result.stderr == ""
