"""The order of a picture's captions: by the search, and by what the recogniser sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from model.config import SamplerConfig
from model.decoding import Samples, length_of

Tensor = Any


class ConceptOrder:
    """Puts first the captions whose concepts the recogniser sees more of than in other pictures.

    A decoder is sure of what is often written. Of the few captions that it ends with, the true one
    is likelier the one that names what this picture shows and others do not. The lift of a concept
    is its log odds in the picture less those in all pictures (of odds what Church & Hanks 1990
    call mutual information of probabilities). To a caption's rank in the search is added `weight`
    times the lift of each concept that it names, however often (re-ranking as in Fang et al. 2015,
    section 5).

    Dimensions: B pictures, K captions of each, L tokens, C concepts, V vocabulary.

    Args:
        concept_ids: token ids of the C concepts.
        shares: of each, the share of pictures that show it, between 0 and 1.
        vocabulary_size: V.
        weight: of a lift, beside log-probabilities in nats.
        alpha: exponent of the search's length normalisation; 1 for ranks that are scores.
    """

    def __init__(
        self,
        concept_ids: Sequence[int],
        shares: Sequence[float],
        vocabulary_size: int,
        weight: float,
        alpha: float,
    ) -> None:
        usual = np.asarray(shares, np.float64)
        self.usual_logits = np.log(usual / (1 - usual)).astype(np.float32)
        # Tokens that are no concepts share a place after the last.
        self.places = np.full(vocabulary_size, len(concept_ids), np.int32)
        self.places[list(concept_ids)] = np.arange(len(concept_ids))
        self.weight, self.alpha = weight, alpha

    def __call__(self, samples: Samples, logits: Tensor) -> Samples:
        """`samples` of K captions in their new order.

        Args:
            logits: of the concepts in each picture, `float32[B, C]`.
        """
        lengths = length_of(samples.token_ids)
        ranks = samples.scores * lengths ** (1 - self.alpha)
        # A place without a caption names nothing: it stays last.
        ranks = ranks + self.weight * self.lifts(samples.token_ids, logits)
        # Of equals the first.
        order = ops.top_k(ranks, samples.scores.shape[1])[1]
        token_ids = ops.take_along_axis(samples.token_ids, ops.expand_dims(order, -1), axis=1)
        return Samples(token_ids, ops.take_along_axis(samples.scores, order, axis=1))

    def lifts(self, token_ids: Tensor, logits: Tensor) -> Tensor:
        """Sums `float32[B, K]` of the lifts of the concepts that captions `int[B, K, L]` name."""
        captions, length = token_ids.shape[1:]
        lifts = logits - self.usual_logits
        lifts = ops.concatenate([lifts, ops.zeros_like(lifts[:, :1])], axis=1)
        places = ops.take(self.places, ops.reshape(token_ids, (-1, captions * length)))
        told = ops.reshape(ops.take_along_axis(lifts, places, axis=1), (-1, captions, length))
        return ops.sum(ops.where(_said_before(token_ids), 0.0, told), axis=-1)


def _said_before(token_ids: Tensor) -> Tensor:
    """Whether each token of captions `int[..., L]` is in its caption before, too."""
    same = ops.equal(ops.expand_dims(token_ids, -1), ops.expand_dims(token_ids, -2))
    length = token_ids.shape[-1]
    earlier = np.tri(length, k=-1, dtype=bool)
    return ops.any(ops.logical_and(same, earlier), axis=-1)


def make_order(
    concept_ids: Sequence[int],
    shares: Sequence[float],
    vocabulary_size: int,
    sampler: SamplerConfig,
) -> ConceptOrder | None:
    """The order that `sampler` asks for; None where it draws one caption, or asks for none.

    Args:
        concept_ids: of the recogniser.
        shares: see `ConceptOrder`.
        vocabulary_size: V.
        sampler: which sampler, and its settings.
    """
    if sampler.captions == 1 or not sampler.concept_weight:
        return None
    alpha = sampler.length_normalisation if sampler.sampler == "beam" else 1.0
    return ConceptOrder(concept_ids, shares, vocabulary_size, sampler.concept_weight, alpha)
