"""Stored features, from preprocessing to a bundle: nothing is computed twice, nothing is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import builders
import numpy as np
import pipeline_builders
import pytest
import tensorflow as tf
from pipeline_builders import captioner, preprocess_arguments

from model.artifacts import DatasetInfo, FeatureConfig
from model.bundle import Bundle
from model.config import ImageConfig, SamplerConfig
from model.consensus import Consensus
from model.dataset import read_dataset_info, read_split, training_batches
from model.decoding_options import Decoding
from model.errors import CaptionerError
from model.export import export
from model.features import encode_example, parse_cached_example
from model.image_encoder import ImageEncoder
from model.loading import load_model
from model.neighbours import NEIGHBOURS_FILE, read_neighbours
from model.rebuild import restore_graph
from model.run_folder import restore_captioner
from model.views import make_views
from model.vocabulary import read_vocabulary
from pipelines.splits import hash_fraction

ENCODER, VIEWS, SIZE = "MobileNet", 3, ImageConfig(32)
TINY = ["--hidden-dim", "32", "--embedding-dim", "16", "--concepts", "3", "--epochs", "1"]
TINY += ["--self-critical-epochs", "0", "--decoder-layers", "1"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a real backbone: what matters is that they are the same everywhere."""
    path = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    ImageEncoder(ENCODER, None, SIZE.image_size_px).network.save_weights(path)
    return path


