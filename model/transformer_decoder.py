"""The Transformer decoder: words look at the words before them and at the picture."""

from typing import Any

import keras
from keras import ops

from model.decoding import Memory, State
from model.layers import embedding
from model.recurrent_decoder import Concepts
from model.transformer_layers import DecoderBlock, EncoderBlock, KeysAndValues

Tensor = Any
# Far below any score, yet finite in half precision.
_NEVER = -3e4


class TransformerDecoder(keras.layers.Layer):
    """A Transformer (Vaswani et al. 2017) from a grid of patches to words.

    Layers normalise their inputs ("pre-norm", Xiong et al. 2020), so that no long warm-up is
    needed; words are read and predicted by one table (Press & Wolf 2017). The patches look at each
    other in layers of their own before words look at them. All captions of a picture query one
    memory. In generation the keys and values of the words so far are kept, not computed again.

    Dimensions: B pictures, N captions of a picture, P patches, T concepts, L tokens, V vocabulary,
    E embedding, H heads, D = E / H.

    Args:
        vocabulary_size: V.
        patches: P.
        concepts: whether it is told concepts.
        dim: E.
        hidden_dim: size of the feed-forward layers' inner vectors.
        heads: of every attention; divides E.
        encoder_layers: layers in which patches look at each other.
        decoder_layers: layers in which words look at words and at patches.
        max_length: most tokens of a caption.
        dropout: share of activations dropped in training.
        embedding_stddev: spread of the first embeddings of places.

    Call with `grid float[B, P, C]`, `token_ids int[B, N, L]` (teacher forcing) and concepts or
    None; returns logits `float[B, N, L, V]` of the tokens that follow each, and attention weights
    `float[B, N, L, 1 + P + T]` of the last layer: the whole picture first, then patches.
    """

    # Place of the first patch in the memory, after the whole picture.
    first_patch = 1

    def __init__(
        self,
        vocabulary_size: int,
        patches: int,
        concepts: bool,
        dim: int,
        hidden_dim: int,
        heads: int,
        encoder_layers: int,
        decoder_layers: int,
        max_length: int,
        dropout: float,
        embedding_stddev: float,
    ) -> None:
        super().__init__(name="decoder")
        self.vocabulary_size, self.patches = vocabulary_size, patches
        self.dim, self.heads = dim, heads
        self.max_length, self.decoder_layers = max_length, decoder_layers
        # Words are also the output layer: their scale must suit a dot product with unit vectors.
        self.embedding = embedding(vocabulary_size, dim, "embedding", dim**-0.5)
        self.place = embedding(max_length, dim, "place", dim**-0.5)
        self.project = keras.layers.Dense(dim, name="project")
        self.whole = keras.layers.Dense(dim, name="whole")
        self.position = embedding(patches, dim, "position", embedding_stddev)
        self.concept = keras.layers.Dense(dim, name="concept") if concepts else None
        self.encoder = [
            EncoderBlock(dim, hidden_dim, heads, dropout, f"encoder_{number}")
            for number in range(encoder_layers)
        ]
        self.decoder = [
            DecoderBlock(dim, hidden_dim, heads, dropout, f"decoder_{number}")
            for number in range(decoder_layers)
        ]
        self.norm_memory = keras.layers.LayerNormalization(name="norm_memory")
        self.norm_output = keras.layers.LayerNormalization(name="norm_output")
        self.drop = keras.layers.Dropout(dropout)

    def build(self, grid_shape: tuple, *_: tuple) -> None:
        self.output_bias = self.add_weight(
            shape=(self.vocabulary_size,), initializer="zeros", name="output_bias"
        )
        for table in (self.embedding, self.place, self.position):
            table.build((None,))
        for layer in (self.project, self.whole):
            layer.build(grid_shape)
        for layer in (self.concept, self.norm_memory, self.norm_output):
            if layer is not None:
                layer.build((None, self.dim))
        blocks: list[keras.layers.Layer] = [*self.encoder, *self.decoder]
        for block in blocks:
            block.build((None, None, self.dim))

    def word_weights(self) -> list[tuple[keras.Variable, int]]:
        """The weights that have a part for each word, and the axis of these parts."""
        return [(self.embedding.embeddings, 0), (self.output_bias, 0)]

    def remember(
        self, grid: Tensor, concepts: Concepts | None = None, training: bool = False
    ) -> Memory:
        """Keys and values of each layer by head, `[B, H, 1 + P + T, D]`."""
        dropped = self.drop(grid, training=training)
        patches = self.project(dropped) + self.position(ops.arange(self.patches))
        whole = self.whole(ops.mean(dropped, axis=1, keepdims=True))
        memory = ops.concatenate([whole, patches], axis=1)
        for block in self.encoder:
            memory = block(memory, training=training)
        if concepts is not None and self.concept is not None:
            token_ids, probabilities = concepts
            words = self.concept(self.embedding(token_ids) * self.dim**0.5)
            weighed = words * ops.expand_dims(ops.cast(probabilities, words.dtype), -1)
            memory = ops.concatenate([memory, weighed], axis=1)
        memory = self.norm_memory(memory)
        return _by_name([block.look.remember(memory) for block in self.decoder])

    def initial_state(self, memory: Memory) -> State:
        """No words yet, and so no keys and values of them, `[B, H, 0, D]`."""
        keys = memory["keys_0"]
        # None, though only a run can tell: a loop would take a length that a graph knows for that
        # of all its passes.
        none = ops.sum(ops.cast(keys[:, 0, 0, 0] > 0, "int32")) * 0
        path = ops.zeros((ops.shape(keys)[0], self.max_length), "int32")
        nothing = keys[:, :, :none]
        return State({"path": path}, _by_name([(nothing, nothing)] * self.decoder_layers))

    def step(self, token_ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Reads a word of each of R captions: `int[R]` to logits `[R, V]` and the new state.

        `state` has R rows and `memory` B, R a multiple of B, captions of a picture side by side.
        Keys and values of words stay where they were written, however beams are put in order: each
        caption looks at those on its path, which is the number, among its picture's captions, of
        the one that it was at every word so far.
        """
        batch, rows = ops.shape(memory["keys_0"])[0], ops.shape(token_ids)[0]
        captions = rows // batch
        place = ops.shape(state.kept["keys_0"])[2] // captions
        newest = (ops.arange(rows) % captions)[:, None]
        path = ops.where(ops.arange(self.max_length) == place, newest, state.rows["path"])
        passed = ops.equal(path[:, : place + 1, None], ops.arange(captions))
        mask = ops.where(passed, 0.0, _NEVER)
        mask = ops.reshape(mask, (batch, 1, captions, (place + 1) * captions))
        vectors, recalled = self._read(token_ids, ops.convert_to_tensor(place)), []
        for number, block in enumerate(self.decoder):
            vectors, kept = block.step(
                vectors, _of_layer(state.kept, number), mask, _of_layer(memory, number)
            )
            recalled.append(kept)
        return self._predict(vectors), State({"path": path}, _by_name(recalled))

    def call(
        self,
        grid: Tensor,
        token_ids: Tensor,
        concepts: Concepts | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        return self.tell(self.remember(grid, concepts, training), token_ids, training)

    def tell(
        self, memory: Memory, token_ids: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What `call` returns, of pictures that are remembered."""
        places = ops.arange(ops.shape(token_ids)[2])
        vectors = self.drop(self._read(token_ids, places), training=training)
        mask = ops.where(places > places[:, None], _NEVER, 0.0)
        weights = None
        for number, block in enumerate(self.decoder):
            remembered = _of_layer(memory, number)
            vectors, weights = block(vectors, remembered, mask, training=training)
        return self._predict(vectors), weights

    def _read(self, token_ids: Tensor, places: Tensor) -> Tensor:
        """Vectors of words at their places, or at one place all of them."""
        return (self.embedding(token_ids) + self.place(places)) * self.dim**0.5

    def _predict(self, vectors: Tensor) -> Tensor:
        """Logits of the next word, in single precision."""
        table = ops.cast(self.embedding.embeddings, self.compute_dtype)
        logits = ops.matmul(self.norm_output(vectors), ops.transpose(table))
        return ops.cast(logits, "float32") + ops.cast(self.output_bias, "float32")


def _by_name(layers: list[KeysAndValues]) -> dict[str, Tensor]:
    """Keys and values of all layers in one flat dictionary, as samplers and loops want it."""
    named = {}
    for number, (keys, values) in enumerate(layers):
        named[f"keys_{number}"], named[f"values_{number}"] = keys, values
    return named


def _of_layer(named: dict[str, Tensor], number: int) -> KeysAndValues:
    return named[f"keys_{number}"], named[f"values_{number}"]
