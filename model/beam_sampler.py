"""Beam search.

Dimensions: B pictures, K beams, R = B * K rows, L tokens of the longest caption, V vocabulary.
"""

from collections.abc import Sequence

from keras import ops

from model.config import SamplerConfig
from model.constraints import NEVER, constraints_of, forbid, is_possible, one_of
from model.decoding import (
    Memory,
    Samples,
    State,
    Step,
    Tensor,
    length_of,
    repeat_rows,
    rows_of,
    take_rows,
)
from model.vocabulary import END, PAD, START


class BeamSampler:
    """Beam search with ended captions kept apart, ranked by length-normalised log-probability.

    Every caption ends with END; one that reaches the longest length pays for it. The search of a
    batch stops when no caption still growing can overtake the K ended ones (log-probabilities only
    fall, so that a growing caption's rank is bounded by its total at the longest length). Length
    normalisation as in Wu et al. 2016, section 7, with the simpler `total / length ** alpha`.

    Args:
        config: beam width K, exponent alpha and constraints.
        max_length: L, the most tokens of a caption, its END counted.
        banned: ids of the words that are never written.
    """

    def __init__(self, config: SamplerConfig, max_length: int, banned: Sequence[int] = ()) -> None:
        self.width = config.beam_width
        self.alpha = config.length_normalisation
        self.max_length = max_length
        self.constraints = constraints_of(config, banned)

    def __call__(self, step: Step, state: State, memory: Memory) -> Samples:
        width, length = self.width, self.max_length
        batch = rows_of(state)
        empty = ops.full((batch, width, length), PAD, "int32")
        # One live beam to begin with: K copies of it would be found K times.
        only_first = ops.where(ops.arange(width) == 0, 0.0, NEVER)
        loop = (
            ops.convert_to_tensor(0),
            ops.full((batch, width), START, "int32"),
            empty,
            ops.broadcast_to(only_first, (batch, width)),
            empty,
            ops.full((batch, width), NEVER, "float32"),
            repeat_rows(state, width),
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
            best_total = live_totals[:, 0]
            overtakes = best_total / float(length) ** self.alpha > ranks[:, -1]
            growing = ops.any(ops.logical_and(overtakes, is_possible(best_total)))
            return ops.logical_and(t < length, growing)

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
            logits = ops.cast(logits, "float32")
            # Less the norm, a total plus a token's logit is the total with that token: the norm of
            # a beam changes nothing in the order of its tokens, so that only few are added up.
            norms = ops.reshape(ops.logsumexp(logits, axis=-1), (batch, width))
            so_far = ops.reshape(live, (-1, length))
            never = self.constraints.forbidden(so_far, t, logits.shape[-1])
            bases = live_totals - norms
            end_logits = forbid(logits[:, END], never[..., END])
            end_totals = bases + ops.reshape(end_logits, (batch, width))
            ended, ranks = self._end(t, live, end_totals, ended, ranks)
            words = forbid(logits, ops.logical_or(never, one_of((END,), logits.shape[-1])))
            last, live, live_totals, state = self._grow(t, live, bases, words, state)
            return t + 1, last, live, live_totals, ended, ranks, state

        _, _, _, _, ended, ranks, _ = ops.while_loop(unfinished, body, loop)
        lengths = length_of(ended)
        return Samples(ended, ranks * lengths**self.alpha / lengths)

    def _end(
        self, t: Tensor, live: Tensor, totals: Tensor, ended: Tensor, ranks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Ends the live beams that may at step t; keeps the best K of these and the ended ones."""
        ending = ops.where(ops.arange(self.max_length) == t, END, live)
        ending_ranks = totals / ops.cast(t + 1, "float32") ** self.alpha
        ending_ranks = ops.where(is_possible(totals), ending_ranks, NEVER)
        # Of equals the first: a place stays empty rather than hold what may not be said.
        ranks, chosen = ops.top_k(ops.concatenate([ranks, ending_ranks], axis=1), self.width)
        captions = ops.concatenate([ended, ending], axis=1)
        return ops.take_along_axis(captions, ops.expand_dims(chosen, -1), axis=1), ranks

    def _grow(
        self, t: Tensor, live: Tensor, bases: Tensor, logits: Tensor, state: State
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Keeps the best K ways to go on from the live beams, by `bases [B, K] + logits [R, V]`."""
        batch, width = ops.shape(bases)[0], self.width
        each = min(width, logits.shape[-1])
        logits, tokens = ops.top_k(logits, each)
        totals = ops.expand_dims(bases, -1) + ops.reshape(logits, (batch, width, each))
        totals, chosen = ops.top_k(ops.reshape(totals, (batch, -1)), width)
        tokens = ops.take_along_axis(ops.reshape(tokens, (batch, -1)), chosen, axis=1)
        token, beam = ops.cast(tokens, "int32"), chosen // each
        live = ops.take_along_axis(live, ops.expand_dims(beam, -1), axis=1)
        live = ops.where(ops.arange(self.max_length) == t, ops.expand_dims(token, -1), live)
        rows = ops.reshape(beam + ops.expand_dims(ops.arange(batch) * width, -1), (-1,))
        return token, live, totals, take_rows(state, rows)
