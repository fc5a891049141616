"""Image encoders: pictures to a grid of features, one vector for each patch."""

import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.errors import CaptionerError

CNN, IMAGENET = "cnn", "imagenet"
_CNN_FILTERS = (32, 64, 128)
# Statistics of small batches follow the weights within an epoch of a few hundred steps.
_NORM_MOMENTUM = 0.9
# Of its red, green and blue.
_IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


class ImageEncoder(keras.layers.Layer):
    """Encodes pictures as a grid of patches, scaled as the chosen network expects.

    ``cnn`` is three stages of Conv3x3, MaxPool, BatchNorm and ReLU with 32, 64 and 128 filters,
    trained from scratch. Any other name is a network of `keras.applications` that stays in
    inference mode (so that BatchNorm keeps its statistics): frozen, or fine-tuned from one of its
    layers on.

    Args:
        name: ``cnn`` or a name in `keras.applications`, e.g. ``MobileNetV2``.
        weights: ``imagenet``, the path of a weights file, or None for random weights.
        image_size_px: height and width of the pictures.
        fine_tune_from: prefix of the name of the first layer that learns; None: frozen.

    Call with `uint8[B, H, W, 3]`; returns `float[B, P, C]`, P patches of C channels in row order.

    Raises:
        CaptionerError: if the name or the layer is unknown, the weights are absent or of another
            network, or the network cannot see pictures of this size.
    """

    def __init__(
        self,
        name: str,
        weights: str | None,
        image_size_px: int,
        fine_tune_from: str | None = None,
    ) -> None:
        super().__init__(name="image_encoder")
        shape = (image_size_px, image_size_px, 3)
        self.from_scratch = name == CNN
        if self.from_scratch:
            _refuse_fine_tuning(fine_tune_from)
            self.scale = _scale_to_unit
            self.network = _small_cnn(shape)
        else:
            self.scale, self.network = _application(name, weights, shape)
            _freeze_before(self.network, fine_tune_from)
        *grid, self.channels = self.network.output_shape[1:]
        self.grid = tuple(grid)
        self.patches = math.prod(grid)

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        pixels = self.scale(ops.cast(images, self.compute_dtype))
        grid = self.network(pixels, training=training and self.from_scratch)
        return ops.reshape(grid, (-1, self.patches, self.channels))

    def compute_output_shape(self, images_shape: tuple) -> tuple:
        return (images_shape[0], self.patches, self.channels)


def _refuse_fine_tuning(fine_tune_from: str | None) -> None:
    if fine_tune_from:
        raise CaptionerError(
            f"--fine-tune-from: got {fine_tune_from!r}, but the encoder {CNN!r} learns as a whole; "
            "leave the option out, or choose an --encoder of keras.applications"
        )


def _freeze_before(network: keras.Model, fine_tune_from: str | None) -> None:
    """Freezes all of the network, or what comes before the first layer of this prefix."""
    if fine_tune_from is None:
        network.trainable = False
        return
    names = [layer.name for layer in network.layers]
    first = next((i for i, name in enumerate(names) if name.startswith(fine_tune_from)), None)
    if first is None:
        with_weights = [layer.name for layer in network.layers if layer.weights]
        raise CaptionerError(
            f"--fine-tune-from: got {fine_tune_from!r}, expected the beginning of a layer's name: "
            f"{', '.join(with_weights)}"
        )
    for layer in network.layers[:first]:
        layer.trainable = False


def _scale_to_unit(pixels: keras.KerasTensor) -> keras.KerasTensor:
    return pixels / 127.5 - 1.0


def _small_cnn(shape: tuple[int, int, int]) -> keras.Model:
    layers = keras.layers
    network = keras.Sequential([keras.Input(shape)], name="small_cnn")
    for filters in _CNN_FILTERS:
        network.add(
            layers.Conv2D(
                filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
            )
        )
        # Before what costs time for every pixel: a quarter of them is left.
        network.add(layers.MaxPooling2D())
        network.add(layers.BatchNormalization(momentum=_NORM_MOMENTUM))
        network.add(layers.ReLU())
    return network


def _find_application(name: str) -> Callable[..., keras.Model]:
    """The function of `keras.applications` that builds the network.

    Raises:
        CaptionerError: if there is none.
    """
    known = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    if name not in known:
        raise CaptionerError(
            f"--encoder: got {name!r}, expected {CNN!r} or one of {', '.join(known)}"
        )
    return known[name]


def _application(name: str, weights: str | None, shape: tuple[int, int, int]) -> tuple:
    """The `(scaling, network)` of a `keras.applications` network without its classifier."""
    build = _find_application(name)
    if weights not in (None, IMAGENET) and not Path(weights).is_file():
        raise CaptionerError(f"--encoder-weights: there is no file {weights!r}; check the path")
    try:
        # Without weights first, wherever they come from: it is one graph, of which a run's
        # checkpoint and a bundle's weights know nothing else.
        network = build(weights=None, include_top=False, input_shape=shape)
    except ValueError as error:
        raise CaptionerError(
            f"--encoder {name} cannot see pictures of {shape[0]} px: {error}; preprocess with "
            "another --image-size-px"
        ) from error
    try:
        if weights == IMAGENET:
            known = build(weights=IMAGENET, include_top=False, input_shape=shape)
            _copy_weights(known, network)
        elif weights is not None:
            network.load_weights(weights)
    except Exception as error:
        # Keras raises ValueError, OSError or plain Exception, by what is wrong with the weights.
        advice = "; without a network, fetch them elsewhere and give the file"
        raise CaptionerError(
            f"--encoder-weights: got {weights!r}, expected weights of {name} without its "
            f"classifier (include_top=False): {error}{advice if weights == IMAGENET else ''}"
        ) from error
    _correct_variance(network)
    return sys.modules[build.__module__].preprocess_input, network


def _copy_weights(known: keras.Model, network: keras.Model) -> None:
    """Gives `network` the weights of `known`, which may have more layers, but none of weights."""
    pairs = ([layer for layer in model.layers if layer.weights] for model in (known, network))
    for theirs, ours in zip(*pairs, strict=True):
        ours.set_weights(theirs.get_weights())


def _correct_variance(network: keras.Model) -> None:
    """Squares the standard deviations that ImageNet's weights of EfficientNet have for variances.

    Keras makes good for them with one layer more, for the name `imagenet` alone: weights from a
    file, or those of a checkpoint, would be another network's
    (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_variance is None:
            variance = ops.convert_to_numpy(layer.adapt_variance)
            if np.allclose(variance, _IMAGENET_DEVIATIONS, rtol=1e-3):
                layer.adapt_variance.assign(variance**2)
            layer.finalize_state()  # which weights that are assigned one by one leave out
