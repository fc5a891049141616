"""Tests of loading what captions pixels: a run or a bundle, as it was asked for or not at all."""

from __future__ import annotations

from pathlib import Path

import builders
import pytest

from model.config import SamplerConfig
from model.decoding_options import Decoding
from model.engine import Engine
from model.errors import CaptionerError
from model.loading import load_model


def test_runs_and_bundles_decode_as_asked(trained_run: Path, bundle_folder: Path) -> None:
    pictures = builders.square_picture("red", 1)[None]
    for folder in (trained_run, bundle_folder):
        assert load_model(folder).sampler == SamplerConfig()
        wide = load_model(folder, Decoding((("beam_width", 5),)))
        assert (wide.sampler.beam_width, len(wide.caption(pictures)[0].captions)) == (5, 5)


def test_a_run_tells_its_epoch_and_is_computed_by_tensorflow_alone(
    trained_run: Path, bundle_folder: Path
) -> None:
    assert load_model(trained_run).epoch
    assert load_model(bundle_folder).epoch is None
    for engine in (Engine("openvino"), Engine(bfloat16=True)):
        with pytest.raises(CaptionerError, match="is no bundle; captioner export makes one"):
            load_model(trained_run, engine=engine)
