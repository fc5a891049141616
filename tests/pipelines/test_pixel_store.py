"""Tests of the pixel store: decoded once, found again to the byte."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import builders
import numpy as np
import pipeline_builders
import pytest
from PIL import Image, ImageFilter

from model.config import ImageConfig
from model.image import decode_image
from pipelines.listing import write_listing
from pipelines.pixel_store import (
    StorePixels,
    perceptual_hash,
    read_png,
)
from pipelines.records import ImageFile, PreparedImage, Reject

CONFIG = ImageConfig(32)


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    """Seven pictures, one of them broken, one absent."""
    images = []
    for seed in range(7):
        path = tmp_path / "in" / f"{seed}.png"
        pipeline_builders.write_picture(path, seed)
        images.append(ImageFile(str(path), path.name, path.stat().st_size))
    (tmp_path / "in" / "1.png").write_bytes(b"")
    (tmp_path / "in" / "3.png").unlink()
    return images


def store(
    images: list[ImageFile], tmp_path: Path, a_store: int = 100
) -> list[PreparedImage | Reject]:
    """What comes of `images` in stores of `a_store` pictures each."""
    uri, folder = str(tmp_path / "images.arrow"), str(tmp_path / "pixels")
    stores = len(list(write_listing(images, ImageFile, uri, a_store)))
    work = StorePixels(uri, folder, CONFIG, read_timeout_sec=2.0)
    return [row for number in range(stores) for row in work.process(number)]


def test_every_picture_is_a_record_or_a_reject_in_order(
    images: list[ImageFile], tmp_path: Path
) -> None:
    stored = store(images, tmp_path)
    assert [row.image_id for row in stored] == [image.image_id for image in images]
    rejects = {r.image_id: (r.stage, r.reason) for r in stored if isinstance(r, Reject)}
    assert rejects == {
        "1.png": ("decode", "empty"),
        "3.png": ("decode", "missing"),
    }


def test_a_read_that_stalls_costs_its_picture_alone(
    images: list[ImageFile], tmp_path: Path
) -> None:
    os.mkfifo(images[3].uri)  # its bytes never come
    stalled = store(images, tmp_path)[3]
    assert isinstance(stalled, Reject)
    assert (stalled.image_id, stalled.stage, stalled.reason) == ("3.png", "decode", "stalled")
    assert stalled.error == "it could not be read in 2 s (--read-timeout-sec)"


@pytest.mark.parametrize("a_store", [100, 3])
def test_the_pixels_are_found_again(images: list[ImageFile], tmp_path: Path, a_store: int) -> None:
    for row in store(images, tmp_path, a_store):
        if isinstance(row, Reject):
            continue
        pixels = np.asarray(Image.open(io.BytesIO(read_png(str(tmp_path / "pixels"), row))))
        expected = decode_image(Path(row.uri).read_bytes(), CONFIG)
        np.testing.assert_array_equal(pixels, expected.pixels)
        assert row.pixel_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert row.perceptual_hash == perceptual_hash(pixels)
        assert (row.width_px, row.height_px, row.mode) == (48, 36, "RGB")
        assert row.byte_size == Path(row.uri).stat().st_size


def test_a_store_that_is_too_short_is_an_error(images: list[ImageFile], tmp_path: Path) -> None:
    rows = [row for row in store(images, tmp_path) if isinstance(row, PreparedImage)]
    (path,) = (tmp_path / "pixels").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    read_png(str(tmp_path / "pixels"), rows[0])
    with pytest.raises(OSError, match="expected"):
        read_png(str(tmp_path / "pixels"), rows[-1])


def test_a_worker_that_does_the_same_later_moves_no_pixels(
    images: list[ImageFile], tmp_path: Path
) -> None:
    """One that the runner has given up may still be at work, and fail to read another picture."""
    rows = [row for row in store(images, tmp_path) if isinstance(row, PreparedImage)]
    expected = [read_png(str(tmp_path / "pixels"), row) for row in rows]
    Path(images[0].uri).unlink()
    assert isinstance(store(images, tmp_path)[0], Reject)
    assert [read_png(str(tmp_path / "pixels"), row) for row in rows] == expected


def distance(one: np.ndarray, two: np.ndarray) -> int:
    return (int(perceptual_hash(one), 16) ^ int(perceptual_hash(two), 16)).bit_count()


def test_perceptual_hashes_are_near_for_near_pictures_only() -> None:
    far = []
    for seed in range(8):
        pixels = builders.square_picture("red", seed, 64)
        picture = Image.fromarray(pixels).resize((224, 224))
        saved = Image.open(io.BytesIO(builders.picture_file(picture, "JPEG", quality=60)))
        blurred = picture.filter(ImageFilter.GaussianBlur(1))
        for near in (saved, blurred):
            assert distance(np.asarray(picture), np.asarray(near)) <= 4
        mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        far.append(distance(np.asarray(picture), np.asarray(mirrored)))
    assert sorted(far)[4] > 4
    assert len(perceptual_hash(np.zeros((32, 32, 3), np.uint8))) == 16
