"""The GRU decoder."""

from keras import ops

from model.recurrent_decoder import Cell, RecurrentDecoder, Tensor


class GRUDecoder(RecurrentDecoder):
    """A `RecurrentDecoder` whose cell is a GRU (Cho et al. 2014)."""

    gates = 3

    def extra_state(self, hidden: Tensor) -> Cell:
        return {}

    def cell(self, gates: Tensor, state: Cell) -> Cell:
        hidden = state["hidden"]
        update, reset, candidate = ops.split(gates, 3, axis=-1)
        update_state, reset_state, candidate_state = ops.split(self.state_gates(hidden), 3, axis=-1)
        update = ops.sigmoid(update + update_state)
        reset = ops.sigmoid(reset + reset_state)
        candidate = ops.tanh(candidate + reset * candidate_state)
        return {"hidden": update * hidden + (1.0 - update) * candidate}
