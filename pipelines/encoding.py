"""Features of a frozen image encoder, computed once and stored beside the tokens."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from model.artifacts import ENCODER_WEIGHTS_FILE, FeatureConfig
from model.config import ImageConfig
from model.errors import CaptionerError
from model.image_encoder import CNN, ImageEncoder
from pipelines import files

_BATCH = 32


@dataclass(frozen=True)
class EncoderRequest:
    """Which features the user asked for.

    Attributes:
        encoder: name of a `keras.applications` network.
        weights: ``imagenet`` or a file.
        views: views of each training picture.
    """

    encoder: str
    weights: str
    views: int

    def __post_init__(self) -> None:
        if self.encoder == CNN:
            raise CaptionerError(
                f"--encoder: got {CNN!r}, which is trained from scratch: its features cannot be "
                "stored before; leave the option out, and give it to captioner train"
            )
        if self.views < 1:
            raise CaptionerError(f"--crops: got {self.views}, expected 1 or more")


def save_encoder(request: EncoderRequest, image: ImageConfig, folder: str) -> FeatureConfig:
    """Builds the encoder and writes its weights to `folder`, for the workers and the trainer.

    Raises:
        CaptionerError: if the name is unknown, or the weights are absent or of another network.
    """
    encoder = ImageEncoder(request.encoder, request.weights, image.image_size_px)
    uri = f"{folder}/{ENCODER_WEIGHTS_FILE}"
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / ENCODER_WEIGHTS_FILE  # Keras tells the format by the name
        encoder.network.save_weights(path)
        data = path.read_bytes()
    with files.atomic_path(uri) as target:
        Path(target).write_bytes(data)
    return FeatureConfig(
        encoder=request.encoder,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        views=request.views,
        patches=encoder.patches,
        channels=encoder.channels,
    )


class FeatureExtractor:
    """The encoder of a dataset, loaded and ready.

    Args:
        config: what `save_encoder` returned.
        image: size of the pictures.
        folder: where it wrote the weights.
    """

    def __init__(self, config: FeatureConfig, image: ImageConfig, folder: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / ENCODER_WEIGHTS_FILE
            path.write_bytes(files.read_bytes(f"{folder}/{ENCODER_WEIGHTS_FILE}"))
            encoder = ImageEncoder(config.encoder, str(path), image.image_size_px)
        size_px = image.image_size_px
        # Traced once for batches of every size.
        spec = tf.TensorSpec([None, size_px, size_px, 3], tf.uint8)
        self._encode = tf.function(
            encoder, input_signature=[spec], jit_compile=False, autograph=False
        )

    def __call__(self, views: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Views of pictures, `uint8[N, H, W, 3]` each, to their grids, `float16[N, P, C]` each."""
        flat = np.concatenate(views)
        grids = [
            self._encode(tf.constant(flat[start : start + _BATCH])).numpy().astype(np.float16)
            for start in range(0, len(flat), _BATCH)
        ]
        ends = np.cumsum([len(group) for group in views])[:-1]
        return np.split(np.concatenate(grids), ends)
