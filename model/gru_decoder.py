"""The recurrent decoder: a GRU that looks at the picture again before every word."""

from typing import Any

import keras
from keras import ops

from model.layers import AdditiveAttention

Tensor = Any
# What a decoder keeps of a picture: the same for all words and all beams of it.
Memory = dict[str, Tensor]
# What a decoder keeps of the words so far: gathered when beams are reordered.
State = dict[str, Tensor]


class GRUDecoder(keras.layers.Layer):
    """Embedding, GRU (Cho et al. 2014) and additive attention over the grid at every step.

    The arrangement is that of Luong et al. 2015 (section 3.3, "input feeding") over the image grid
    of Xu et al. 2015: the GRU reads a word and the patches last looked at, its new state queries
    the grid, and state, context and word together predict the next word. Looking after the word
    was read, not before it as Xu et al. do, lets "a dog and a" look for the second animal at once.

    Dimensions: B pictures, P patches, L tokens, V vocabulary, U units, E embedding.

    Args:
        vocabulary_size: V.
        patches: P.
        embedding_dim: E.
        units: U.
        attention_units: size of the attention's hidden layer.
        glance_dim: numbers of each patch that the first state sees, every patch in its place; 0
            for the mean of the patches, which does not tell where things are.
        dropout: share of embeddings, patches and outputs dropped in training.
        embedding_stddev: spread of the first embeddings, of words and of places.

    Call with `grid float[B, P, C]` and `token_ids int[B, L]` (teacher forcing); returns logits
    `float[B, L, V]` of the tokens that follow each.
    """

    def __init__(
        self,
        vocabulary_size: int,
        patches: int,
        embedding_dim: int,
        units: int,
        attention_units: int,
        glance_dim: int,
        dropout: float,
        embedding_stddev: float,
    ) -> None:
        super().__init__(name="gru_decoder")
        self.vocabulary_size, self.patches = vocabulary_size, patches
        self.embedding_dim, self.units = embedding_dim, units
        dense = keras.layers.Dense
        self.embedding = _embedding(vocabulary_size, embedding_dim, "embedding", embedding_stddev)
        self.project = dense(units, name="project")
        self.position = _embedding(patches, units, "position", embedding_stddev)
        self.attention = AdditiveAttention(attention_units)
        self.glance = dense(glance_dim, activation="relu", name="glance") if glance_dim else None
        self.first_state = dense(units, activation="tanh", name="first_state")
        # Update and reset gates and candidate, side by side. The words' part does not depend on
        # the state, so that training computes it for all steps at once.
        self.word_gates = dense(3 * units, name="word_gates")
        self.context_gates = dense(3 * units, use_bias=False, name="context_gates")
        self.state_gates = dense(3 * units, kernel_initializer="orthogonal", name="state_gates")
        self.output_hidden = dense(embedding_dim, activation="tanh", name="output_hidden")
        self.logits = dense(vocabulary_size, dtype="float32", name="logits")
        self.drop_grid = keras.layers.Dropout(dropout)
        self.drop_words = keras.layers.Dropout(dropout)
        self.drop_output = keras.layers.Dropout(dropout)

    def build(self, grid_shape: tuple, token_ids_shape: tuple) -> None:
        units, words = (None, self.units), (None, self.embedding_dim)
        self.embedding.build((None,))
        self.project.build(grid_shape)
        self.position.build((None,))
        self.attention.build(units, (None, None, None), (None, self.patches, self.units))
        if self.glance:
            self.glance.build((None, self.patches, self.units))
            self.first_state.build((None, self.patches * self.glance.units))
        else:
            self.first_state.build(units)
        self.word_gates.build(words)
        self.context_gates.build(units)
        self.state_gates.build(units)
        self.output_hidden.build((None, 2 * self.units + self.embedding_dim))
        self.logits.build(words)

    def remember(self, grid: Tensor, training: bool = False) -> Memory:
        """What all words share of the pictures `grid [B, P, C]`: `values`, `keys`."""
        values = self.project(self.drop_grid(grid, training=training))
        values = ops.relu(values + self.position(ops.arange(self.patches)))
        return {"values": values, "keys": self.attention.keys(values)}

    def initial_state(self, memory: Memory) -> State:
        """The state before the first word, from a glance at the grid or its mean."""
        values = memory["values"]
        if self.glance:
            glance = self.glance(values)
            seen = ops.reshape(glance, (-1, self.patches * self.glance.units))
        else:
            seen = ops.mean(values, axis=1)
        hidden = self.first_state(seen)
        return {"hidden": hidden, "context": ops.zeros_like(hidden)}

    def step(self, token_ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Reads one word: `int[B]` to logits `[B, V]` of the next word, and the new state."""
        embedded = self.embedding(token_ids)
        state = self._advance(self.word_gates(embedded), state, memory)
        return self._predict(state["hidden"], state["context"], embedded, training=False), state

    def call(self, grid: Tensor, token_ids: Tensor, training: bool = False) -> Tensor:
        # One memory for each picture; captions of the same picture share it.
        captions_per_image = ops.shape(token_ids)[1]
        memory = {
            name: _repeat(tensor, captions_per_image)
            for name, tensor in self.remember(grid, training).items()
        }
        token_ids = ops.reshape(token_ids, (-1, ops.shape(token_ids)[2]))
        embedded = self.drop_words(self.embedding(token_ids), training=training)
        gates = ops.transpose(self.word_gates(embedded), (1, 0, 2))

        def advance(state: State, word_gates: Tensor) -> tuple[State, State]:
            state = self._advance(word_gates, state, memory)
            return state, state

        _, states = ops.scan(advance, self.initial_state(memory), gates)
        hidden = ops.transpose(states["hidden"], (1, 0, 2))
        context = ops.transpose(states["context"], (1, 0, 2))
        logits = self._predict(hidden, context, embedded, training)
        length = ops.shape(token_ids)[1]
        return ops.reshape(logits, (-1, captions_per_image, length, self.vocabulary_size))

    def _advance(self, word_gates: Tensor, state: State, memory: Memory) -> State:
        """One step of the GRU, from the word's share of the gates `[B, 3U]`."""
        hidden = state["hidden"]
        from_inputs = word_gates + self.context_gates(state["context"])
        update, reset, candidate = ops.split(from_inputs, 3, axis=-1)
        update_state, reset_state, candidate_state = ops.split(self.state_gates(hidden), 3, axis=-1)
        update = ops.sigmoid(update + update_state)
        reset = ops.sigmoid(reset + reset_state)
        candidate = ops.tanh(candidate + reset * candidate_state)
        hidden = update * hidden + (1.0 - update) * candidate
        context, _ = self.attention(hidden, memory["keys"], memory["values"])
        return {"hidden": hidden, "context": context}

    def _predict(self, hidden: Tensor, context: Tensor, embedded: Tensor, training: bool) -> Tensor:
        seen = ops.concatenate([hidden, context, embedded], axis=-1)
        output = self.output_hidden(self.drop_output(seen, training=training))
        return self.logits(self.drop_output(output, training=training))


def _embedding(rows: int, dim: int, name: str, stddev: float) -> keras.layers.Embedding:
    initializer = keras.initializers.RandomNormal(stddev=stddev)
    return keras.layers.Embedding(rows, dim, embeddings_initializer=initializer, name=name)


def _repeat(tensor: Tensor, times: Tensor) -> Tensor:
    """`[B, ...]` to `[B * times, ...]`, each row `times` times in a row."""
    return ops.repeat(tensor, times, axis=0)
