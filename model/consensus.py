"""How far captions agree with what people said of the training pictures most like a picture.

Dimensions: B pictures, P patches, C channels, K captions of each picture, L tokens, G = 4 L - 6
n-grams of a caption, N training pictures, D of a feature, M n-grams of a training picture, H
buckets.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from model.decoding import said_before
from model.neighbours import BUCKETS, FACTOR, ORDERS, PRIME, Neighbours
from model.vocabulary import END

Tensor = Any
_NEAREST = 20
# CIDEr's, so that a weight of 1 is of CIDEr as it is told.
_SCALE = 10.0
_LEAST = 1e-6


class Consensus:
    """Agreement with the captions of the nearest training pictures.

    A decoder is sure of what is often written. What was said of pictures that look alike is true of
    this one more often than not (Devlin et al. 2015, "Exploring Nearest Neighbor Approaches for
    Image Captioning"; Mao et al. 2015, "Deep Captioning with Multimodal Recurrent Neural Networks",
    order a beam by it). Agreement is CIDEr's (Vedantam et al. 2015): the cosine of the tf-idf of
    n-grams of 1 to 4 tokens, times 10. Without the clipping and the penalty of its variant D, all
    captions of all neighbours can be added up before a caption is compared with them.

    Args:
        neighbours: the training pictures.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self.neighbours = neighbours
        self.nearest = min(_NEAREST, len(neighbours.features))

    def __call__(self, token_ids: Tensor, grid: Tensor) -> Tensor:
        """The agreement `float32[B, K]` of captions.

        Args:
            token_ids: of the captions, `int32[B, K, L]`.
            grid: of the pictures, `[B, P, C]`.
        """
        width = token_ids.shape[1]
        buckets, orders = ngram_buckets(token_ids)
        weights = ops.take(self.neighbours.weights, buckets)
        places = ops.reshape(buckets, (-1, width * len(orders)))
        told = ops.take_along_axis(self._told(grid), places, axis=1)
        told = ops.reshape(told, (-1, width, len(orders)))
        # Said twice it agrees once: else captions that repeat themselves would agree most.
        told = ops.where(said_before(buckets), 0.0, told * weights)
        each = np.eye(ORDERS, dtype=np.float32)[orders]
        norms = ops.sqrt(ops.matmul(ops.square(weights), each))
        cosines = ops.matmul(told, each) / ops.maximum(norms, _LEAST)
        return _SCALE * ops.mean(cosines, axis=-1)

    def _told(self, grid: Tensor) -> Tensor:
        """The mean shares of all buckets in the captions of the nearest pictures, `[B, H]`."""
        known = self.neighbours
        pooled = ops.mean(ops.cast(grid, "float32"), axis=1)
        features = ops.matmul(pooled - known.mean, known.projection)
        # The pictures' own lengths change nothing in which are nearest.
        alike = ops.matmul(features, known.features.T.astype(np.float32))
        nearest = ops.top_k(alike, self.nearest)[1]
        batch = tf.shape(alike)[0]
        ngrams = self.nearest * known.buckets.shape[1]
        buckets = ops.reshape(ops.take(known.buckets, nearest, axis=0), (-1, ngrams))
        shares = ops.reshape(ops.take(known.shares, nearest, axis=0), (-1, ngrams))
        rows = tf.broadcast_to(tf.range(batch)[:, tf.newaxis], tf.shape(buckets))
        # Keras has no operation that adds up what falls to one place.
        return tf.tensor_scatter_nd_add(
            tf.zeros([batch, BUCKETS]),
            tf.stack([rows, ops.cast(buckets, "int32")], axis=-1),
            ops.cast(shares, "float32") / self.nearest,
        )


def ngram_buckets(token_ids: Tensor) -> tuple[Tensor, np.ndarray]:
    """The buckets of the n-grams of captions, as `model.neighbours` has them.

    Args:
        token_ids: `int32[..., L]`; what is no word ends a caption.

    Returns:
        buckets, `int32[..., G]`, 0 where there is no n-gram, and the order of each, 0 to 3,
        `int[G]`.
    """
    length = token_ids.shape[-1]
    places, found, orders = ops.zeros_like(token_ids), [], []
    for order in range(min(ORDERS, length)):
        tokens = token_ids[..., order:]
        places = (places[..., : length - order] * FACTOR + tokens) % PRIME
        found.append(ops.where(tokens > END, places + 1, 0))
        orders += [order] * (length - order)
    return ops.concatenate(found, axis=-1), np.array(orders)
