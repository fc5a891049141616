"""Tests of the image encoders: shapes, frozen weights, scaling and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from model.errors import CaptionerError
from model.image_encoder import ImageEncoder

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("uint8")


def assert_alike(got: object, expected: object) -> None:
    """Close in relation to the largest feature: those of random weights are tiny."""
    largest = np.abs(np.asarray(expected)).max()
    assert largest > 0
    np.testing.assert_allclose(got, expected, atol=1e-4 * largest)


@pytest.fixture(scope="module")
def mobilenet() -> ImageEncoder:
    keras.utils.set_random_seed(1)
    return ImageEncoder("MobileNetV2", None, image_size_px=64)


@pytest.mark.parametrize(("size_px", "patches"), [(32, 16), (36, 16), (64, 64)])
def test_the_small_network_halves_the_picture_thrice(size_px: int, patches: int) -> None:
    encoder = ImageEncoder("cnn", None, size_px)
    grid = encoder(np.zeros((2, size_px, size_px, 3), "uint8"))
    assert (encoder.patches, encoder.channels) == (patches, 128)
    assert tuple(grid.shape) == (2, patches, 128)
    assert encoder.compute_output_shape((2, size_px, size_px, 3)) == (2, patches, 128)
    assert encoder.trainable_weights


def test_patches_are_in_row_order() -> None:
    encoder = ImageEncoder("cnn", None, 32)
    plain = np.full((1, 32, 32, 3), 128, "uint8")
    marked = plain.copy()
    marked[0, 2:6, 26:30] = 255
    difference = np.abs(np.asarray(encoder(marked)) - np.asarray(encoder(plain)))[0].max(axis=1)
    # The mark is in the fourth patch of the first row; its neighbours see it too.
    assert set(np.flatnonzero(difference)) <= {2, 3, 6, 7}
    assert difference[3] > 0


def test_the_small_network_sees_pixels_of_minus_one_to_one() -> None:
    encoder = ImageEncoder("cnn", None, 32)
    np.testing.assert_allclose(encoder.scale(np.array([0.0, 127.5, 255.0])), [-1, 0, 1])


def test_a_known_network_gives_a_grid(mobilenet: ImageEncoder) -> None:
    assert tuple(mobilenet(PICTURES).shape) == (2, 4, 1280)
    assert (mobilenet.patches, mobilenet.channels) == (4, 1280)


def test_a_known_network_is_frozen(mobilenet: ImageEncoder) -> None:
    assert mobilenet.trainable_weights == []
    assert mobilenet.weights


def test_training_leaves_a_frozen_network_as_it_is(mobilenet: ImageEncoder) -> None:
    before = [np.array(weight) for weight in mobilenet.weights]
    in_training = np.asarray(mobilenet(PICTURES, training=True))
    for weight, value in zip(mobilenet.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert_alike(in_training, mobilenet(PICTURES))


def test_a_frozen_network_drops_nothing_in_training() -> None:
    encoder = ImageEncoder("EfficientNetB0", None, image_size_px=64)
    assert_alike(encoder(PICTURES, training=True), encoder(PICTURES))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("MobileNetV2", "mobilenet_v2"),
        ("MobileNetV3Small", "mobilenet_v3"),
        ("EfficientNetB0", "efficientnet"),
        ("VGG16", "vgg16"),
    ],
)
def test_pixels_are_scaled_as_the_network_expects(name: str, module: str) -> None:
    encoder = ImageEncoder(name, None, image_size_px=32)
    pixels = PICTURES.astype("float32")
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    np.testing.assert_allclose(encoder.scale(pixels), expected, atol=1e-5)


def test_the_scaling_reaches_the_network(mobilenet: ImageEncoder) -> None:
    scaled = keras.applications.mobilenet_v2.preprocess_input(PICTURES.astype("float32"))
    direct = np.asarray(mobilenet.network(scaled)).reshape(2, 4, 1280)
    assert_alike(mobilenet(PICTURES), direct)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CaptionerError, match=r"--encoder: got 'ResNet7', expected 'cnn' or one of"):
        ImageEncoder("ResNet7", None, 64)


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(CaptionerError, match=r"there is no file '/nowhere/weights\.h5'"):
        ImageEncoder("MobileNetV2", "/nowhere/weights.h5", 64)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(CaptionerError, match="expected weights of MobileNetV2 without its"):
        ImageEncoder("MobileNetV2", str(path), 64)


def test_weights_that_cannot_be_fetched_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    real = keras.applications.MobileNetV2

    def offline(weights: str | None, **options: Any) -> keras.Model:
        if weights is not None:
            raise Exception("URL fetch failure")
        return real(weights=weights, **options)

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(CaptionerError, match="URL fetch failure; without a network, fetch them"):
        ImageEncoder("MobileNetV2", "imagenet", 64)


def test_weights_are_read_from_a_file(tmp_path: Path, mobilenet: ImageEncoder) -> None:
    path = tmp_path / "x.weights.h5"
    mobilenet.network.save_weights(path)
    keras.utils.set_random_seed(2)
    loaded = ImageEncoder("MobileNetV2", str(path), 64)
    assert_alike(loaded(PICTURES), mobilenet(PICTURES))


def test_imagenet_weights_come_to_the_same_from_wherever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = keras.applications.EfficientNetB0
    keras.utils.set_random_seed(3)
    published = build(weights=None, include_top=False, input_shape=(64, 64, 3))
    moments = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 1
    published.layers[2].set_weights([np.array(moment) for moment in moments])
    files = [str(tmp_path / "published.weights.h5"), str(tmp_path / "kept.weights.h5")]
    published.save_weights(files[0])
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: files[0])
    expected = build(weights="imagenet", include_top=False, input_shape=(64, 64, 3))(
        PICTURES.astype("float32")
    )
    encoder = ImageEncoder("EfficientNetB0", "imagenet", 64)
    encoder.network.save_weights(files[1])
    grids = [encoder(PICTURES), *(ImageEncoder("EfficientNetB0", f, 64)(PICTURES) for f in files)]
    for grid in grids:
        assert_alike(np.asarray(grid).reshape(expected.shape), expected)


def test_pictures_that_a_network_cannot_see_are_told() -> None:
    words = "--encoder InceptionV3 cannot see pictures of 64 px: .* at least 75x75"
    with pytest.raises(CaptionerError, match=words):
        ImageEncoder("InceptionV3", None, 64)


def test_fine_tuning_frees_the_layers_from_one_on() -> None:
    encoder = ImageEncoder("MobileNetV2", None, 32, fine_tune_from="block_16")
    first = [layer.name for layer in encoder.network.layers].index("block_16_expand")
    expected = [w.path for layer in encoder.network.layers[first:] for w in layer.trainable_weights]
    assert [weight.path for weight in encoder.trainable_weights] == expected
    assert len(expected) > 6


def test_a_fine_tuned_network_keeps_its_statistics_in_training() -> None:
    encoder = ImageEncoder("MobileNetV2", None, 64, fine_tune_from="block_16")
    before = [np.array(weight) for weight in encoder.non_trainable_weights]
    assert_alike(encoder(PICTURES, training=True), encoder(PICTURES))
    for weight, value in zip(encoder.non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_an_unknown_layer_to_fine_tune_from_lists_the_known_ones() -> None:
    with pytest.raises(CaptionerError, match=r"got 'stage_9', expected .* block_16_project"):
        ImageEncoder("MobileNetV2", None, 32, fine_tune_from="stage_9")


def test_a_network_that_learns_from_scratch_is_not_fine_tuned() -> None:
    with pytest.raises(CaptionerError, match="'cnn' learns as a whole; leave the option out"):
        ImageEncoder("cnn", None, 32, fine_tune_from="conv")
