"""The LSTM decoder."""

from keras import ops

from model.recurrent_decoder import Cell, RecurrentDecoder, Tensor


class LSTMDecoder(RecurrentDecoder):
    """A `RecurrentDecoder` whose cell is an LSTM (Hochreiter & Schmidhuber 1997).

    With a forget gate (Gers et al. 2000), biased by 1 so that it starts open (Jozefowicz et al.
    2015).
    """

    gates = 4

    def extra_state(self, hidden: Tensor) -> Cell:
        return {"cell": ops.zeros_like(hidden)}

    def cell(self, gates: Tensor, state: Cell) -> Cell:
        gates = gates + self.state_gates(state["hidden"])
        write, forget, read, candidate = ops.split(gates, 4, axis=-1)
        kept = ops.sigmoid(forget + 1.0) * state["cell"]
        cell = kept + ops.sigmoid(write) * ops.tanh(candidate)
        return {"hidden": ops.sigmoid(read) * ops.tanh(cell), "cell": cell}
