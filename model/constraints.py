"""What a caption may not say, as functions from log-probabilities to log-probabilities.

What is allowed keeps its log-probability, what is not has `NEVER`; at least END stays possible.

Dimensions: R captions that grow, L tokens of the longest caption, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from model.config import SamplerConfig
from model.vocabulary import END, UNWRITABLE

Tensor = Any

# Far below any sum of log-probabilities, yet finite: no NaN from inf - inf.
NEVER = -1e9


@dataclass(frozen=True)
class Constraints:
    """What every sampler keeps to, besides never writing PAD, START or OOV.

    Attributes:
        min_length: words before END may be chosen.
        no_repeat_ngram: no caption has the same tokens twice this many in a row; 0 for no such
            limit.
        banned: ids of words that are never written.

    Call with log-probabilities `float32[R, V]` of the token at place `t`, and with `int32[R, L]`,
    the tokens before it; returns `float32[R, V]`. The last place, L - 1, is for END alone.
    """

    min_length: int = 0
    no_repeat_ngram: int = 0
    banned: tuple[int, ...] = ()

    def __call__(self, log_probs: Tensor, tokens: Tensor, t: Tensor) -> Tensor:
        log_probs = forbid(log_probs, (*UNWRITABLE, *self.banned))
        if self.no_repeat_ngram:
            log_probs = forbid_repeats(log_probs, tokens, t, self.no_repeat_ngram)
        log_probs = end_at_last(log_probs, tokens, t)
        return forbid_early_end(log_probs, t, self.min_length) if self.min_length else log_probs


# PAD, START and OOV are forbidden even so.
UNCONSTRAINED = Constraints()


def constraints_of(config: SamplerConfig, banned: Sequence[int] = ()) -> Constraints:
    """The constraints that `config` asks for; its banned words have the ids `banned`."""
    return Constraints(config.min_length, config.no_repeat_ngram, tuple(banned))


def forbid(log_probs: Tensor, token_ids: Sequence[int]) -> Tensor:
    """`float32[R, V]` in which none of `token_ids` can be chosen."""
    indices = ops.convert_to_tensor([[token_id] for token_id in token_ids], "int32")
    times = ops.scatter(indices, ops.ones((len(token_ids),)), (ops.shape(log_probs)[-1],))
    return ops.where(times > 0, NEVER, log_probs)


def forbid_repeats(log_probs: Tensor, tokens: Tensor, t: Tensor, n: int) -> Tensor:
    """`float32[R, V]` in which no token can be chosen that makes n tokens in a row a second time.

    The last n - 1 tokens are compared with all as many in a row that have a token after them, and
    where they are equal that token is forbidden.
    """
    (rows, vocabulary_size), length = ops.shape(log_probs), tokens.shape[1]
    if n > length:
        return log_probs
    starts = ops.arange(length - n + 1)
    repeated = ops.broadcast_to(starts + n - 1 < t, (rows, length - n + 1))
    for offset in range(n - 1):
        # Where t is too small for a place before the caption, nothing is repeated above.
        place = ops.maximum(t - n + 1 + offset, 0)
        last = ops.take(tokens, ops.reshape(place, (1,)), axis=1)
        earlier = tokens[:, offset : length - n + 1 + offset]
        repeated = ops.logical_and(repeated, earlier == last)
    row = ops.broadcast_to(ops.expand_dims(ops.arange(rows), -1), (rows, length - n + 1))
    indices = ops.stack([row, tokens[:, n - 1 :]], axis=-1)
    times = ops.scatter(indices, ops.cast(repeated, "float32"), (rows, vocabulary_size))
    return ops.where(times > 0, NEVER, log_probs)


def end_at_last(log_probs: Tensor, tokens: Tensor, t: Tensor) -> Tensor:
    """`float32[R, V]` in which END alone can be chosen for the last token of the longest."""
    last = ops.equal(t, tokens.shape[1] - 1)
    return ops.where(ops.logical_and(last, ops.logical_not(_is_end(log_probs))), NEVER, log_probs)


def forbid_early_end(log_probs: Tensor, t: Tensor, min_length: int) -> Tensor:
    """`float32[R, V]` in which END cannot be chosen before `min_length`, unless all else cannot."""
    is_end = _is_end(log_probs)
    words = ops.max(ops.where(is_end, NEVER, log_probs), axis=-1, keepdims=True)
    early = ops.logical_and(t < min_length, is_possible(words))
    return ops.where(ops.logical_and(early, is_end), NEVER, log_probs)


def is_possible(log_probs: Tensor) -> Tensor:
    """Where log-probabilities, or sums of them, are of what is allowed."""
    return log_probs > NEVER / 2


def _is_end(log_probs: Tensor) -> Tensor:
    return ops.equal(ops.arange(ops.shape(log_probs)[-1]), END)
