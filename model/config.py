"""Configuration as frozen dataclasses: one source for options and their defaults.

A field made with `option` becomes a command-line option (``batch_size`` → ``--batch-size``). What
was asked for is written as JSON into the artifact that it shaped, see `model.artifacts`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.errors import CaptionerError
from model.options import flag, option

SAMPLERS = ("beam", "greedy", "nucleus")

# Above this many pixels a file is taken for a decompression bomb (Pillow's own error limit).
DEFAULT_MAX_PIXELS = 178_956_970


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CaptionerError(message)


def _check(config: Any, names: str, holds: Callable[[float], bool], expected: str) -> None:
    """Checks the fields `names`, separated by blanks, of a configuration made of options.

    Raises:
        CaptionerError: if one does not hold or is infinite; it names the option, what it got and
            `expected`.
    """
    for name in names.split():
        value = getattr(config, name)
        # No step can be computed with infinity: gradients scaled to it are no numbers.
        holding = holds(value) and value < math.inf
        _require(holding, f"{flag(name)}: got {value}, expected {expected}")


@dataclass(frozen=True)
class ImageConfig:
    """How every picture becomes pixels, in training and in captioning alike."""

    image_size_px: int = option(224, "height and width that pictures are resized to, in pixels")
    max_pixels: int = option(
        DEFAULT_MAX_PIXELS, "pictures of more pixels (width x height) are rejected as bombs"
    )

    def __post_init__(self) -> None:
        _check(self, "image_size_px", lambda value: 8 <= value <= 4096, "8 to 4096")
        _check(self, "max_pixels", lambda value: value > 0, "above 0")


DECODERS = ("transformer", "gru", "lstm")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
NO_AUGMENTATION, CROP, CROP_FLIP = "none", "crop", "crop_flip"
AUGMENTATIONS = (NO_AUGMENTATION, CROP, CROP_FLIP)


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of the captioner. Sizes are in units of a layer's outputs."""

    encoder: str = option(
        "MobileNetV2", "image encoder: 'cnn' (trained from scratch) or a keras.applications name"
    )
    encoder_weights: str | None = option(
        "imagenet", "weights of a keras.applications encoder: 'imagenet', a file, or 'none'"
    )
    fine_tune_from: str | None = option(
        None, "train the encoder from its first layer of this prefix on, e.g. 'block_14'"
    )
    decoder: str = option("transformer", "'transformer', 'gru' or 'lstm'")
    embedding_dim: int = option(256, "size of a word's embedding; the Transformer's width")
    hidden_dim: int = option(512, "size of the inner layers of Transformer and recogniser")
    heads: int = option(8, "attention heads of the Transformer")
    encoder_layers: int = option(1, "Transformer layers in which patches look at each other")
    decoder_layers: int = option(2, "Transformer layers of the decoder")
    units: int = option(512, "size of a recurrent decoder's state and of its projected patches")
    attention_units: int = option(256, "size of the additive attention's hidden layer (recurrent)")
    glance_dim: int = option(
        0,
        "numbers of each patch that the first recurrent state sees, each in its place; 0: their "
        "mean",
    )
    concepts: int = option(300, "words that the recogniser learns to see; 0: no recogniser")
    concept_memory: int = option(
        12, "likeliest concepts that the decoder is told; 0: the recogniser gives tags alone"
    )
    concept_folds: int = option(
        4, "recognisers, each of which leaves out a share of the pictures; 1: one, of all"
    )
    dropout: float = option(0.3, "share of activations dropped in training")

    def __post_init__(self) -> None:
        _require(
            self.decoder in DECODERS, f"--decoder: got {self.decoder!r}, expected one of {DECODERS}"
        )
        # Every layer's name begins with nothing, so that it would be all of the network.
        _require(
            self.fine_tune_from != "",
            "--fine-tune-from: got '', expected the beginning of a layer's name, or 'none'",
        )
        some = "glance_dim concepts concept_memory encoder_layers"
        _check(self, some, lambda value: value >= 0, "0 or above")
        sizes = "embedding_dim hidden_dim heads decoder_layers units attention_units concept_folds"
        _check(self, sizes, lambda value: value > 0, "above 0")
        _require(
            self.decoder != "transformer" or self.embedding_dim % self.heads == 0,
            f"--heads: got {self.heads}, expected a divisor of --embedding-dim, which is "
            f"{self.embedding_dim}",
        )
        _check(self, "dropout", lambda value: 0 <= value < 1, "0 to below 1")


