"""Samplers: objects that draw captions through a decoder's step function, inside the graph.

Dimensions: B pictures, K captions of each, R = B * K rows (those of a picture side by side), L
tokens of the longest caption, V vocabulary.
"""

from collections.abc import Sequence

from keras import ops, random

from model.beam_sampler import BeamSampler
from model.config import SamplerConfig
from model.constraints import (
    NEVER,
    UNCONSTRAINED,
    Constraints,
    constraints_of,
    is_possible,
)
from model.decoding import (
    Memory,
    Sampler,
    Samples,
    State,
    Step,
    Tensor,
    grow,
    repeat_rows,
    rows_of,
)
from model.vocabulary import Vocabulary


class GreedySampler:
    """Takes the likeliest token at every step.

    Args:
        max_length: L, the most tokens of a caption, its END counted.
        constraints: what it may not say.
    """

    def __init__(self, max_length: int, constraints: Constraints = UNCONSTRAINED) -> None:
        self.max_length = max_length
        self.constraints = constraints

    def __call__(self, step: Step, state: State, memory: Memory) -> Samples:
        tokens, scores = grow(
            step,
            state,
            memory,
            self.max_length,
            self.constraints,
            # Not `argmax`, in which Keras looks at the bits of negative zeros.
            choose=lambda log_probs, t: ops.squeeze(ops.top_k(log_probs, 1)[1], -1),
        )
        return Samples(ops.expand_dims(tokens, 1), ops.expand_dims(scores, 1))


class NucleusSampler:
    """Draws tokens at random from the likeliest few (Holtzman et al. 2020, section 3.1).

    All pictures share their random numbers: a picture's captions are the same in every batch and
    every run with the same seed. Several captions of a picture may be equal.

    Args:
        config: captions drawn of a picture, temperature, top k, top p, seed and constraints.
        max_length: L, the most tokens of a caption, its END counted.
        banned: ids of the words that are never written.
    """

    def __init__(self, config: SamplerConfig, max_length: int, banned: Sequence[int] = ()) -> None:
        self.config = config
        self.max_length = max_length
        self.constraints = constraints_of(config, banned)

    def __call__(self, step: Step, state: State, memory: Memory) -> Samples:
        config, shape = self.config, (self.max_length, 1, self.config.samples)
        uniform = random.uniform(shape, seed=config.sampling_seed)
        uniform = ops.broadcast_to(uniform, (shape[0], rows_of(state), shape[2]))

        def choose(log_probs: Tensor, t: Tensor) -> Tensor:
            kept = temper(log_probs, config.temperature)
            kept = keep_likeliest(kept, config.top_k, config.top_p)
            return draw(kept, ops.reshape(ops.take(uniform, t, axis=0), (-1,)))

        rows = repeat_rows(state, config.samples)
        drawn = grow(step, rows, memory, self.max_length, self.constraints, choose)
        return _best_first(*drawn, config.samples)


def temper(log_probs: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[R, V]`, the likeliest 0, sharper below a temperature of 1."""
    below_best = log_probs - ops.max(log_probs, axis=-1, keepdims=True)
    # What is forbidden stays so, however hot.
    return ops.where(is_possible(log_probs), below_best / temperature, NEVER)


def keep_likeliest(log_probs: Tensor, top_k: int, top_p: float) -> Tensor:
    """Log-probabilities `[R, V]` of which only the nucleus can be chosen.

    Args:
        log_probs: normalised or not.
        top_k: keep the so many likeliest tokens; 0 for all.
        top_p: of these, keep the fewest likeliest tokens that have this share of the probability.

    As likely as the least likely token kept are kept, too.
    """
    if not top_k and top_p == 1:
        return log_probs
    ordered = ops.flip(ops.sort(log_probs, axis=-1), axis=-1)
    if top_k:
        ordered = ops.where(ops.arange(ops.shape(ordered)[-1]) < top_k, ordered, NEVER)
    probs = ops.softmax(ordered, axis=-1)
    before = ops.cumsum(probs, axis=-1) - probs
    kept = ops.logical_and(before < top_p, is_possible(ordered))
    least = ops.min(ops.where(kept, ordered, -NEVER), axis=-1, keepdims=True)
    return ops.where(log_probs >= least, log_probs, NEVER)


def draw(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """Tokens `int[R]` drawn by `uniform float32[R]` (0 to below 1) from `log_probs [R, V]`."""
    probs = ops.softmax(log_probs, axis=-1)
    # A sum made in parallel, as on a GPU, may round up where only what is forbidden was added.
    reached = ops.where(probs > 0, ops.cumsum(probs, axis=-1), 0.0)
    total = ops.max(reached, axis=-1, keepdims=True)
    beyond = ops.cast(reached > ops.expand_dims(uniform, -1) * total, "int32")
    return ops.argmax(beyond, axis=-1)


def _best_first(tokens: Tensor, scores: Tensor, samples: int) -> Samples:
    """Captions of R rows by picture, the highest score first."""
    scores, order = ops.top_k(ops.reshape(scores, (-1, samples)), samples)
    captions = ops.reshape(tokens, (-1, samples, tokens.shape[-1]))
    return Samples(ops.take_along_axis(captions, ops.expand_dims(order, -1), axis=1), scores)


def make_sampler(
    config: SamplerConfig, max_length: int, vocabulary: Vocabulary | None = None
) -> Sampler:
    """The sampler that `config` asks for: greedy search for a beam of one.

    Args:
        config: which sampler, and its settings.
        max_length: the most tokens of a caption, its END counted.
        vocabulary: has the ids of the words to ban; may be left out where there are none.

    Raises:
        CaptionerError: if a word to ban is not in the vocabulary, or no caption has room for
            `config.min_length` words.
        ValueError: if there are words to ban, and no vocabulary.
    """
    config.check_length(max_length)
    words = config.words_to_ban
    if words and vocabulary is None:
        raise ValueError(f"got {words} to ban and no vocabulary; pass the model's")
    banned = vocabulary.ids_to_ban(words) if vocabulary else []
    if config.sampler == "nucleus":
        return NucleusSampler(config, max_length, banned)
    if config.sampler == "greedy" or config.beam_width == 1:
        return GreedySampler(max_length, constraints_of(config, banned))
    return BeamSampler(config, max_length, banned)
