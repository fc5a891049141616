"""Tests of what is shown and decided between steps and epochs."""

from __future__ import annotations

import math
import time

import pytest

from model.callbacks import ShowSpeed, check_finite
from model.errors import CaptionerError


def test_the_progress_bar_is_told_captions_per_second() -> None:
    speed = ShowSpeed(captions=40.0)
    started = time.perf_counter()
    speed.on_epoch_begin(0)
    time.sleep(0.05)
    logs: dict = {"loss": 1.0}
    speed.on_train_batch_end(2, logs)
    slowest = 3 * 40.0 / (time.perf_counter() - started)
    assert slowest <= logs["captions_per_sec"] <= 3 * 40.0 / 0.05


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_it_with_place_and_advice(loss: float) -> None:
    check_finite(1.5, "step 1")
    with pytest.raises(CaptionerError, match=r"step 7 of epoch 2.*--learning-rate"):
        check_finite(loss, "step 7 of epoch 2")
