"""Tests of what `captioner plan` is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from model.errors import CaptionerError
from pipelines.arguments import plan_parser
from pipelines.caption_config import CaptionConfig
from pipelines.plan_config import PlanConfig, read_plan_config

CAPTION = CaptionConfig("b", ("i",), "o", unit_size=1, batch_size=1, max_reject_ratio=1.0)
SOUND: dict[str, Any] = {"caption": CAPTION, "sample_images": 1, "workers": (1, 8)}


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_images": 0},
        {"workers": (1, 0)},
        {"price_per_worker_hour": -0.1},
        {"price_per_worker_hour": float("nan")},
        {"price_per_worker_hour": float("inf")},
    ],
)
def test_a_configuration_checks_itself(changes: dict[str, Any]) -> None:
    PlanConfig(**SOUND, price_per_worker_hour=0.0)
    with pytest.raises(CaptionerError, match=r"^--[a-z-]+: got .*, expected"):
        PlanConfig(**{**SOUND, **changes})


def test_every_option_has_its_place() -> None:
    arguments = "--bundle /b --input /i --input /j --workers 2 3 --price-per-worker-hour 0.5"
    more = "--batch-size 4 --tags 5 --num-captions 1 --read-timeout-sec 6 --sample-images 7"
    options = plan_parser().parse_args([*arguments.split(), *more.split()])
    config = read_plan_config(options, "/o")
    assert (config.sample_images, config.workers, config.price_per_worker_hour) == (7, (2, 3), 0.5)
    caption = config.caption
    assert (caption.bundle, caption.inputs, caption.output) == ("/b", ("/i", "/j"), "/o")
    assert (caption.unit_size, caption.batch_size, caption.read_timeout_sec) == (256, 4, 6)
    assert (caption.tags, caption.num_captions) == (5, 1)


def test_one_eight_and_a_hundred_workers_are_told_unless_named_otherwise() -> None:
    config = read_plan_config(plan_parser().parse_args("--bundle b --input i".split()), "/o")
    assert config.workers == (1, 8, 100)
    assert config.price_per_worker_hour is None
