"""Tests of the moving averages of weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.averages import WeightAverages


def test_the_average_follows_and_catches_up_sooner_at_first() -> None:
    variable = keras.Variable([1.0, -1.0])
    averages = WeightAverages([variable], momentum=0.5)
    expected = np.array([1.0, -1.0])
    for step in range(1, 15):
        variable.assign([float(step), 2.0])
        averages.update()
        momentum = min(0.5, step / (step + 10))
        expected = momentum * expected + (1 - momentum) * np.array([step, 2.0])
        np.testing.assert_allclose(averages.averages[0], expected, rtol=1e-5)


def test_within_the_block_the_model_has_the_averages() -> None:
    variable = keras.Variable(1.0)
    averages = WeightAverages([variable], momentum=0.9)
    variable.assign(3.0)
    with averages.in_place():
        assert float(variable) == 1.0
    assert float(variable) == 3.0
    with pytest.raises(ZeroDivisionError), averages.in_place():
        raise ZeroDivisionError
    assert float(variable) == 3.0


def test_without_momentum_they_are_the_last_weights() -> None:
    variable = keras.Variable(1.0)
    averages = WeightAverages([variable], momentum=0.0)
    variable.assign(3.0)
    averages.update()
    with averages.in_place():
        assert float(variable) == 3.0


def test_the_followed_variables_are_not_saved_with_it() -> None:
    variable = keras.Variable([1.0, 2.0])
    averages = WeightAverages([variable], momentum=0.9)
    # The count of steps, and the one average.
    assert [tuple(weight.shape) for weight in averages.weights] == [(), (2,)]
