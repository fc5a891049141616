"""Tests of steps of a model: a guilty picture costs itself alone, too little memory costs nothing.

The models are TensorFlow functions that raise as real ones do.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from model.bundle import errors_told
from model.bundle_folder import ImageCaptions, ModelError, Scored
from pipelines.batches import BatchCaptioner, caption_batch

GUILTY = 255


def picture(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def allocate(count: np.ndarray, fits: np.ndarray) -> np.ndarray:
    if count > fits:
        raise MemoryError(f"{count} pictures")
    return np.array(0, np.uint8)


@tf.function(
    input_signature=[tf.TensorSpec([None, 2, 2, 3], tf.uint8), tf.TensorSpec([], tf.int32)]
)
def graph(images: tf.Tensor, fits: tf.Tensor) -> tf.Tensor:
    allocated = tf.numpy_function(allocate, [tf.shape(images)[0], fits], tf.uint8)
    values = images[:, 0, 0, 0] + allocated
    tf.debugging.assert_less(values, tf.constant(GUILTY, tf.uint8), "a guilty picture")
    return values


class Model:
    """Says a picture's first pixel; fails at a guilty one, and above `fits` pictures at once."""

    def __init__(self, fits: int = 1000) -> None:
        self.fits, self.sizes = fits, list[int]()

    def __call__(self, images: np.ndarray) -> list[ImageCaptions]:
        self.sizes.append(len(images))
        with errors_told():
            values = graph(tf.constant(images), tf.constant(self.fits)).numpy()
        return [ImageCaptions([Scored(str(value), -1.0)], []) for value in values]


def assert_right(results: list, values: list[int]) -> None:
    assert len(results) == len(values)
    for value, result in zip(values, results, strict=True):
        if value == GUILTY:
            assert isinstance(result, ModelError)
            assert "InvalidArgumentError" in str(result)
            assert "a guilty picture" in str(result)
        else:
            assert result.captions[0].text == str(value)


@given(
    st.lists(st.sampled_from([*range(20), GUILTY]), max_size=40),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_each_picture_has_its_result_whatever_fails(
    values: list[int], fits: int, batch_size: int
) -> None:
    model = Model(fits)
    caption = BatchCaptioner(model, batch_size)
    assert_right(caption(list(map(picture, values))), values)
    assert caption.batch_size <= batch_size
    assert caption.batch_size >= min(batch_size, -(-fits // 2))


def test_a_guilty_picture_is_found_by_halving() -> None:
    model = Model()
    caption_batch(model, [picture(GUILTY), *map(picture, range(31))])
    assert len(model.sizes) == 11
    assert model.sizes[0] == 32


def test_steps_that_memory_is_too_small_for_are_halved_for_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Model(fits=8)
    with pytest.raises(MemoryError):
        model(np.stack([picture(1)] * 9))
    model.sizes.clear()
    caption = BatchCaptioner(model, 32)
    values = list(range(40))
    assert_right(caption(list(map(picture, values))), values)
    assert model.sizes == [32, 16, 8, 8, 8, 8, 8]
    assert_right(caption(list(map(picture, values))), values)
    assert model.sizes[7:] == [8] * 5
    assert caption.batch_size == 8
    (first, second) = caplog.messages
    assert "going on with 16 images in a step" in first
    assert "going on with 8 images in a step" in second


def test_a_guilty_picture_and_too_little_memory_at_once() -> None:
    values = [*range(10), GUILTY, *range(10)]
    model = Model(fits=8)
    assert_right(BatchCaptioner(model, 21)(list(map(picture, values))), values)


def test_memory_too_small_for_one_picture_is_no_fault_of_the_picture() -> None:
    caption = BatchCaptioner(Model(fits=0), 4)
    with pytest.raises(MemoryError):
        caption([picture(1), picture(2)])


@pytest.mark.parametrize("error", [ValueError("a defect"), RuntimeError("count")])
def test_what_is_no_fault_of_a_picture_reaches_the_runner(error: Exception) -> None:
    def broken(pixels: np.ndarray) -> list[ImageCaptions]:
        raise error

    with pytest.raises(type(error)):
        BatchCaptioner(broken, 2)([picture(0), picture(1)])
