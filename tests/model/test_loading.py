"""Tests of loading what captions pixels: a run or a bundle, as it was asked for or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import SamplerConfig
from model.engine import Engine
from model.errors import CaptionerError
from model.loading import load_model


def test_a_bundle_keeps_to_the_sampler_it_was_exported_with(bundle_folder: Path) -> None:
    with pytest.raises(CaptionerError, match=r"--beam-width: got 5, .* was exported with 3;"):
        load_model(bundle_folder, SamplerConfig(beam_width=5))


def test_a_run_tells_its_epoch_and_is_computed_by_tensorflow_alone(
    trained_run: Path, bundle_folder: Path
) -> None:
    assert load_model(trained_run, SamplerConfig()).epoch
    assert load_model(bundle_folder, SamplerConfig()).epoch is None
    for engine in (Engine("openvino"), Engine(bfloat16=True)):
        with pytest.raises(CaptionerError, match="is no bundle; captioner export makes one"):
            load_model(trained_run, SamplerConfig(), engine)
