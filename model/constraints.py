"""What a caption may not say, as masks over the vocabulary.

A mask is `bool[V]` where it is the same for all captions, else `bool[R, V]`. What is allowed keeps
its log-probability, what is not has `NEVER`; at least END stays possible.

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
        return forbid(log_probs, self.forbidden(tokens, t, ops.shape(log_probs)[-1]))

    def forbidden(self, tokens: Tensor, t: Tensor, vocabulary_size: int) -> Tensor:
        """The mask of what may not stand at place `t` after `tokens int32[R, L]`."""
        # Of one row as long as can be: a pass over all captions is a twentieth of a step.
        never = ops.logical_or(
            one_of((*UNWRITABLE, *self.banned), vocabulary_size),
            all_but_end(tokens, t, vocabulary_size),
        )
        if self.no_repeat_ngram:
            repeating = repeats(tokens, t, self.no_repeat_ngram, vocabulary_size)
            never = ops.logical_or(never, repeating)
        return ops.logical_or(never, early_end(never, t, self.min_length))


# PAD, START and OOV are forbidden even so.
UNCONSTRAINED = Constraints()


def constraints_of(config: SamplerConfig, banned: Sequence[int] = ()) -> Constraints:
    """The constraints that `config` asks for; its banned words have the ids `banned`."""
    return Constraints(config.min_length, config.no_repeat_ngram, tuple(banned))


def forbid(log_probs: Tensor, mask: Tensor) -> Tensor:
    """`float32[R, V]` in which nothing of the mask can be chosen."""
    return ops.where(mask, NEVER, log_probs)


def one_of(token_ids: Sequence[int], vocabulary_size: int) -> Tensor:
    """The mask of `token_ids`."""
    return ops.any(ops.arange(vocabulary_size)[:, None] == ops.convert_to_tensor(token_ids), axis=1)


def repeats(tokens: Tensor, t: Tensor, n: int, vocabulary_size: int) -> Tensor:
    """The mask of tokens that make n tokens in a row a second time.

    The last n - 1 tokens are compared with all as many in a row that have a token after them, and
    where they are equal that token is in the mask.
    """
    rows, length = ops.shape(tokens)[0], tokens.shape[1]
    if n > length:
        return ops.zeros((rows, vocabulary_size), "bool")
    starts = ops.arange(length - n + 1)
    repeated = ops.broadcast_to(starts + n - 1 < t, (rows, length - n + 1))
    for offset in range(n - 1):
        # Where t is too small for a place before the caption, nothing is repeated above.
        place = ops.maximum(t - n + 1 + offset, 0)
        last = ops.take(tokens, ops.reshape(place, (1,)), axis=1)
        earlier = tokens[:, offset : length - n + 1 + offset]
        repeated = ops.logical_and(repeated, earlier == last)
    row = ops.broadcast_to(ops.expand_dims(ops.arange(rows), -1), (rows, length - n + 1))
    # Others go to a column of their own, so that whether equal places add up does not matter.
    column = ops.where(repeated, tokens[:, n - 1 :], vocabulary_size)
    ones = ops.ones((rows, length - n + 1))
    times = ops.scatter(ops.stack([row, column], axis=-1), ones, (rows, vocabulary_size + 1))
    return times[:, :vocabulary_size] > 0


def all_but_end(tokens: Tensor, t: Tensor, vocabulary_size: int) -> Tensor:
    """The mask of all tokens but END, at the last place of `tokens int32[R, L]` alone."""
    last = ops.equal(t, tokens.shape[1] - 1)
    return ops.logical_and(last, ops.arange(vocabulary_size) != END)


def early_end(never: Tensor, t: Tensor, min_length: int) -> Tensor:
    """The mask of END before place `min_length`, where the mask `never` leaves anything else."""
    is_end = ops.arange(never.shape[-1]) == END
    words = ops.any(ops.logical_not(ops.logical_or(never, is_end)), axis=-1, keepdims=True)
    return ops.logical_and(is_end, ops.logical_and(t < min_length, words))


def is_possible(log_probs: Tensor) -> Tensor:
    """Where log-probabilities, or sums of them, are of what is allowed."""
    return log_probs > NEVER / 2
