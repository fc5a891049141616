"""Samplers: objects that draw captions through a decoder's step function, inside the graph.

Dimensions: B pictures, K beams, L tokens of the longest caption, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from keras import ops

from model.config import SamplerConfig
from model.vocabulary import END, PAD, START, UNWRITABLE

Tensor = Any
State = dict[str, Tensor]
# (token_ids [R], state of R rows, memory of R rows) -> (logits [R, V], state of R rows)
Step = Callable[[Tensor, State, State], tuple[Tensor, State]]

# Far below any sum of log-probabilities, yet finite: no NaN from inf - inf.
_NEVER = -1e9


class Samples(NamedTuple):
    """Captions drawn for B pictures, best first.

    Attributes:
        token_ids: `int32[B, K, L]`; END after the last word, then PAD.
        scores: `float32[B, K]`, mean log-probability of a caption's tokens and its END, in nats.
    """

    token_ids: Tensor
    scores: Tensor


class Sampler(Protocol):
    """Draws captions: `step` reads one token of each row and scores what may follow."""

    def __call__(self, step: Step, state: State, memory: State) -> Samples: ...


def _writable_log_probs(logits: Tensor) -> Tensor:
    """Log-probabilities `[R, V]` in which PAD, START and OOV can never be chosen."""
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    token_ids = ops.arange(ops.shape(logits)[-1])
    unwritable = token_ids < 0
    for token_id in UNWRITABLE:
        unwritable = ops.logical_or(unwritable, ops.equal(token_ids, token_id))
    return ops.where(unwritable, _NEVER, log_probs)


def _end_only(log_probs: Tensor) -> Tensor:
    """Log-probabilities in which END alone can be chosen: for the last token of the longest."""
    return ops.where(ops.equal(ops.arange(ops.shape(log_probs)[-1]), END), log_probs, _NEVER)


class GreedySampler:
    """Takes the likeliest token at every step.

    Args:
        max_length: L, the most tokens of a caption, its END counted.
    """

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def __call__(self, step: Step, state: State, memory: State) -> Samples:
        rows = ops.shape(next(iter(state.values())))[0]
        positions = ops.arange(self.max_length)

        def unfinished(t: Tensor, last: Tensor, *_: Tensor) -> Tensor:
            return ops.logical_and(t < self.max_length, ops.any(last != END))

        def body(t: Tensor, last: Tensor, tokens: Tensor, total: Tensor, state: State) -> tuple:
            logits, state = step(last, state, memory)
            log_probs = _writable_log_probs(logits)
            log_probs = ops.where(t == self.max_length - 1, _end_only(log_probs), log_probs)
            done = last == END
            chosen = ops.cast(ops.argmax(log_probs, axis=-1), "int32")
            total = total + ops.where(done, 0.0, ops.max(log_probs, axis=-1))
            written = ops.expand_dims(ops.where(done, PAD, chosen), -1)
            tokens = ops.where(positions == t, written, tokens)
            return t + 1, ops.where(done, END, chosen), tokens, total, state

        tokens = ops.full((rows, self.max_length), PAD, "int32")
        start = ops.full((rows,), START, "int32")
        loop = (ops.convert_to_tensor(0), start, tokens, ops.zeros((rows,)), state)
        _, _, tokens, total, _ = ops.while_loop(unfinished, body, loop)
        scores = total / _length(tokens)
        return Samples(ops.expand_dims(tokens, 1), ops.expand_dims(scores, 1))


class BeamSampler:
    """Beam search with ended captions kept apart, ranked by length-normalised log-probability.

    Every caption ends with END; one that reaches the longest length pays for it. The search of a
    batch stops when no caption still growing can overtake the K ended ones (log-probabilities only
    fall, so that a growing caption's rank is bounded by its total at the longest length). Length
    normalisation as in Wu et al. 2016, section 7, with the simpler `total / length ** alpha`.

    Args:
        config: beam width K and exponent alpha.
        max_length: L, the most tokens of a caption, its END counted.
    """

    def __init__(self, config: SamplerConfig, max_length: int) -> None:
        self.width = config.beam_width
        self.alpha = config.length_normalisation
        self.max_length = max_length

    def __call__(self, step: Step, state: State, memory: State) -> Samples:
        width, length = self.width, self.max_length
        batch = ops.shape(next(iter(state.values())))[0]
        memory = {name: ops.repeat(value, width, axis=0) for name, value in memory.items()}
        state = {name: ops.repeat(value, width, axis=0) for name, value in state.items()}
        empty = ops.full((batch, width, length), PAD, "int32")
        # One live beam to begin with: K copies of it would be found K times.
        only_first = ops.where(ops.arange(width) == 0, 0.0, _NEVER)
        loop = (
            ops.convert_to_tensor(0),
            ops.full((batch, width), START, "int32"),
            empty,
            ops.broadcast_to(only_first, (batch, width)),
            empty,
            ops.full((batch, width), _NEVER, "float32"),
            state,
        )

        def unfinished(
            t: Tensor,
            last: Tensor,
            live: Tensor,
            live_totals: Tensor,
            ended: Tensor,
            ranks: Tensor,
            state: State,
        ) -> Tensor:
            best_possible = live_totals[:, 0] / float(length) ** self.alpha
            overtaken = ops.any(best_possible > ranks[:, -1])
            return ops.logical_and(t < length, overtaken)

        def body(
            t: Tensor,
            last: Tensor,
            live: Tensor,
            live_totals: Tensor,
            ended: Tensor,
            ranks: Tensor,
            state: State,
        ) -> tuple:
            logits, state = step(ops.reshape(last, (-1,)), state, memory)
            log_probs = _writable_log_probs(logits)
            vocabulary_size = ops.shape(log_probs)[-1]
            totals = ops.expand_dims(live_totals, -1) + ops.reshape(
                log_probs, (batch, width, vocabulary_size)
            )
            ended, ranks = self._end(t, live, totals[:, :, END], ended, ranks)
            last, live, live_totals, state = self._grow(t, live, totals, state)
            return t + 1, last, live, live_totals, ended, ranks, state

        _, _, _, _, ended, ranks, _ = ops.while_loop(unfinished, body, loop)
        lengths = _length(ended)
        return Samples(ended, ranks * lengths**self.alpha / lengths)

    def _end(
        self, t: Tensor, live: Tensor, totals: Tensor, ended: Tensor, ranks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Ends every live beam at step t and keeps the best K of these and the ended ones."""
        ending = ops.where(ops.arange(self.max_length) == t, END, live)
        ending_ranks = totals / ops.cast(t + 1, "float32") ** self.alpha
        ranks, chosen = ops.top_k(ops.concatenate([ranks, ending_ranks], axis=1), self.width)
        captions = ops.concatenate([ended, ending], axis=1)
        return ops.take_along_axis(captions, ops.expand_dims(chosen, -1), axis=1), ranks

    def _grow(
        self, t: Tensor, live: Tensor, totals: Tensor, state: State
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Keeps the best K ways to go on from the live beams, END excepted."""
        batch, vocabulary_size = ops.shape(totals)[0], ops.shape(totals)[-1]
        no_end = ops.where(ops.arange(vocabulary_size) == END, _NEVER, totals)
        totals, chosen = ops.top_k(ops.reshape(no_end, (batch, -1)), self.width)
        beam, token = chosen // vocabulary_size, ops.cast(chosen % vocabulary_size, "int32")
        live = ops.take_along_axis(live, ops.expand_dims(beam, -1), axis=1)
        live = ops.where(ops.arange(self.max_length) == t, ops.expand_dims(token, -1), live)
        rows = ops.reshape(beam + ops.expand_dims(ops.arange(batch) * self.width, -1), (-1,))
        state = {name: ops.take(value, rows, axis=0) for name, value in state.items()}
        return token, live, totals, state


def _length(tokens: Tensor) -> Tensor:
    """Tokens `int[..., L]` that are no padding, as `float32[...]`, at least 1."""
    return ops.maximum(ops.sum(ops.cast(tokens != PAD, "float32"), axis=-1), 1.0)


def make_sampler(config: SamplerConfig, max_length: int) -> Sampler:
    """The sampler that `config` asks for: greedy search for a beam of one."""
    if config.beam_width == 1:
        return GreedySampler(max_length)
    return BeamSampler(config, max_length)
