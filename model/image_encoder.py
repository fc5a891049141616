"""Image encoders: pictures to a grid of features, one vector for each patch."""

import inspect
import math
from pathlib import Path
from types import ModuleType

import keras
from keras import ops

from model.errors import CaptionerError

CNN = "cnn"
_CNN_FILTERS = (32, 64, 128)
# Statistics of small batches follow the weights within an epoch of a few hundred steps.
_NORM_MOMENTUM = 0.9


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
        CaptionerError: if the name or the layer is unknown, or the weights are absent or of another
            network.
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


def _application_module(name: str) -> ModuleType:
    """The module of `keras.applications` that holds the network and its `preprocess_input`."""
    for _, module in inspect.getmembers(keras.applications, inspect.ismodule):
        if inspect.isfunction(getattr(module, name, None)) and hasattr(module, "preprocess_input"):
            return module
    known = [n for n, _ in inspect.getmembers(keras.applications, inspect.isfunction)]
    raise CaptionerError(f"--encoder: got {name!r}, expected {CNN!r} or one of {', '.join(known)}")


def _application(name: str, weights: str | None, shape: tuple[int, int, int]) -> tuple:
    """The `(scaling, network)` of a `keras.applications` network without its classifier."""
    module = _application_module(name)
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise CaptionerError(f"--encoder-weights: there is no file {weights!r}; check the path")
    build = getattr(module, name)
    try:
        network = build(weights=weights, include_top=False, input_shape=shape)
    except Exception as error:
        if weights is None:
            raise
        # Keras raises ValueError, OSError or plain Exception, by what is wrong with the weights.
        raise CaptionerError(
            f"--encoder-weights: got {weights!r}, expected weights of {name} without its "
            f"classifier (include_top=False): {error}"
        ) from error
    return module.preprocess_input, network
