"""Recurrent decoders: a GRU or an LSTM that looks at the picture again before every word."""

from typing import Any

import keras
from keras import ops

from model.decoding import Memory, State
from model.layers import AdditiveAttention, embedding

Tensor = Any
# What a cell keeps of the words so far.
Cell = dict[str, Tensor]
# Words that a picture is likely to show: token ids `[B, T]` and their probabilities `[B, T]`.
Concepts = tuple[Tensor, Tensor]
# Bias of the context's gate before training: a sigmoid of 0.95.
_OPEN = 3.0


class RecurrentDecoder(keras.layers.Layer):
    """Embedding, a recurrent cell and additive attention over the grid at every step.

    The arrangement is that of Luong et al. 2015 (section 3.3, "input feeding") over the image grid
    of Xu et al. 2015: the cell reads a word and what was last looked at, its new state queries the
    grid, and state, context and word together predict the next word. Looking after the word was
    read, not before it as Xu et al. do, lets "a dog and a" look for the second animal at once. A
    gate of the state scales the context (Xu et al. 2015, section 4.2.1).

    Dimensions: B pictures, N captions of a picture, P patches, T concepts, L tokens, V vocabulary,
    U units, E embedding, G gates of the cell.

    Args:
        vocabulary_size: V.
        patches: P.
        concepts: whether it is told concepts.
        embedding_dim: E.
        units: U.
        attention_units: size of the attention's hidden layer.
        glance_dim: numbers of each patch that the first state sees, every patch in its place; 0
            for the mean of the patches, which does not tell where things are.
        dropout: share of embeddings, patches and outputs dropped in training.
        embedding_stddev: spread of the first embeddings, of words and of places.

    Call with `grid float[B, P, C]`, `token_ids int[B, N, L]` (teacher forcing) and concepts or
    None; returns logits `float[B, N, L, V]` of the tokens that follow each, and attention weights
    `float[B, N, L, P + T]`.
    """

    # Gates of the cell, the candidate counted.
    gates: int
    # Place of the first patch in the memory.
    first_patch = 0

    def __init__(
        self,
        vocabulary_size: int,
        patches: int,
        concepts: bool,
        embedding_dim: int,
        units: int,
        attention_units: int,
        glance_dim: int,
        dropout: float,
        embedding_stddev: float,
    ) -> None:
        super().__init__(name="decoder")
        self.vocabulary_size, self.patches = vocabulary_size, patches
        self.embedding_dim, self.units = embedding_dim, units
        dense = keras.layers.Dense
        self.embedding = embedding(vocabulary_size, embedding_dim, "embedding", embedding_stddev)
        self.project = dense(units, name="project")
        self.position = embedding(patches, units, "position", embedding_stddev)
        self.concept = dense(units, use_bias=False, name="concept") if concepts else None
        self.attention = AdditiveAttention(attention_units)
        self.glance = dense(glance_dim, activation="relu", name="glance") if glance_dim else None
        self.first_state = dense(units, activation="tanh", name="first_state")
        # All gates side by side. The words' part does not depend on the state, so that training
        # computes it for all steps at once.
        self.word_gates = dense(self.gates * units, name="word_gates")
        self.context_gates = dense(self.gates * units, use_bias=False, name="context_gates")
        self.state_gates = dense(
            self.gates * units, kernel_initializer="orthogonal", name="state_gates"
        )
        # Open at first: half closed, it holds back what the attention learns by.
        self.context_gate = dense(
            1,
            activation="sigmoid",
            bias_initializer=keras.initializers.Constant(_OPEN),
            name="context_gate",
        )
        self.output_hidden = dense(embedding_dim, activation="tanh", name="output_hidden")
        self.logits = dense(vocabulary_size, dtype="float32", name="logits")
        self.drop_grid = keras.layers.Dropout(dropout)
        self.drop_words = keras.layers.Dropout(dropout)
        self.drop_output = keras.layers.Dropout(dropout)

    def build(self, grid_shape: tuple, *_: tuple) -> None:
        units, words = (None, self.units), (None, self.embedding_dim)
        self.embedding.build((None,))
        self.project.build(grid_shape)
        self.position.build((None,))
        if self.concept:
            self.concept.build(words)
        self.attention.build(units, (None, None, None), (None, self.patches, self.units))
        if self.glance:
            self.glance.build((None, self.patches, self.units))
            self.first_state.build((None, self.patches * self.glance.units))
        else:
            self.first_state.build(units)
        self.word_gates.build(words)
        self.context_gates.build(units)
        self.state_gates.build(units)
        self.context_gate.build(units)
        self.output_hidden.build((None, 2 * self.units + self.embedding_dim))
        self.logits.build(words)

    def word_weights(self) -> list[tuple[keras.Variable, int]]:
        """The weights that have a part for each word, and the axis of these parts."""
        return [(self.embedding.embeddings, 0), (self.logits.kernel, 1), (self.logits.bias, 0)]

    def remember(
        self, grid: Tensor, concepts: Concepts | None = None, training: bool = False
    ) -> Memory:
        """What all words share of the pictures `grid [B, P, C]`: `values`, `keys`, `seen`."""
        values = self.project(self.drop_grid(grid, training=training))
        values = ops.relu(values + self.position(ops.arange(self.patches)))
        if self.glance:
            seen = ops.reshape(self.glance(values), (-1, self.patches * self.glance.units))
        else:
            seen = ops.mean(values, axis=1)
        if concepts is not None and self.concept is not None:
            token_ids, probabilities = concepts
            words = self.concept(self.embedding(token_ids))
            weighed = words * ops.expand_dims(ops.cast(probabilities, words.dtype), -1)
            values = ops.concatenate([values, weighed], axis=1)
        return {"values": values, "keys": self.attention.keys(values), "seen": seen}

    def initial_state(self, memory: Memory) -> State:
        """The state before the first word, of one caption a picture."""
        return State(self._first(memory), {})

    def extra_state(self, hidden: Tensor) -> Cell:
        """What the cell keeps beside its hidden state, at first."""
        raise NotImplementedError

    def cell(self, gates: Tensor, state: Cell) -> Cell:
        """The cell's new state from its summed gates' inputs `[..., G * U]` and its old state."""
        raise NotImplementedError

    def step(self, token_ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Reads a word of each of R captions: `int[R]` to logits `[R, V]` and the new state.

        `state` has R rows and `memory` B, R a multiple of B, captions of a picture side by side.
        """
        batch = ops.shape(memory["values"])[0]
        grouped = {name: _group(value, batch) for name, value in state.rows.items()}
        embedded = self.embedding(ops.reshape(token_ids, (batch, -1)))
        grouped, _ = self._advance(self.word_gates(embedded), grouped, memory)
        logits = self._predict(grouped["hidden"], grouped["context"], embedded, training=False)
        rows = {name: ops.reshape(value, (-1, self.units)) for name, value in grouped.items()}
        return ops.reshape(logits, (-1, self.vocabulary_size)), State(rows, {})

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
        captions = ops.shape(token_ids)[1]
        first = {
            name: ops.repeat(ops.expand_dims(value, 1), captions, axis=1)
            for name, value in self._first(memory).items()
        }
        embedded = self.drop_words(self.embedding(token_ids), training=training)
        by_step = ops.transpose(self.word_gates(embedded), (2, 0, 1, 3))

        def advance(carried: Cell, word_gates: Tensor) -> tuple[Cell, Cell]:
            state = {name: carried[name] for name in first}
            state, weights = self._advance(word_gates, state, memory)
            # Without copies TensorFlow sums more than two gradients of a state, in an order that
            # depends on which of their buffers is free first: a seed would not repeat a run.
            carried = {name: ops.copy(v) for name, v in {**state, "weights": weights}.items()}
            return carried, carried

        # Keras wants steps to return what they carry.
        cells = ops.shape(memory["keys"])[1]
        weights = ops.zeros((*ops.shape(token_ids)[:2], cells), memory["keys"].dtype)
        _, steps = ops.scan(advance, {**first, "weights": weights}, by_step)
        hidden, context, weights = (
            ops.transpose(steps[name], (1, 2, 0, 3)) for name in ("hidden", "context", "weights")
        )
        return self._predict(hidden, context, embedded, training), weights

    def _first(self, memory: Memory) -> Cell:
        hidden = self.first_state(memory["seen"])
        return {"hidden": hidden, "context": ops.zeros_like(hidden), **self.extra_state(hidden)}

    def _advance(self, word_gates: Tensor, state: Cell, memory: Memory) -> tuple[Cell, Tensor]:
        """One step of all captions, from the words' share of the gates `[B, N, G * U]`."""
        gates = word_gates + self.context_gates(state["context"])
        state = self.cell(gates, state)
        context, weights = self.attention(state["hidden"], memory["keys"], memory["values"])
        context = self.context_gate(state["hidden"]) * context
        return {**state, "context": context}, weights

    def _predict(self, hidden: Tensor, context: Tensor, embedded: Tensor, training: bool) -> Tensor:
        seen = ops.concatenate([hidden, context, embedded], axis=-1)
        output = self.output_hidden(self.drop_output(seen, training=training))
        return self.logits(self.drop_output(output, training=training))


def _group(tensor: Tensor, batch: Tensor) -> Tensor:
    """`[R, U]` to `[B, R / B, U]`."""
    return ops.reshape(tensor, (batch, -1, tensor.shape[-1]))
