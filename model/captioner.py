"""The captioner: an image encoder and a decoder that writes what it sees."""

from typing import Any

import keras

from model.config import ImageConfig, ModelConfig
from model.gru_decoder import GRUDecoder
from model.image_encoder import ImageEncoder
from model.samplers import Sampler, Samples

Tensor = Any
# Beside an encoder that learns from scratch, small embeddings of places are drowned by content for
# epochs; beside a frozen one that knows what it sees, such large noise costs captions.
_TRAINED_STDDEV, _FROZEN_STDDEV = 0.4, 0.03


class Captioner(keras.Model):
    """Encodes a picture once and decodes captions of it.

    Dimensions: B pictures, H W pixels, N captions of a picture, L tokens, V vocabulary.

    Args:
        config: architecture.
        image: size of the pictures.
        vocabulary_size: V.

    Call with ``{"images": uint8[B, H, W, 3], "token_ids": int[B, N, L]}``; returns logits
    `float[B, N, L, V]`. Features that a frozen encoder computed before take the place of the
    images as ``"grid": float[B, P, C]``. Example::

        captioner = Captioner(ModelConfig(encoder="cnn"), ImageConfig(64), vocabulary_size=50)
        samples = captioner.caption(images, BeamSampler(SamplerConfig(), max_length=20))
    """

    def __init__(self, config: ModelConfig, image: ImageConfig, vocabulary_size: int) -> None:
        super().__init__(name="captioner")
        self.image_encoder = ImageEncoder(
            config.encoder, config.encoder_weights, image.image_size_px
        )
        self.decoder = GRUDecoder(
            vocabulary_size=vocabulary_size,
            patches=self.image_encoder.patches,
            embedding_dim=config.embedding_dim,
            units=config.units,
            attention_units=config.attention_units,
            glance_dim=config.glance_dim,
            dropout=config.dropout,
            embedding_stddev=_FROZEN_STDDEV if self.image_encoder.frozen else _TRAINED_STDDEV,
        )
        self.decoder.build((None, None, self.image_encoder.channels), (None, None, None))

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        if "grid" in inputs:
            grid = keras.ops.cast(inputs["grid"], self.compute_dtype)
        else:
            grid = self.image_encoder(inputs["images"], training=training)
        return self.decoder(grid, inputs["token_ids"], training=training)

    def caption(self, images: Tensor, sampler: Sampler) -> Samples:
        """Captions of `images uint8[B, H, W, 3]`: the loop runs inside the graph."""
        memory = self.decoder.remember(self.image_encoder(images))
        return sampler(self.decoder.step, self.decoder.initial_state(memory), memory)


def build_captioner(config: ModelConfig, image: ImageConfig, vocabulary_size: int) -> Captioner:
    """A captioner with all its weights made, ready to train or to load weights into."""
    captioner = Captioner(config, image, vocabulary_size)
    size_px = image.image_size_px
    captioner(
        {
            "images": keras.ops.zeros((1, size_px, size_px, 3), "uint8"),
            "token_ids": keras.ops.zeros((1, 1, 1), "int32"),
        }
    )
    return captioner
