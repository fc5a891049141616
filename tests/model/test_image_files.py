"""Tests of the decoder on real, damaged and hostile files, and of its silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
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
SECONDS_PER_FILE = 10
REASONS = {"empty", "unreadable", "truncated", "bomb"}

# Decodes every file of a folder and prints a line of JSON for each, then the peak of its memory.
# Linux counts in ru_maxrss what the parent had before it started this process: hence VmHWM.
_SURVEY = """
import faulthandler, json, pathlib, resource, sys, time
from model.config import ImageConfig
from model.image import ImageError, decode_image

def peak_mib():
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

folder, seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    data = path.read_bytes()
    faulthandler.dump_traceback_later(seconds, exit=True)
    start = time.monotonic()
    try:
        decoded = decode_image(data, ImageConfig(224))
        assert decoded.pixels.shape == (224, 224, 3) and decoded.pixels.dtype == "uint8"
        outcome = "decoded"
    except ImageError as error:
        outcome = error.reason
    except BaseException as error:
        outcome = f"defect: {error!r}"
    faulthandler.cancel_dump_traceback_later()
    row = {"file": str(path.relative_to(folder)), "outcome": outcome}
    print(json.dumps(row | {"seconds": time.monotonic() - start}))
print(json.dumps({"peak_mib": peak_mib()}))
"""

# Why the decoder and the reference pictures of image-rs show some files otherwise.
DISAGREEMENTS = {
    # Pillow misreads runs of an odd number of 4-bit pixels.
    "bmp/images/pal4rle.bmp",
    "bmp/images/pal4rlecut.bmp",
    "bmp/images/pal4rletrns.bmp",
    # Pillow takes the alpha of these headers for padding.
    "bmp/images/V3_A1_R5_G5_B5.bmp",
    "bmp/images/V3_A1_R5_G5_B5_Top_Down.bmp",
    "bmp/images/V5_A1_R5_G5_B5.bmp",
    "bmp/images/V5_A8_R8_G8_B8_Rgb.bmp",
    # Of two frames of one size Pillow takes that of fewer colours.
    "ico/images/multiple_entries_with_different_bit_depth.ico",
    # image-rs cuts a first frame that is larger than the screen; Pillow and browsers show it all.
    "gif/anim/oob.gif",
    "gif/simple/issue_1455_oversized.gif",
    # The picture in front of an animation is no frame of it; it is what still viewers show.
    "png/apng/wpt/fcTL-dispose-in-region-previous.png",
    # Alpha that is 0 everywhere; image-rs keeps it, and another TGA's one bit it drops.
    "tga/testsuite/utc32.tga",
    "tga/testsuite/b5-attrib.tga",
    # Colours multiplied by alpha, as the tag ExtraSamples says; image-rs takes them as they are.
    "tiff/testsuite/hpredict.tiff",
    "tiff/testsuite/hpredict_packbits.tiff",
}


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program that would show every warning, were it not for model.image."""
    return subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": ""},
        check=False,
    )


@pytest.fixture(scope="module")
def survey(development_data: Path) -> subprocess.CompletedProcess[str]:
    """A process that decoded every nasty file, one after the other."""
    return run_python(_SURVEY, str(development_data / "nasty-images"), str(SECONDS_PER_FILE))


@pytest.fixture(scope="module")
def rows(survey: subprocess.CompletedProcess[str]) -> list[dict]:
    assert survey.returncode == 0, survey.stderr
    return [json.loads(line) for line in survey.stdout.splitlines()[:-1]]


@pytest.mark.timeout(600)
def test_every_nasty_file_gives_pixels_or_a_reason(
    rows: list[dict], development_data: Path
) -> None:
    folder = development_data / "nasty-images"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {row["file"] for row in rows} == files
    assert len(rows) == len(files)
    outcomes = Counter(row["outcome"] for row in rows)
    assert set(outcomes) <= {"decoded", *REASONS}
    assert outcomes["decoded"] > 0.75 * len(files)


def test_no_nasty_file_takes_long_or_much_memory(
    rows: list[dict], survey: subprocess.CompletedProcess[str]
) -> None:
    assert max(row["seconds"] for row in rows) < SECONDS_PER_FILE
    assert json.loads(survey.stdout.splitlines()[-1])["peak_mib"] < 1024


def test_nasty_files_print_nothing(survey: subprocess.CompletedProcess[str]) -> None:
    assert survey.stderr == ""


def test_pictures_look_as_image_rs_shows_them(development_data: Path) -> None:
    folder = development_data / "nasty-images" / "image-rs-tests"
    apart, compared = {}, 0
    for reference in sorted((folder / "reference").rglob("*.png")):
        name = str(reference.relative_to(folder / "reference")).removesuffix(".png")
        name = name.removesuffix(".anim_01")
        try:
            decoded = decode_image((folder / "images" / name).read_bytes(), ImageConfig(256))
        except (ImageError, FileNotFoundError):
            # Refused, or the reference of a later frame.
            continue
        expected = decode_image(reference.read_bytes(), ImageConfig(256))
        difference = np.abs(decoded.pixels.astype(int) - expected.pixels).mean()
        compared += 1
        if difference > 2 or decoded.width_px != expected.width_px:
            apart[name] = difference
    assert compared > 100
    assert set(apart) <= DISAGREEMENTS


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_photographs_of_every_orientation_look_alike(name: str, development_data: Path) -> None:
    folder = development_data / "nasty-images" / "exif-orientation-examples"
    expected = decode_image((folder / f"{name}_1.jpg").read_bytes(), SIZE)
    sides = {"Landscape": (1800, 1200), "Portrait": (1200, 1800)}[name]
    for orientation in range(9):
        decoded = decode_image((folder / f"{name}_{orientation}.jpg").read_bytes(), SIZE)
        # Each has its number drawn into it, which is all that tells them apart.
        difference = np.abs(decoded.pixels.astype(int) - expected.pixels)
        assert difference.mean() < 1, orientation
        assert np.percentile(difference, 90) <= 2, orientation
        assert (decoded.width_px, decoded.height_px) == sides


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


# One file that Pillow warns of as a bomb, one whose EXIF block it warns of, one that it logs, and
# one of which libtiff speaks.
_DECODE = """
import pathlib, sys
from model.config import ImageConfig
from model.image import ImageError, decode_image

for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, decode_image(path.read_bytes(), ImageConfig(32, max_pixels=160)).mode)
    except ImageError as error:
        print(path.name, error.reason)
"""


def test_nothing_is_printed_of_what_is_judged(tmp_path: Path) -> None:
    picture = Image.new("RGB", (12, 12), "red")
    Image.new("RGB", (15, 15)).save(tmp_path / "bomb.png")
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01\x03\x00"
    (tmp_path / "exif.jpg").write_bytes(builders.picture_file(picture, "JPEG", exif=exif))
    plain = builders.picture_file(picture, "TIFF")
    samples = b"\x15\x01\x03\x00\x01\x00\x00\x00"
    assert samples in plain
    (tmp_path / "log.tif").write_bytes(plain.replace(samples + b"\x03", samples + b"\xff"))
    packed = builders.picture_file(picture, "TIFF", compression="tiff_lzw")
    (tmp_path / "packed.tif").write_bytes(packed.replace(b"\x80\x3f", b"\xff\xff"))
    result = run_python(_DECODE, str(tmp_path))
    expected = ["bomb.png bomb", "exif.jpg RGB", "log.tif unreadable", "packed.tif unreadable"]
    assert result.stdout.splitlines() == expected
    assert result.stderr == ""
