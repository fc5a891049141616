"""Layers that decoders share.

Dimensions: B pictures, N captions of a picture, Q queries of a picture, L tokens, P cells of the
memory, E embedding, U units, A hidden units of the attention, H heads.
"""

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
        """Queries `[B, Q, U]` to `(contexts [B, Q, E], weights [B, Q, P])`; weights sum to 1."""
        hidden = ops.tanh(ops.expand_dims(keys, 1) + ops.expand_dims(self.query(query), 2))
        weights = ops.softmax(ops.sum(hidden * self.score, axis=-1), axis=-1)
        return ops.matmul(weights, values), weights


def split_heads(
    tensor: keras.KerasTensor, heads: int, batch: keras.KerasTensor | int
) -> keras.KerasTensor:
    """`[B, Q, E]`, or the same as `[B * Q, E]`, to `[B, H, Q, E / H]`."""
    parted = ops.reshape(tensor, (batch, -1, heads, tensor.shape[-1] // heads))
    return ops.transpose(parted, (0, 2, 1, 3))


def attend(
    queries: keras.KerasTensor,
    keys: keras.KerasTensor,
    values: keras.KerasTensor,
    mask: keras.KerasTensor | None = None,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) of heads.

    Args:
        queries: `[B, H, Q, D]`.
        keys: `[B, H, P, D]`.
        values: `[B, H, P, D]`.
        mask: 0 where a query may look and a large negative number where not, `[..., Q, P]`.

    Returns:
        `[B, Q, H * D]`, and the weights `[B, H, Q, P]`.
    """
    heads, dim = queries.shape[1], queries.shape[3]
    scores = ops.matmul(queries * dim**-0.5, ops.swapaxes(keys, -1, -2))
    if mask is not None:
        scores = scores + ops.cast(mask, scores.dtype)
    weights = ops.softmax(scores, axis=-1)
    mixed = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
    batch, count = ops.shape(mixed)[:2]
    return ops.reshape(mixed, (batch, count, heads * dim)), weights


def embedding(rows: int, dim: int, name: str, stddev: float) -> keras.layers.Embedding:
    """A table of `rows` vectors that start as noise of `stddev`."""
    initializer = keras.initializers.RandomNormal(stddev=stddev)
    return keras.layers.Embedding(rows, dim, embeddings_initializer=initializer, name=name)