@pytest.fixture(scope="module")
def dataset(captioned: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "dataset"
    asked = ["--encoder", ENCODER, "--encoder-weights", weights, "--crops", str(VIEWS)]
    assert captioner(*preprocess_arguments(captioned, folder, *asked)) == 0
    return folder


@pytest.fixture(scope="module")
def info(dataset: Path) -> DatasetInfo:
    return read_dataset_info(dataset)


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "run"
    assert captioner("train", "--dataset", dataset, "--output", folder, *TINY) == 0
    return folder


def test_each_training_picture_has_its_views_and_others_have_one(
    dataset: Path, info: DatasetInfo, weights: Path
) -> None:
    assert info.features is not None
    assert (info.features.encoder, info.features.views) == (ENCODER, VIEWS)
    encoder = ImageEncoder(ENCODER, str(weights), SIZE.image_size_px)
    spec = {
        "grids": tf.io.RaggedFeature(tf.string),
        "image_id": tf.io.FixedLenFeature([], tf.string),
        "image_png": tf.io.FixedLenFeature([], tf.string),
    }
    for split, views in (("train", VIEWS), ("validation", 1), ("test", 1)):
        shards = sorted(map(str, dataset.glob(f"{split}-*.tfrecord")))
        for record in tf.data.TFRecordDataset(shards):
            example = tf.io.parse_single_example(record, spec)
            stored = [np.frombuffer(g, np.float16) for g in example["grids"].numpy()]
            pixels = tf.io.decode_png(example["image_png"]).numpy()
            seed = int(hash_fraction(example["image_id"].numpy().decode()) * 2**32)
            computed = encoder(make_views(pixels, views, seed)).numpy()
            assert len(stored) == views
            for grid, expected in zip(stored, computed, strict=True):
                np.testing.assert_allclose(grid, expected.ravel(), rtol=2e-3, atol=2e-3)


def test_a_number_chooses_the_view() -> None:
    features = FeatureConfig(ENCODER, "", VIEWS, patches=2, channels=4)
    grids = np.arange(VIEWS * 8, dtype=np.float32).reshape(VIEWS, 2, 4)
    record = encode_example("a.jpg", b"", ["a dog"], [[4, 5]], grids)
    for number in (0, 1, VIEWS, 2**32 + VIEWS - 1):
        grid = parse_cached_example(record, features, tf.constant(number, tf.int64))["grid"]
        np.testing.assert_array_equal(grid, grids[number % VIEWS])


def test_each_epoch_sees_other_views_and_each_run_the_same(
    info: DatasetInfo, tmp_path: Path
) -> None:
    features = FeatureConfig(ENCODER, "", VIEWS, patches=2, channels=4)
    info = dataclasses.replace(info, examples={"train": 16}, features=features)
    grids = np.arange(16 * VIEWS * 8, dtype=np.float32).reshape(16, VIEWS, 2, 4)
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001.tfrecord")) as writer:
        for number, views in enumerate(grids):
            writer.write(encode_example(f"{number}.jpg", b"", ["a dog"], [[4, 5]], views))

    def epochs(seed: int) -> list[list[float]]:
        examples = read_split(tmp_path, "train", info, cached=True, seed=seed)
        return [[float(e["grid"][0, 0]) for e in examples] for _ in range(2)]

    first, second = epochs(seed=1)
    assert first != second
    assert epochs(seed=1) == [first, second]
    assert epochs(seed=2) != [first, second]


def test_the_trainer_takes_the_features_and_never_the_pixels(
    dataset: Path, info: DatasetInfo
) -> None:
    examples = read_split(dataset, "train", info, cached=True)
    ((inputs, _),) = training_batches(examples, 4, 8, shuffle_seed=1).take(1)
    assert set(inputs) == {"grid", "token_ids"}
    assert inputs["grid"].dtype == tf.float16


def test_the_run_knows_its_encoder_and_keeps_its_weights(
    run: Path, weights: Path, info: DatasetInfo
) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert config["model"]["encoder"] == ENCODER
    assert config["model"]["encoder_weights"] == "dataset"
    captioner_, _, _ = restore_captioner(run)
    pixels = builders.square_picture("red", 1)[np.newaxis]
    expected = ImageEncoder(ENCODER, str(weights), SIZE.image_size_px)(pixels)
    np.testing.assert_array_equal(captioner_.image_encoder(pixels), expected)


def test_a_fine_tuned_encoder_learns_from_the_pixels_beside_the_features(
    dataset: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuning = ["--init-from", run, "--fine-tune-from", "conv_pw_13", "--augmentation", "crop_flip"]
    arguments = ["--dataset", dataset, "--output", tmp_path / "tuned", *TINY]
    assert captioner("train", *arguments, *tuning) == 0
    assert "stored features" not in capsys.readouterr().out
    before, after = (restore_captioner(folder)[0] for folder in (run, tmp_path / "tuned"))
    pairs = zip(before.image_encoder.weights, after.image_encoder.weights, strict=True)
    # Paths begin with the network's name, which Keras numbers by how many it made before.
    changed = {new.path.split("/")[-2] for old, new in pairs if not np.array_equal(old, new)}
    assert {"conv_pw_13", "conv_pw_13_bn"} == changed


def test_a_bundle_of_it_captions_pixels(run: Path, tmp_path: Path) -> None:
    assert captioner("export", "--run", run, "--output", tmp_path / "bundle") == 0
    pictures = np.stack([builders.square_picture(c, 1) for c in builders.COLOURS])
    bundle = Bundle(tmp_path / "bundle")
    captions = bundle.caption(pictures)
    assert len(captions) == len(builders.COLOURS)
    assert all(image.captions[0].score < 0 for image in captions)
    assert bundle.config.orders == {"concept_weight", "neighbour_weight"}
    builders.assert_alike(load_model(run).caption(pictures), captions, atol=1e-4)


def test_a_bundle_without_a_weight_for_them_has_no_training_pictures(
    run: Path, tmp_path: Path
) -> None:
    kept = export(run, tmp_path / "kept", SamplerConfig())
    bare = export(run, tmp_path / "bare", SamplerConfig(neighbour_weight=0.0))
    stored = (run / NEIGHBOURS_FILE).read_bytes()
    assert (tmp_path / "kept" / NEIGHBOURS_FILE).read_bytes() == stored
    assert not (tmp_path / "bare" / NEIGHBOURS_FILE).exists()
    assert (kept.neighbours, bare.neighbours) == (True, False)
    with pytest.raises(
        CaptionerError, match=r"--neighbour-weight: got 1\.0, but the model keeps no"
    ):
        Bundle(tmp_path / "bare", decoding=Decoding((("neighbour_weight", 1.0),)))
    unweighed = Bundle(tmp_path / "kept", decoding=Decoding((("neighbour_weight", 0.0),)))
    pictures = np.stack([builders.square_picture(c, 1) for c in builders.COLOURS])
    found = Bundle(tmp_path / "bare").caption(pictures)
    builders.assert_alike(unweighed.caption(pictures), found, atol=1e-4)
    assert unweighed.config.model_fingerprint != kept.model_fingerprint


def test_captions_come_in_the_order_of_what_was_said_of_the_nearest_training_pictures(
    run: Path, dataset: Path, info: DatasetInfo
) -> None:
    pictures = np.stack([builders.square_picture(c, 1) for c in builders.COLOURS])
    grids = restore_captioner(run)[0].encode(pictures)
    graph, _, _ = restore_graph(run, SamplerConfig(neighbour_weight=10.0))
    vocabulary = read_vocabulary(run / "vocabulary.txt")
    texts = graph.caption_pixels(pictures)["captions"].numpy()
    searched = restore_graph(run, SamplerConfig(neighbour_weight=0.0))[0].caption_pixels(pictures)
    assert texts.tolist() != searched["captions"].numpy().tolist()
    assert [set(row) for row in texts] == [set(row) for row in searched["captions"].numpy()]
    spelt = graph.spell_pixels(pictures)["token_ids"]
    agreement = Consensus(read_neighbours(run))(spelt, grids).numpy()
    # Ranks of the search differ by less than this.
    assert (np.diff(10 * agreement, axis=1) < 1.5).all()
    assert len(read_neighbours(run).features) == info.examples["train"]
    assert len(vocabulary) == info.vocabulary_size


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--encoder", "cnn"], "--encoder: got 'cnn', the dataset holds features of 'MobileNet'"),
        (["--encoder-weights", "none"], "--encoder-weights: got None"),
        (["--encoder-weights", "imagenet"], "--encoder-weights: got 'imagenet'"),
    ],
)
def test_another_encoder_than_the_stored_one_is_refused(
    dataset: Path, tmp_path: Path, option: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert captioner("train", "--dataset", dataset, "--output", tmp_path / "run", *option) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoder", "cnn"], "--encoder: got 'cnn'"),
        (["--encoder", "NoSuchNet"], "--encoder: got 'NoSuchNet'"),
        (["--encoder", ENCODER, "--crops", "0"], "--crops: got 0"),
        (["--encoder", ENCODER, "--encoder-weights", "absent.h5"], "'absent.h5'"),
        (["--crops", "3"], "--crops: got 3 without --encoder"),
    ],
)
def test_senseless_requests_are_refused_before_work_starts(
    captioned: Path,
    tmp_path: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = preprocess_arguments(captioned, tmp_path / "dataset", *options)
    assert pipeline_builders.captioner(*arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()
