"""Tests of JPEGs that are walked without being decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model.config import ImageConfig
from model.image import ImageError, decode_image
from model.jpeg import SCAN, is_filled_up, scans_of, segments


def jpeg(quality: int = 95, **options: bool) -> bytes:
    """A picture of 96 x 96 px, rich enough for each part of the file to hold some of it."""
    pixels = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def start_of(data: bytes) -> int:
    """Where the first scan of a JPEG starts."""
    return next(at for marker, at in segments(data) if marker == SCAN) - 2


@pytest.mark.parametrize(("progressive", "scans"), [(False, 1), (True, 10)])
def test_scans_are_counted_up_to_the_end(progressive: bool, scans: int) -> None:
    data = jpeg(progressive=progressive)
    assert scans_of(data, start_of(data)) == (scans, True)
    assert scans_of(data + data, start_of(data)) == (scans, True)
    assert scans_of(data[:-2], start_of(data)) == (scans, False)


@given(share=st.floats(0.02, 1.0), progressive=st.booleans(), quality=st.sampled_from([50, 95]))
def test_a_picture_with_zeros_for_its_end_is_never_decoded(
    share: float, progressive: bool, quality: int
) -> None:
    data = jpeg(quality, progressive=progressive)
    start = start_of(data)
    kept = start + int(share * (len(data) - 2 - start))
    filled = data[:kept] + bytes(len(data) - kept)
    with pytest.raises(ImageError) as refused:
        decode_image(filled, ImageConfig(image_size_px=16))
    assert refused.value.reason == "truncated"


@pytest.mark.parametrize("behind", [bytes(1), bytes(999), b"SEFT of a camera" + bytes(9)])
def test_zeros_behind_a_whole_picture_are_no_fault(behind: bytes) -> None:
    data = jpeg()
    assert not is_filled_up(data + behind)
    pixels = decode_image(data + behind, ImageConfig(image_size_px=16)).pixels
    assert (pixels == decode_image(data, ImageConfig(image_size_px=16)).pixels).all()
