"""The stock arrangement: a Transformer captioner of Keras layers, trained by `model.fit`.

One row a caption, its picture's features repeated, all padded to the longest caption, as in the
"Image Captioning" example of keras.io.
"""

import keras
import tensorflow as tf

from model.artifacts import DatasetInfo
from model.config import ModelConfig
from model.vocabulary import PAD


class Tokens(keras.layers.Layer):
    """Embeddings of tokens and their places."""

    def __init__(self, vocabulary_size: int, length: int, dim: int) -> None:
        super().__init__()
        self.words = keras.layers.Embedding(vocabulary_size, dim)
        self.places = keras.layers.Embedding(length, dim)
        self.length = length

    def call(self, token_ids: keras.KerasTensor) -> keras.KerasTensor:
        return self.words(token_ids) + self.places(keras.ops.arange(self.length))


def _attend(
    queries: keras.KerasTensor, values: keras.KerasTensor, config: ModelConfig, causal: bool
) -> keras.KerasTensor:
    dim, heads = config.embedding_dim, config.heads
    attention = keras.layers.MultiHeadAttention(heads, dim // heads, dropout=config.dropout)
    found = attention(queries, values, use_causal_mask=causal)
    return keras.layers.LayerNormalization()(queries + found)


def _think(vectors: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    hidden = keras.layers.Dense(config.hidden_dim, activation="gelu")(vectors)
    hidden = keras.layers.Dropout(config.dropout)(hidden)
    return keras.layers.LayerNormalization()(
        vectors + keras.layers.Dense(config.embedding_dim)(hidden)
    )


def masked_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of the tokens that are no padding."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets, tf.int32), logits)
    real = tf.cast(targets != PAD, tf.float32)
    return tf.reduce_sum(losses * real) / tf.reduce_sum(real)


def build_stock(info: DatasetInfo, config: ModelConfig, length: int) -> keras.Model:
    """The stock model on stored features, compiled."""
    assert info.features
    grid = keras.Input((info.features.patches, info.features.channels), name="grid")
    token_ids = keras.Input((length,), dtype="int32", name="token_ids")
    memory = keras.layers.Dense(config.embedding_dim)(keras.layers.Dropout(config.dropout)(grid))
    for _ in range(config.encoder_layers):
        memory = _think(_attend(memory, memory, config, causal=False), config)
    words = Tokens(info.vocabulary_size, length, config.embedding_dim)(token_ids)
    for _ in range(config.decoder_layers):
        words = _attend(words, words, config, causal=True)
        words = _think(_attend(words, memory, config, causal=False), config)
    logits = keras.layers.Dense(info.vocabulary_size, dtype="float32")(words)
    model = keras.Model({"grid": grid, "token_ids": token_ids}, logits)
    model.compile(keras.optimizers.AdamW(1e-4), masked_loss, jit_compile=False)
    return model


def one_row_a_caption(batches: tf.data.Dataset, length: int) -> tf.data.Dataset:
    """Batches of pictures with N captions as batches of captions with their pictures."""

    def flatten(inputs: dict, targets: tf.Tensor) -> tuple[dict, tf.Tensor]:
        count = tf.shape(targets)[1]
        padding = [[0, 0], [0, length - tf.shape(targets)[2]]]
        grid = tf.repeat(tf.cast(inputs["grid"], tf.float32), count, axis=0)
        told = tf.reshape(inputs["token_ids"], [tf.shape(grid)[0], -1])
        wanted = tf.reshape(targets, [tf.shape(grid)[0], -1])
        inputs = {"grid": grid, "token_ids": tf.pad(told, padding)}
        return inputs, tf.pad(wanted, padding)

    return batches.map(flatten)
