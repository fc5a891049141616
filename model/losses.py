"""Losses over padded captions. Dimensions: B pictures, N captions, L tokens, V vocabulary."""

from typing import Any

import keras
from keras import ops

from model.vocabulary import PAD

Tensor = Any


def caption_crossentropy(
    targets: Tensor, logits: Tensor, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of the tokens that are no padding, in nats.

    Args:
        targets: `int[..., L]`.
        logits: `float[..., L, V]`.
        smoothing: share of the truth spread evenly over all V tokens (Szegedy et al. 2016).
        weights: of each caption, `float[...]`; a negative one makes the caption less likely.

    Returns:
        a scalar; 0 for a batch of padding alone.
    """
    logits = ops.cast(logits, "float32")
    # Both are fused with their gradients, which is a third of a step of training.
    if smoothing:
        vocabulary_size = logits.shape[-1]
        truth = ops.one_hot(targets, vocabulary_size) * (1.0 - smoothing)
        each = ops.categorical_crossentropy(
            truth + smoothing / vocabulary_size, logits, from_logits=True
        )
    else:
        each = ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    real = ops.cast(ops.not_equal(targets, PAD), "float32")
    counted = real if weights is None else real * ops.expand_dims(weights, -1)
    return ops.sum(each * counted) / ops.maximum(ops.sum(real), 1.0)


def doubly_stochastic(attention: Tensor, targets: Tensor) -> Tensor:
    """Mean of `(1 - what all words together looked at a patch) ** 2` (Xu et al. 2015, eq. 14).

    Args:
        attention: `float[B, N, L, P]`, to P patches.
        targets: `int[B, N, L]`; padding looks at nothing, and captions that are padding do not
            count: of a batch with one picture of many captions they would be nearly all.
    """
    attention = ops.cast(attention, "float32")
    real = ops.expand_dims(ops.cast(ops.not_equal(targets, PAD), "float32"), -1)
    each = ops.mean(ops.square(1.0 - ops.sum(attention * real, axis=2)), axis=-1)
    counted = ops.max(real, axis=(2, 3))
    return ops.sum(each * counted) / ops.maximum(ops.sum(counted), 1.0)


def tag_crossentropy(labels: Tensor, logits: Tensor, learning: Tensor) -> Tensor:
    """Binary cross-entropy: the mean over pictures of the sum over concepts, in nats.

    Args:
        labels: `float[B, K]`.
        logits: `float[B, F, K]`, each recogniser's.
        learning: `float[B, F]`, 1 where a recogniser learns from a picture, else 0.

    Returns:
        a scalar, the sum over the recognisers.
    """
    truth = ops.broadcast_to(ops.expand_dims(labels, 1), ops.shape(logits))
    each = keras.losses.binary_crossentropy(truth, logits, from_logits=True)
    return ops.mean(ops.sum(each * learning, axis=1)) * labels.shape[-1]
