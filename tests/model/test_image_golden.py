"""Tests that the decoder still makes the colours of a picture that it made when last looked at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden import images as golden

# pytest puts its own warning filters in place of those of model.image.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
COLOURS = json.loads(golden.PATH.read_text(encoding="utf-8"))
# Encoders and decoders of JPEG and AVIF round differently from version to version.
LEVELS_APART = 2


@pytest.mark.parametrize("name", golden.drawn_files())
def test_drawn_pictures_have_their_golden_colours(name: str) -> None:
    got = golden.colours(golden.drawn_files()[name])
    np.testing.assert_allclose(got, COLOURS[name], atol=LEVELS_APART)


@pytest.mark.parametrize("name", golden.FILES)
def test_real_pictures_have_their_golden_colours(name: str, development_data: Path) -> None:
    got = golden.colours((development_data / "nasty-images" / name).read_bytes())
    np.testing.assert_allclose(got, COLOURS[name], atol=LEVELS_APART)
