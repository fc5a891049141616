"""Losses over padded captions."""

import keras
from keras import ops

from model.vocabulary import PAD


class MaskedCrossentropy(keras.losses.Loss):
    """Mean cross-entropy of the tokens that are no padding, in nats.

    Call with targets `int[..., L]` and logits `float[..., L, V]`; returns a scalar. A batch of
    padding alone has a loss of 0.
    """

    def __init__(self, name: str = "masked_crossentropy") -> None:
        super().__init__(name=name, reduction=None)

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        targets = ops.cast(y_true, "int32")
        log_probs = ops.log_softmax(y_pred, axis=-1)
        chosen = ops.take_along_axis(log_probs, ops.expand_dims(targets, -1), axis=-1)
        real = ops.cast(ops.not_equal(targets, PAD), log_probs.dtype)
        return -ops.sum(ops.squeeze(chosen, -1) * real) / ops.maximum(ops.sum(real), 1.0)
