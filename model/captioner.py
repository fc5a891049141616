"""The captioner: an image encoder and a decoder that writes what it sees."""

from typing import Any, NamedTuple

import keras
from keras import ops

from model.config import ImageConfig, ModelConfig
from model.decoding import Memory, Sampler, Samples
from model.gru_decoder import GRUDecoder
from model.image_encoder import ImageEncoder
from model.lstm_decoder import LSTMDecoder
from model.recogniser import Recogniser
from model.recurrent_decoder import RecurrentDecoder
from model.transformer_decoder import TransformerDecoder

Tensor = Any
# Beside an encoder that learns from scratch, small embeddings of places are drowned by content for
# epochs; beside a pretrained one that knows what it sees, such large noise costs captions.
_TRAINED_STDDEV, _KNOWING_STDDEV = 0.4, 0.03


class Outputs(NamedTuple):
    """What the captioner says of captions that it is told (teacher forcing).

    Attributes:
        logits: `float32[B, N, L, V]` of the tokens that follow each.
        attention: `float[B, N, L, M]`, where in the memory each word looked.
        tag_logits: `float32[B, F, K]` of the concepts, each recogniser's; None without one.
    """

    logits: Tensor
    attention: Tensor
    tag_logits: Tensor | None


class Captioner(keras.Model):
    """Encodes a picture once, names what it shows, and decodes captions of it.

    Dimensions: B pictures, H W pixels, P patches, C channels, N captions of a picture, L tokens,
    V vocabulary, F folds of the recogniser, K concepts.

    Args:
        config: architecture.
        image: size of the pictures.
        vocabulary_size: V.
        concept_ids: token ids of the words that the recogniser learns; none for no recogniser.
        max_length: most tokens of a caption.

    Call with ``{"images": uint8[B, H, W, 3], "token_ids": int[B, N, L]}``; returns `Outputs`.
    Features that a frozen encoder computed before take the place of the images as
    ``"grid": float[B, P, C]``. In training ``"key": int[B]`` is as `model.dataset.number` gives it.
    Example::

        captioner = Captioner(ModelConfig(encoder="cnn"), ImageConfig(64), 50, (), max_length=20)
        memory, _ = captioner.look(captioner.encode(images))
        samples = captioner.write(memory, BeamSampler(SamplerConfig(), max_length=20))
    """

    def __init__(
        self,
        config: ModelConfig,
        image: ImageConfig,
        vocabulary_size: int,
        concept_ids: tuple[int, ...],
        max_length: int,
    ) -> None:
        super().__init__(name="captioner")
        self.image_encoder = ImageEncoder(
            config.encoder, config.encoder_weights, image.image_size_px, config.fine_tune_from
        )
        self.recogniser = None
        if concept_ids:
            self.recogniser = Recogniser(
                concept_ids, config.hidden_dim, config.dropout, config.concept_folds
            )
            self.recogniser.build((None, None, self.image_encoder.channels))
        self.concept_memory = min(config.concept_memory, len(concept_ids))
        told = bool(self.concept_memory)
        self.decoder = make_decoder(config, vocabulary_size, self.image_encoder, max_length, told)
        self.decoder.build((None, None, self.image_encoder.channels))

    def encode(self, images: Tensor, training: bool = False) -> Tensor:
        """Grids `[B, P, C]` of `images uint8[B, H, W, 3]`."""
        return self.image_encoder(images, training=training)

    def grid_of(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Grids `[B, P, C]` of the pictures of `call`'s inputs, whichever they are."""
        if "grid" in inputs:
            return ops.cast(inputs["grid"], self.compute_dtype)
        return self.encode(inputs["images"], training)

    def look(
        self, grid: Tensor, training: bool = False, key: Tensor | None = None
    ) -> tuple[Memory, Tensor | None]:
        """What the decoder needs of each picture, and the logits of its concepts `[B, F, K]`.

        Args:
            key: of the pictures, `int[B]`, where the recogniser learns from them.
        """
        concepts, tag_logits = self._recognise(grid, training, key)
        return self.decoder.remember(grid, concepts, training), tag_logits

    def write(self, memory: Memory, sampler: Sampler) -> Samples:
        """Captions of what `look` saw: the loop runs inside the graph."""
        return sampler(self.decoder.step, self.decoder.initial_state(memory), memory)

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Outputs:
        grid = self.grid_of(inputs, training)
        memory, tag_logits = self.look(grid, training, inputs.get("key"))
        logits, attention = self.decoder.tell(memory, inputs["token_ids"], training)
        return Outputs(logits, attention, tag_logits)

    def _recognise(
        self, grid: Tensor, training: bool, key: Tensor | None
    ) -> tuple[tuple | None, Tensor | None]:
        """The likeliest concepts, for the decoder, and the logits of all."""
        if self.recogniser is None:
            return None, None
        each = self.recogniser(grid, training=training)
        if not self.concept_memory:
            return None, each
        if key is None:
            seen = self.recogniser.together(each)
        else:
            seen = self.recogniser.unknowing(each, key)
        # The decoder's wishes must not bend what the recogniser calls true.
        seen = ops.stop_gradient(seen)
        return self.recogniser.likeliest(seen, self.concept_memory), each


def make_decoder(
    config: ModelConfig,
    vocabulary_size: int,
    encoder: ImageEncoder,
    max_length: int,
    concepts: bool,
) -> keras.layers.Layer:
    """The decoder that `config` names, for the grids of `encoder`; told concepts, or not."""
    stddev = _TRAINED_STDDEV if encoder.from_scratch else _KNOWING_STDDEV
    if config.decoder == "transformer":
        return TransformerDecoder(
            vocabulary_size=vocabulary_size,
            patches=encoder.patches,
            concepts=concepts,
            dim=config.embedding_dim,
            hidden_dim=config.hidden_dim,
            heads=config.heads,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            max_length=max_length,
            dropout=config.dropout,
            embedding_stddev=stddev,
        )
    recurrent: type[RecurrentDecoder] = {"gru": GRUDecoder, "lstm": LSTMDecoder}[config.decoder]
    return recurrent(
        vocabulary_size=vocabulary_size,
        patches=encoder.patches,
        concepts=concepts,
        embedding_dim=config.embedding_dim,
        units=config.units,
        attention_units=config.attention_units,
        glance_dim=config.glance_dim,
        dropout=config.dropout,
        embedding_stddev=stddev,
    )


def build_captioner(
    config: ModelConfig,
    image: ImageConfig,
    vocabulary_size: int,
    concept_ids: tuple[int, ...] = (),
    max_length: int = 20,
) -> Captioner:
    """A captioner with all its weights made, ready to train or to load weights into."""
    captioner = Captioner(config, image, vocabulary_size, concept_ids, max_length)
    size_px = image.image_size_px
    captioner(
        {
            "images": ops.zeros((1, size_px, size_px, 3), "uint8"),
            "token_ids": ops.zeros((1, 1, 2), "int32"),
        }
    )
    return captioner
