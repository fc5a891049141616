"""The order of a picture's captions: by the search, by what the recogniser sees, by neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from model.config import SamplerConfig
from model.consensus import Consensus
from model.decoding import Samples, length_of, said_before

Tensor = Any


class ConceptLifts:
    """How much more of what captions name the recogniser sees than in other pictures.

    A decoder is sure of what is often written. Of the few captions that it ends with, the true one
    is likelier the one that names what this picture shows and others do not. The lift of a concept
    is its log odds in the picture less those in all pictures (of odds what Church & Hanks 1990
    call mutual information of probabilities).

    Dimensions: B pictures, K captions of each, L tokens, C concepts, V vocabulary.

    Args:
        concept_ids: token ids of the C concepts.
        shares: of each, the share of pictures that show it, between 0 and 1.
        vocabulary_size: V.
    """

    def __init__(
        self, concept_ids: Sequence[int], shares: Sequence[float], vocabulary_size: int
    ) -> None:
        usual = np.asarray(shares, np.float64)
        self.usual_logits = np.log(usual / (1 - usual)).astype(np.float32)
        # Tokens that are no concepts share a place after the last.
        self.places = np.full(vocabulary_size, len(concept_ids), np.int32)
        self.places[list(concept_ids)] = np.arange(len(concept_ids))

    def __call__(self, token_ids: Tensor, logits: Tensor) -> Tensor:
        """Sums `float32[B, K]` of the lifts of the concepts that captions name, however often.

        Args:
            token_ids: of the captions, `int[B, K, L]`.
            logits: of the concepts in each picture, `float32[B, C]`.
        """
        captions, length = token_ids.shape[1:]
        lifts = logits - self.usual_logits
        lifts = ops.concatenate([lifts, ops.zeros_like(lifts[:, :1])], axis=1)
        places = ops.take(self.places, ops.reshape(token_ids, (-1, captions * length)))
        told = ops.reshape(ops.take_along_axis(lifts, places, axis=1), (-1, captions, length))
        return ops.sum(ops.where(said_before(token_ids), 0.0, told), axis=-1)


class CaptionOrder:
    """Puts first the captions that agree best with what is known of the picture.

    To a caption's rank in the search are added, each times its weight, the lifts of the concepts
    that it names (re-ranking as in Fang et al. 2015, section 5) and its agreement with the captions
    of similar training pictures.

    Args:
        sampler: the weights, beside log-probabilities in nats, and the search.
        lifts: of the concepts; None without.
        consensus: with the neighbours; None without.
    """

    def __init__(
        self, sampler: SamplerConfig, lifts: ConceptLifts | None, consensus: Consensus | None
    ) -> None:
        self.sampler, self.lifts, self.consensus = sampler, lifts, consensus
        # What was not searched for is ranked by its score.
        self.alpha = sampler.length_normalisation if sampler.sampler == "beam" else 1.0

    def __call__(self, samples: Samples, logits: Tensor | None, grid: Tensor) -> Samples:
        """`samples` of K captions in their new order.

        Args:
            logits: of the concepts in each picture, `float32[B, C]`; None without.
            grid: of the pictures, `[B, P, C]`.
        """
        token_ids = samples.token_ids
        ranks = samples.scores * length_of(token_ids) ** (1 - self.alpha)
        # A place without a caption names nothing: it stays last.
        if self.lifts is not None:
            ranks = ranks + self.sampler.concept_weight * self.lifts(token_ids, logits)
        if self.consensus is not None:
            ranks = ranks + self.sampler.neighbour_weight * self.consensus(token_ids, grid)
        # Of equals the first.
        order = ops.top_k(ranks, samples.scores.shape[1])[1]
        token_ids = ops.take_along_axis(token_ids, ops.expand_dims(order, -1), axis=1)
        return Samples(token_ids, ops.take_along_axis(samples.scores, order, axis=1))


def make_order(
    sampler: SamplerConfig, lifts: ConceptLifts | None, consensus: Consensus | None
) -> CaptionOrder | None:
    """The order that `sampler` asks for, of what the model knows; None for that of the search."""
    lifts = lifts if sampler.concept_weight else None
    consensus = consensus if sampler.neighbour_weight else None
    if sampler.captions == 1 or (lifts is None and consensus is None):
        return None
    return CaptionOrder(sampler, lifts, consensus)
