"""Tests of the moving averages of weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from model.averages import MeanOfPasses, WeightAverages


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


def test_the_mean_is_of_what_passes_from_one_start_come_to() -> None:
    variable = keras.Variable([1.0, -1.0])
    passes = MeanOfPasses([variable], momentum=0.0)
    # The mean so far, where a pass that goes on counts as what it has come to.
    for ends, mean in ([[[9.0, 9.0], [5.0, 1.0]], [5.0, 1.0]], [[[1.0, 4.0]], [3.0, 2.5]]):
        variable.assign([100.0, 100.0])
        passes.begin_pass()
        np.testing.assert_array_equal(variable, [1.0, -1.0])
        np.testing.assert_array_equal(passes.averages[0], [1.0, -1.0])
        assert float(passes.steps) == 0.0
        for end in ends:
            variable.assign(end)
            passes.update()
            passes.add_pass()
            shown = mean if end == ends[-1] else end
            with passes.in_place():
                np.testing.assert_allclose(variable, shown)
        np.testing.assert_array_equal(variable, ends[-1])


def test_what_a_pass_comes_to_is_its_moving_average() -> None:
    variable = keras.Variable(0.0)
    averages, passes = WeightAverages([variable], 0.5), MeanOfPasses([variable], 0.5)
    passes.begin_pass()
    for value in (4.0, 1.0, 7.0):
        variable.assign(value)
        averages.update()
        passes.update()
    passes.add_pass()
    with averages.in_place():
        expected = float(variable)
    with passes.in_place():
        assert float(variable) == pytest.approx(expected)
