"""A bundle's folder and what it says of a picture: all that can be known without TensorFlow."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from model.artifacts import BundleConfig
from model.command import check_no_pattern
from model.config_json import read_json
from model.errors import CaptionerError
from model.image import check_decoder_version

BUNDLE_FILE = "bundle.json"
METRICS_FILE = "metrics.json"
MODEL_CARD_FILE = "MODEL_CARD.md"
SIGNATURE, TAGS_SIGNATURE = "caption_pixels", "tag_pixels"
ATTENTION_SIGNATURE = "attend_pixels"
# Most tags that a bundle gives of a picture.
MOST_TAGS = 20
# Below any mean log-probability of a caption that was really found: an unused place in the beam.
NO_SCORE = -1e5
NO_CAPTION = "the model gave no caption of a finite score"


class ModelError(Exception):
    """An operation of the model failed; the message has its error's name."""


class Scored(NamedTuple):
    """A caption or a tag and its score."""

    text: str
    score: float


class ImageCaptions(NamedTuple):
    """What a model says of one picture: captions, best first (at least one), and tags."""

    captions: list[Scored]
    tags: list[Scored]


class LoadedBundle(Protocol):
    """A bundle in memory, whatever computes it."""

    config: BundleConfig

    def caption(self, images: np.ndarray) -> list[ImageCaptions]:
        """Captions of `images uint8[B, H, W, 3]`, one result a picture, in order.

        Raises:
            ModelError: if the model fails at one of them, or at all.
            MemoryError: if they are too many at once.
        """

    def tag(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of all concepts, `float32[B, K]`, in the order of the bundle's config.

        Only of a bundle that has some.
        """


def read_bundle_config(folder: Path) -> BundleConfig:
    """What `bundle.json` says, without loading the model.

    Raises:
        CaptionerError: if `folder` is no bundle, was made for another decoder version, or has a
            name that TensorFlow takes for a pattern.
    """
    config = read_json(BundleConfig, folder / BUNDLE_FILE, "bundle")
    check_decoder_version(config.decoder_version, folder)
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (folder / name).exists():
            raise CaptionerError(
                f"{folder} is no bundle: it has no {name}; export or copy it again"
            )
    check_no_pattern(str(folder), "bundle")
    return config
