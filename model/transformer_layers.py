"""The layers of a Transformer (Vaswani et al. 2017), normalised at their inputs.

Dimensions: B pictures or captions, Q vectors of each, P vectors of the memory, E embedding, H
heads, D = E / H.
"""

from typing import Any

import keras
from keras import ops

from model.layers import attend, split_heads

Tensor = Any
# By head, so that a word at a time need not split them again: `[B, H, P, D]` each.
KeysAndValues = tuple[Tensor, Tensor]


class FeedForward(keras.layers.Layer):
    """Two dense layers applied to each vector by itself (Vaswani et al. 2017, section 3.3)."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.dim, self.hidden_dim = dim, hidden_dim
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.widen = keras.layers.Dense(hidden_dim, activation="gelu", name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.drop = keras.layers.Dropout(dropout)

    def build(self, *_: tuple) -> None:
        self.norm.build((None, self.dim))
        self.widen.build((None, self.dim))
        self.narrow.build((None, self.hidden_dim))

    def call(self, vectors: Tensor, training: bool = False) -> Tensor:
        hidden = self.drop(self.widen(self.norm(vectors)), training=training)
        return vectors + self.drop(self.narrow(hidden), training=training)


class SelfAttention(keras.layers.Layer):
    """Vectors `[B, Q, E]` look at each other, or at keys and values given."""

    def __init__(self, dim: int, heads: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.dim, self.heads = dim, heads
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.project = keras.layers.Dense(3 * dim, name="project")
        self.mix = keras.layers.Dense(dim, name="mix")
        self.drop = keras.layers.Dropout(dropout)

    def build(self, *_: tuple) -> None:
        self.norm.build((None, self.dim))
        self.project.build((None, self.dim))
        self.mix.build((None, self.dim))

    def split(self, vectors: Tensor, batch: Tensor) -> list[Tensor]:
        """Queries, keys and values by head, `[B, H, Q, D]` each, of `[B, Q, E]` or `[B * Q, E]`."""
        parts = split_heads(self.project(self.norm(vectors)), 3 * self.heads, batch)
        return ops.split(parts, 3, axis=1)

    def merge(
        self,
        vectors: Tensor,
        queries: Tensor,
        recalled: KeysAndValues,
        mask: Tensor | None,
        training: bool = False,
    ) -> Tensor:
        """`vectors` and what their queries found."""
        mixed, _ = attend(queries, *recalled, mask)
        mixed = ops.reshape(mixed, ops.shape(vectors))
        return vectors + self.drop(self.mix(mixed), training=training)

    def call(self, vectors: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        queries, keys, values = self.split(vectors, ops.shape(vectors)[0])
        return self.merge(vectors, queries, (keys, values), mask, training)


class CrossAttention(keras.layers.Layer):
    """Vectors `[B, Q, E]` look at a memory `[B, P, E]`, whose keys and values are computed once."""

    def __init__(self, dim: int, heads: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.dim, self.heads = dim, heads
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.query = keras.layers.Dense(dim, name="query")
        self.project = keras.layers.Dense(2 * dim, name="project")
        self.mix = keras.layers.Dense(dim, name="mix")
        self.drop = keras.layers.Dropout(dropout)

    def build(self, *_: tuple) -> None:
        for layer in (self.norm, self.query, self.project, self.mix):
            layer.build((None, self.dim))

    def remember(self, memory: Tensor) -> KeysAndValues:
        """Keys and values of a memory `[B, P, E]`."""
        parts = split_heads(self.project(memory), 2 * self.heads, ops.shape(memory)[0])
        keys, values = ops.split(parts, 2, axis=1)
        return keys, values

    def call(
        self, vectors: Tensor, remembered: KeysAndValues, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Of `[B, Q, E]` or `[B * Q, E]`: with what they found, and where, `[B, Q, P]`.

        The weights are the heads' mean.
        """
        batch = ops.shape(remembered[0])[0]
        queries = split_heads(self.query(self.norm(vectors)), self.heads, batch)
        mixed, weights = attend(queries, *remembered)
        mixed = ops.reshape(mixed, ops.shape(vectors))
        vectors = vectors + self.drop(self.mix(mixed), training=training)
        return vectors, ops.mean(weights, axis=1)


class EncoderBlock(keras.layers.Layer):
    """Patches `[B, P, E]` look at each other, then each thinks."""

    def __init__(self, dim: int, hidden_dim: int, heads: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.look = SelfAttention(dim, heads, dropout, "look")
        self.think = FeedForward(dim, hidden_dim, dropout, "think")

    def build(self, shape: tuple) -> None:
        self.look.build(shape)
        self.think.build(shape)

    def call(self, patches: Tensor, training: bool = False) -> Tensor:
        return self.think(self.look(patches, training=training), training=training)


class DecoderBlock(keras.layers.Layer):
    """Words recall the words before them, look at the picture, then each thinks."""

    def __init__(self, dim: int, hidden_dim: int, heads: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.dim = dim
        self.recall = SelfAttention(dim, heads, dropout, "recall")
        self.look = CrossAttention(dim, heads, dropout, "look")
        self.think = FeedForward(dim, hidden_dim, dropout, "think")

    def build(self, *_: tuple) -> None:
        for layer in (self.recall, self.look, self.think):
            layer.build((None, None, self.dim))

    def call(
        self, words: Tensor, remembered: KeysAndValues, mask: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Captions `[B, N, L, E]` all at once, over what is remembered of their B pictures.

        Returns the new words, and where they looked, `[B, N, L, P]`.
        """
        batch, captions, length = ops.shape(words)[:3]
        words = ops.reshape(words, (batch * captions, length, self.dim))
        words = self.recall(words, mask, training=training)
        words = ops.reshape(words, (batch, captions * length, self.dim))
        words, weights = self.look(words, remembered, training=training)
        words = self.think(words, training=training)
        shape = (batch, captions, length, -1)
        return ops.reshape(words, (batch, captions, length, self.dim)), ops.reshape(weights, shape)

    def step(
        self, words: Tensor, recalled: KeysAndValues, mask: Tensor, remembered: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        """The next word of each of K captions of B pictures.

        Args:
            words: `[B * K, E]`; as vectors of two dimensions, which takes fewer operations.
            recalled: keys and values of the words before, of all captions of a picture together,
                `[B, H, M, D]`.
            mask: which of them each caption may look at once these words' own are there too,
                `[B, 1, K, M + K]`.
            remembered: keys and values of the pictures, `[B, H, P, D]`.

        Returns:
            the new words, and `recalled` with these words' own at its end, `[B, H, M + K, D]`.
        """
        queries, keys, values = self.recall.split(words, ops.shape(remembered[0])[0])
        recalled = (
            ops.concatenate([recalled[0], keys], axis=2),
            ops.concatenate([recalled[1], values], axis=2),
        )
        words = self.recall.merge(words, queries, recalled, mask)
        words, _ = self.look(words, remembered)
        return self.think(words), recalled
