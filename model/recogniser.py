"""The recogniser: which words of the captions' vocabulary a picture shows."""

from typing import Any

import keras
from keras import ops

Tensor = Any


class Recogniser(keras.layers.Layer):
    """Multi-label classification of content words, learnt from captions alone.

    A word is true of a picture if one of its captions has it (as in Fang et al. 2015, section 3,
    whose noisy-or over regions is a mean and a maximum over patches here).

    Dimensions: B pictures, P patches, C channels, K concepts, V vocabulary.

    Args:
        concept_ids: token ids of the K words.
        hidden_dim: size of the hidden layer.
        dropout: share of patches' channels and hidden units dropped in training.

    Call with `grid float[B, P, C]`; returns logits `float32[B, K]`.
    """

    def __init__(self, concept_ids: tuple[int, ...], hidden_dim: int, dropout: float) -> None:
        super().__init__(name="recogniser")
        self.concept_ids = tuple(concept_ids)
        self.hidden_dim = hidden_dim
        self.hidden = keras.layers.Dense(hidden_dim, activation="relu", name="hidden")
        # Few words are true of a picture: without the bias the first epochs only learn that.
        bias = keras.initializers.Constant(-3.0)
        self.logits = keras.layers.Dense(
            len(self.concept_ids), bias_initializer=bias, dtype="float32", name="logits"
        )
        self.drop = keras.layers.Dropout(dropout)

    def build(self, grid_shape: tuple) -> None:
        self.hidden.build((None, 2 * grid_shape[-1]))
        self.logits.build((None, self.hidden_dim))

    def call(self, grid: Tensor, training: bool = False) -> Tensor:
        pooled = ops.concatenate([ops.mean(grid, axis=1), ops.max(grid, axis=1)], axis=-1)
        hidden = self.hidden(self.drop(pooled, training=training))
        return self.logits(self.drop(hidden, training=training))

    def labels(self, token_ids: Tensor) -> Tensor:
        """Which concepts the captions `int[B, N, L]` of each picture name, `float32[B, K]`."""
        batch = ops.shape(token_ids)[0]
        words = ops.reshape(token_ids, (batch, -1, 1))
        named = ops.any(ops.equal(words, ops.convert_to_tensor(self.concept_ids)), axis=1)
        return ops.cast(named, "float32")

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` likeliest words of logits `[B, K]`: token ids and probabilities `[B, T]`."""
        top, places = ops.top_k(logits, count)
        return ops.take(ops.convert_to_tensor(self.concept_ids), places), ops.sigmoid(top)
