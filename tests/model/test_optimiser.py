"""Tests of the optimiser and its schedule."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.config import TrainConfig
from model.optimiser import learning_rate_schedule, make_optimiser


def test_the_learning_rate_rises_and_falls_to_zero_with_the_last_step() -> None:
    schedule = learning_rate_schedule(peak=0.5, steps=200)
    rates = [float(schedule(step)) for step in range(201)]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(0.5) == pytest.approx(rates[10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[190] > 0
    assert rates[200] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 10, 29])
def test_few_steps_have_no_warm_up_to_lose_the_first_in(steps: int) -> None:
    schedule = learning_rate_schedule(peak=0.5, steps=steps)
    rates = [float(schedule(step)) for step in range(steps + 1)]
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert rates[steps] == pytest.approx(0, abs=1e-9)


def test_two_steps_of_warm_up_are_one() -> None:
    schedule = learning_rate_schedule(peak=0.5, steps=30)
    assert [float(schedule(step)) for step in range(3)] == pytest.approx([0, 0.25, 0.5])


def test_a_fine_tuned_encoder_learns_slower() -> None:
    slow, fast = keras.Variable([1.0], name="slow"), keras.Variable([1.0], name="fast")
    train = TrainConfig(encoder_learning_rate=0.1, weight_decay=0.0)
    optimiser = make_optimiser(train, peak=0.5, steps=100, fine_tuned=[slow])
    optimiser.build([slow, fast])
    for _ in range(6):
        optimiser.apply([np.ones(1, "float32"), np.ones(1, "float32")], [slow, fast])
    moved = [1 - float(variable[0]) for variable in (slow, fast)]
    assert moved[1] > 0.1
    assert moved[0] == pytest.approx(0.1 * moved[1], rel=1e-3)


def test_a_fine_tuned_encoder_decays_slower() -> None:
    slow, fast = keras.Variable([1.0], name="slow"), keras.Variable([1.0], name="fast")
    train = TrainConfig(encoder_learning_rate=0.1, weight_decay=0.5)
    optimiser = make_optimiser(train, peak=0.1, steps=100, fine_tuned=[slow])
    optimiser.build([slow, fast])
    left = np.ones(2)
    for step in range(6):
        optimiser.apply([np.zeros(1, "float32"), np.zeros(1, "float32")], [slow, fast])
        rate = float(learning_rate_schedule(0.1, 100)(step))
        left *= [1 - 0.1 * rate * 0.5, 1 - rate * 0.5]
    assert [float(slow[0]), float(fast[0])] == pytest.approx(left, rel=1e-6)
    assert left[1] < 0.95


def test_biases_do_not_decay() -> None:
    kernel, bias = keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")
    optimiser = make_optimiser(TrainConfig(weight_decay=0.5), peak=0.1, steps=100, fine_tuned=[])
    optimiser.build([kernel, bias])
    for _ in range(6):
        optimiser.apply([np.zeros(1, "float32"), np.zeros(1, "float32")], [kernel, bias])
    assert float(bias[0]) == 1.0
    assert float(kernel[0]) < 0.95