@dataclass(frozen=True)
class TrainConfig:
    """How the captioner is trained: by cross-entropy, then by its own captions' CIDEr-D."""

    epochs: int = option(12, "passes over the train split by cross-entropy")
    self_critical_epochs: int = option(
        1, "epochs of a pass of self-critical training after these; 0: none"
    )
    self_critical_passes: int = option(
        4, "times that self-critical training begins anew; what they come to is averaged"
    )
    batch_size: int = option(16, "images in a step; each brings all its captions")
    batches_sorted: int = option(
        16,
        "batches whose pictures are sorted by their longest caption, to save padding; 1: none",
    )
    augmentation: str = option(
        NO_AUGMENTATION,
        "of pictures that are learnt from as pixels: 'crop' shows another part in every epoch, of "
        "7/8 to all of each side; 'crop_flip' mirror images too; 'none' always the whole",
    )
    learning_rate: float = option(1e-3, "peak of the warm-up and cosine schedule (AdamW)")
    self_critical_learning_rate: float = option(7e-5, "peak in self-critical training")
    encoder_learning_rate: float = option(
        0.01, "learning rate of a fine-tuned encoder, as a share of the rest's"
    )
    weight_decay: float = option(0.3, "decoupled weight decay, as a share of the learning rate")
    label_smoothing: float = option(0.1, "share of the truth spread over all words")
    averaging: float = option(0.999, "most momentum of the weights' moving average; 0 for none")
    attention_regularisation: float = option(
        0.0,
        "weight of Xu et al.'s doubly stochastic attention term (Transformer: of its last layer)",
    )
    clip_norm: float = option(5.0, "gradients are scaled to at most this global norm")
    patience: int = option(
        4,
        "stop after this many epochs, in the second phase passes, without a higher validation "
        "CIDEr",
    )
    self_critical_samples: int = option(5, "captions of a beam search for each picture in it")
    max_length: int = option(20, "longest caption in tokens, its end mark counted")
    precision: str = option("float32", "'float32', 'mixed_float16' or 'mixed_bfloat16'")
    seed: int = option(1, "seed of weights, dropout and shuffling")

    def __post_init__(self) -> None:
        rates = "learning_rate self_critical_learning_rate encoder_learning_rate clip_norm"
        counts = "batch_size batches_sorted patience self_critical_passes"
        _check(self, f"{rates} {counts}", lambda value: value > 0, "above 0")
        some = "epochs self_critical_epochs weight_decay attention_regularisation"
        _check(self, some, lambda value: value >= 0, "0 or above")
        _check(self, "label_smoothing averaging", lambda value: 0 <= value < 1, "0 to below 1")
        _require(
            self.epochs + self.self_critical_epochs > 0,
            f"--epochs: got {self.epochs}, expected above 0, or --self-critical-epochs above 0",
        )
        _check(self, "max_length", lambda value: value > 1, "above 1")
        _check(self, "self_critical_samples", lambda value: value > 1, "2 or more")
        # Each start of a run adds its epoch.
        _check(self, "seed", lambda value: 0 <= value < 2**31, "0 to below 2 ** 31")

    def patience_epochs(self, self_critical: bool) -> int:
        """Epochs of a phase without a better one after which it ends.

        Of self-critical training whole passes count: in its middle one has come to little yet.
        """
        return self.patience * (self.self_critical_epochs if self_critical else 1)
        _require(
            self.precision in PRECISIONS,
            f"--precision: got {self.precision!r}, expected one of {PRECISIONS}",
        )
        _require(
            self.augmentation in AUGMENTATIONS,
            f"--augmentation: got {self.augmentation!r}, expected one of {AUGMENTATIONS}",
        )


@dataclass(frozen=True)
class SamplerConfig:
    """How captions are drawn from the decoder."""

    beam_width: int = option(6, "captions kept in the beam; 1 is greedy search")
    length_normalisation: float = option(
        0.7, "beams are ranked by total log-probability / length ** this"
    )
    concept_weight: float = option(
        0.05,
        "of several captions those come first whose words the recogniser sees more of than in "
        "other pictures: weight of these log odds; 0: in the order of the search",
    )
    neighbour_weight: float = option(
        2.0,
        "of several captions those come first that agree with what was said of the training "
        "pictures most like this one: weight of their CIDEr; 0: no matter what was said",
    )
    sampler: str = option(
        "beam", "'beam', 'greedy' (the likeliest word each time) or 'nucleus' (drawn at random)"
    )
    samples: int = option(1, "nucleus: captions drawn of a picture")
    temperature: float = option(1.0, "nucleus: below 1 for safer words, above for rarer ones")
    top_k: int = option(0, "nucleus: words are drawn from this many likeliest; 0: no such limit")
    top_p: float = option(
        0.9, "nucleus: words are drawn from the fewest likeliest of this total probability"
    )
    sampling_seed: int = option(1, "nucleus: seed; a picture's captions follow from it")
    min_length: int = option(1, "words of the shortest caption")
    no_repeat_ngram: int = option(
        0, "no caption has the same words twice this many in a row; 0: no such limit"
    )
    ban_words: str = option("", "words that no caption has, separated by commas")

    def __post_init__(self) -> None:
        _require(
            self.sampler in SAMPLERS,
            f"--sampler: got {self.sampler}, expected one of {', '.join(SAMPLERS)}",
        )
        _check(self, "beam_width samples", lambda value: value > 0, "above 0")
        some = "top_k min_length no_repeat_ngram"
        _check(self, some, lambda value: value >= 0, "0 or above")
        # Beyond these, float32 has no numbers for what they make of log-probabilities.
        _check(self, "temperature", lambda value: 1e-12 <= value <= 1e12, "1e-12 to 1e12")
        some = "length_normalisation concept_weight neighbour_weight"
        _check(self, some, lambda value: 0 <= value <= 10, "0 to 10")
        _check(self, "top_p", lambda value: 0 < value <= 1, "above 0, up to 1")
        _check(self, "sampling_seed", lambda value: 0 <= value < 2**32, "0 to below 2 ** 32")

    def check_length(self, max_length: int) -> None:
        """Raises:
        CaptionerError: if no caption of `max_length` tokens has room for `min_length` words.
        """
        _require(
            self.min_length < max_length,
            f"--min-length: got {self.min_length}, expected below {max_length}, the most tokens of "
            "a caption, its end mark counted",
        )

    @property
    def captions(self) -> int:
        """How many captions of a picture are written."""
        return {"beam": self.beam_width, "greedy": 1, "nucleus": self.samples}[self.sampler]

    @property
    def words_to_ban(self) -> tuple[str, ...]:
        """The single words of `ban_words`."""
        words = (word.strip() for word in self.ban_words.split(","))
        return tuple(word for word in words if word)
