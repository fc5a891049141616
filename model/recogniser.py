"""The recogniser: which words of the captions' vocabulary a picture shows."""

from typing import Any

import keras
from keras import ops

Tensor = Any


class Recogniser(keras.layers.Layer):
    """Multi-label classification of content words, learnt from captions alone.

    A word is true of a picture if one of its captions, as far as the decoder is told it, has it (as
    in Fang et al. 2015, section 3). Of a picture that it learnt from, a recogniser is far surer
    than of a new one, and a decoder told so would learn to trust it too much. So there are several,
    each of which learns nothing from one fold of the pictures; in training the decoder is told by
    the one that does not know the picture (cross-fitting, as the level-0 models in Wolpert 1992,
    "Stacked generalization"). A picture's key decides its fold, in every run that starts from this
    one too. Of pictures in captioning they give their mean.

    Dimensions: B pictures, P patches, C channels, F folds, K concepts, V vocabulary.

    Args:
        concept_ids: token ids of the K words.
        hidden_dim: size of the hidden layers.
        dropout: share of a picture's channels and hidden units dropped in training.
        folds: F, recognisers; a single one learns from all pictures.

    Call with `grid float[B, P, C]`; returns logits `float32[B, F, K]`, each recogniser's.
    """

    def __init__(
        self, concept_ids: tuple[int, ...], hidden_dim: int, dropout: float, folds: int
    ) -> None:
        super().__init__(name="recogniser")
        self.concept_ids = tuple(concept_ids)
        self.hidden_dim, self.folds = hidden_dim, folds
        # Few words are true of a picture: without the bias the first epochs only learn that.
        bias = keras.initializers.Constant(-3.0)
        self.hidden = [
            keras.layers.Dense(hidden_dim, activation="relu", name=f"hidden_{fold}")
            for fold in range(folds)
        ]
        self.logits = [
            keras.layers.Dense(
                len(self.concept_ids), bias_initializer=bias, dtype="float32", name=f"logits_{fold}"
            )
            for fold in range(folds)
        ]
        self.drop = keras.layers.Dropout(dropout)

    def build(self, grid_shape: tuple) -> None:
        for hidden, logits in zip(self.hidden, self.logits, strict=True):
            hidden.build((None, grid_shape[-1]))
            logits.build((None, self.hidden_dim))

    def concept_weights(self) -> list[keras.Variable]:
        """The weights whose last axis has a place for each concept."""
        return [weight for layer in self.logits for weight in (layer.kernel, layer.bias)]

    def call(self, grid: Tensor, training: bool = False) -> Tensor:
        # Maxima of the patches beside their means are learnt by heart: they cost a third of the
        # mean average precision on Flickr8k.
        pooled = ops.mean(grid, axis=1)
        each = []
        for hidden, logits in zip(self.hidden, self.logits, strict=True):
            found = hidden(self.drop(pooled, training=training))
            each.append(logits(self.drop(found, training=training)))
        return ops.stack(each, axis=1)

    def together(self, each: Tensor) -> Tensor:
        """What all recognisers say, `[B, K]`, of what each of them does."""
        return ops.mean(each, axis=1)

    def unknowing(self, each: Tensor, key: Tensor) -> Tensor:
        """What those say that did not learn from the pictures of `key int[B]`, `[B, K]`."""
        own = ops.one_hot(key % self.folds, self.folds, dtype=each.dtype)
        return ops.sum(each * ops.expand_dims(own, -1), axis=1)

    def learning(self, key: Tensor) -> Tensor:
        """Which recognisers learn from the pictures of `key int[B]`, `float32[B, F]`."""
        if self.folds == 1:
            return ops.ones_like(key, dtype="float32")[:, None]
        return 1.0 - ops.one_hot(key % self.folds, self.folds, dtype="float32")

    def labels(self, token_ids: Tensor) -> Tensor:
        """Which concepts the captions `int[B, N, L]` of each picture name, `float32[B, K]`."""
        batch = ops.shape(token_ids)[0]
        words = ops.reshape(token_ids, (batch, -1, 1))
        named = ops.any(ops.equal(words, ops.convert_to_tensor(self.concept_ids)), axis=1)
        return ops.cast(named, "float32")

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` likeliest words of logits `[B, K]`: token ids and probabilities `[B, T]`."""
        top, places = ops.top_k(logits, count)
        return ops.take(ops.convert_to_tensor(self.concept_ids), places), ops.sigmoid(top)
