"""What samplers share: their types, and captions that grow a token at a time inside the graph.

Dimensions: B pictures, K captions of each, R = B * K rows (those of a picture side by side), L
tokens of the longest caption, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from keras import ops

from model.constraints import Constraints
from model.vocabulary import END, PAD, START

Tensor = Any
# What a decoder keeps of a picture: the same for all words and all captions of it, `[B, ...]` each.
Memory = dict[str, Tensor]


class State(NamedTuple):
    """What a decoder keeps of the words so far.

    Attributes:
        rows: of each caption, `[R, ...]` each. When a search goes on from some captions and drops
            others, it puts these in order.
        kept: of each picture, `[B, ...]` each, never put in order: too much to be copied at every
            word. Which of it belongs to which caption is told by something in `rows`.
    """

    rows: dict[str, Tensor]
    kept: dict[str, Tensor]


# (token_ids [R], state of R rows, memory of B rows) -> (logits [R, V], state of R rows)
Step = Callable[[Tensor, State, Memory], tuple[Tensor, State]]
# (log-probabilities [R, V], t) -> ids int[R] of the tokens at t
Choose = Callable[[Tensor, Tensor], Tensor]


class Samples(NamedTuple):
    """Captions drawn for B pictures, best first.

    Attributes:
        token_ids: `int32[B, K, L]`; END after the last word, then PAD. A place for which there was
            no caption holds PAD alone.
        scores: `float32[B, K]`, mean log-probability that the decoder gives to a caption's tokens
            and its END, in nats; below -1e5 where there was no caption.
    """

    token_ids: Tensor
    scores: Tensor


class Sampler(Protocol):
    """Draws captions: `step` reads one token of each row and scores what may follow.

    `state` has a row for each picture; the sampler makes it one for each caption, and keeps it in
    order. `memory`, which all captions of a picture share, always has a row for each picture.
    """

    def __call__(self, step: Step, state: State, memory: Memory) -> Samples: ...


def rows_of(state: State) -> Tensor:
    """The number of rows of `state`."""
    return ops.shape(next(iter(state.rows.values())))[0]


def repeat_rows(state: State, times: int) -> State:
    """`state` with each row `times` times in a row."""
    rows = {name: ops.repeat(value, times, axis=0) for name, value in state.rows.items()}
    return State(rows, state.kept)


def take_rows(state: State, order: Tensor) -> State:
    """`state` of the captions `order int[R]`: each goes on from one of its picture."""
    rows = {name: ops.take(value, order, axis=0) for name, value in state.rows.items()}
    return State(rows, state.kept)


def log_probs_of(logits: Tensor) -> Tensor:
    """Log-probabilities `float32[R, V]`."""
    return ops.log_softmax(ops.cast(logits, "float32"), axis=-1)


def length_of(tokens: Tensor) -> Tensor:
    """Tokens `int[..., L]` that are no padding, as `float32[...]`, at least 1."""
    return ops.maximum(ops.sum(ops.cast(tokens != PAD, "float32"), axis=-1), 1.0)


def after_start(tokens: Tensor) -> Tensor:
    """What a decoder is told of whole captions `int32[B, K, L]`: START, then all but the last."""
    return ops.concatenate([ops.full_like(tokens[..., :1], START), tokens[..., :-1]], axis=-1)


def grow(
    step: Step,
    state: State,
    memory: Memory,
    max_length: int,
    constraints: Constraints,
    choose: Choose,
) -> tuple[Tensor, Tensor]:
    """Writes a caption for each row of `state`, token by token as `choose` says, until all ended.

    Returns:
        Tokens `int32[R, L]`, and scores `float32[R]` as those of `Samples`.
    """
    rows = rows_of(state)
    positions = ops.arange(max_length)

    def unfinished(t: Tensor, last: Tensor, *_: Tensor) -> Tensor:
        return ops.logical_and(t < max_length, ops.any(last != END))

    def body(t: Tensor, last: Tensor, tokens: Tensor, total: Tensor, state: State) -> tuple:
        logits, state = step(last, state, memory)
        log_probs = constraints(log_probs_of(logits), tokens, t)
        done = last == END
        chosen = ops.expand_dims(ops.cast(choose(log_probs, t), "int32"), -1)
        gained = ops.squeeze(ops.take_along_axis(log_probs, chosen, axis=-1), -1)
        total = total + ops.where(done, 0.0, gained)
        written = ops.where(ops.expand_dims(done, -1), PAD, chosen)
        tokens = ops.where(positions == t, written, tokens)
        return t + 1, ops.where(done, END, ops.squeeze(chosen, -1)), tokens, total, state

    tokens = ops.full((rows, max_length), PAD, "int32")
    start = ops.full((rows,), START, "int32")
    loop = (ops.convert_to_tensor(0), start, tokens, ops.zeros((rows,)), state)
    _, _, tokens, total, _ = ops.while_loop(unfinished, body, loop)
    return tokens, total / length_of(tokens)


def said_before(token_ids: Tensor) -> Tensor:
    """Whether each token of captions `int[..., L]` is in its caption before, too."""
    same = ops.equal(ops.expand_dims(token_ids, -1), ops.expand_dims(token_ids, -2))
    length = token_ids.shape[-1]
    earlier = np.tri(length, k=-1, dtype=bool)
    return ops.any(ops.logical_and(same, earlier), axis=-1)
