"""Layers that decoders share."""

import keras
from keras import ops


class AdditiveAttention(keras.layers.Layer):
    """Additive attention over a grid (Bahdanau et al. 2015, section 3.1; Xu et al. 2015).

    The score of patch p for a query q is `v . tanh(W_k grid_p + W_q q)`. The keys `W_k grid` do not
    depend on the query: `keys` computes them once for a whole caption.

    Args:
        units: size of the hidden layer, A.
    """

    def __init__(self, units: int) -> None:
        super().__init__(name="attention")
        self.key = keras.layers.Dense(units, name="key")
        self.query = keras.layers.Dense(units, use_bias=False, name="query")
        self.units = units

    def build(self, query_shape: tuple, keys_shape: tuple, values_shape: tuple) -> None:
        self.query.build(query_shape)
        self.key.build(values_shape)
        self.score = self.add_weight(shape=(self.units,), name="score")

    def keys(self, values: keras.KerasTensor) -> keras.KerasTensor:
        """Keys `[B, P, A]` of the values `[B, P, E]`."""
        return self.key(values)

    def call(
        self, query: keras.KerasTensor, keys: keras.KerasTensor, values: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Query `[B, U]` to `(context [B, E], weights [B, P])`; the weights sum to 1."""
        hidden = ops.tanh(keys + ops.expand_dims(self.query(query), 1))
        weights = ops.softmax(ops.sum(hidden * self.score, axis=-1), axis=-1)
        context = ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), values), 1)
        return context, weights
