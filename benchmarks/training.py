"""Training: stored features against the encoder inside, the stock arrangement, other precisions.

    python -m benchmarks.training features --dataset work/dataset
    python -m benchmarks.training stock --dataset work/dataset
    python -m benchmarks.training precision --dataset work/dataset
    python -m benchmarks.training features --dataset work/dataset --as-if ResNet101

The dataset must hold features (captioner preprocess --encoder …). Contenders train in turn, for
`--steps` steps of the same batches; the seconds of an epoch are extrapolated. With ``--as-if``, the
encoder inside is another network with random weights, and the features are made up in its shape:
speed does not depend on the values.
"""

import argparse
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate
from benchmarks.stock import build_stock, one_row_a_caption
from model.artifacts import ENCODER_WEIGHTS_FILE, DatasetInfo
from model.captioner import Captioner, build_captioner
from model.config import PRECISIONS, ModelConfig, TrainConfig
from model.dataset import number, read_dataset_info, read_split, training_batches
from model.optimiser import make_optimiser
from model.training import CrossEntropyTraining


def build(dataset: Path, info: DatasetInfo, model: ModelConfig, network: str) -> Captioner:
    """An untrained captioner, its recogniser left out, as in the stock arrangement."""
    assert info.features, f"{dataset} holds no features"
    same = network == info.features.encoder
    weights = str(dataset / ENCODER_WEIGHTS_FILE) if same else None
    model = dataclasses.replace(model, encoder=network, encoder_weights=weights)
    return build_captioner(model, info.image, info.vocabulary_size)


def train_function(captioner: Captioner, train: TrainConfig) -> CrossEntropyTraining:
    training = CrossEntropyTraining(captioner, train)
    optimiser = make_optimiser(train, train.learning_rate, 10_000, [])
    training.compile(optimizer=optimiser, jit_compile=False)
    return training


def batches(dataset: Path, info: DatasetInfo, train: TrainConfig, cached: bool) -> tf.data.Dataset:
    """Endless batches, so that no round pays for the start of a pipeline."""
    examples = number(read_split(dataset, "train", info, cached))
    # A small buffer: both would spend the same time on filling a large one.
    data = training_batches(examples, train.batch_size, train.max_length, 1, shuffle_buffer=64)
    return data.repeat()


def with_grids(data: tf.data.Dataset, shape: tuple[int, int]) -> tf.data.Dataset:
    """The batches with made-up features of `shape` in place of theirs."""
    rng = np.random.default_rng(0)
    one = tf.constant(rng.normal(size=(1, *shape)).astype(np.float16))

    def replace(inputs: dict, targets: tf.Tensor) -> tuple[dict, tf.Tensor]:
        grid = tf.repeat(one, tf.shape(targets)[0], axis=0)
        kept = {name: inputs[name] for name in ("key", "token_ids")}
        return {"grid": grid, **kept}, targets

    return data.map(replace)


def steps_of(training: Any, data: Iterator[Any], steps: int) -> Callable[[], None]:
    """`steps` steps of training, when called."""

    def train() -> None:
        for inputs, targets in itertools.islice(data, steps):
            training.train_on_batch(inputs, targets)

    train()  # traces the graph for the lengths that come
    return train


def measure_features(options: argparse.Namespace, info: DatasetInfo, train: TrainConfig) -> None:
    model = ModelConfig(decoder=options.decoder, concepts=0)
    assert info.features
    network = options.as_if or info.features.encoder
    contenders = {}
    for name, cached in (("encoder inside", False), ("stored features", True)):
        captioner = build(options.dataset, info, model, network)
        data = batches(options.dataset, info, train, cached)
        if cached and options.as_if:
            encoder = captioner.image_encoder
            data = with_grids(data, (encoder.patches, encoder.channels))
        contenders[name] = steps_of(train_function(captioner, train), iter(data), options.steps)
    seconds = alternate(contenders, options.rounds)
    steps = math.ceil(info.examples["train"] / train.batch_size)
    print(f"{network}, {options.decoder}, medians of {options.rounds}")
    for name, value in seconds.items():
        epoch = value / options.steps * steps
        ratio = seconds["encoder inside"] / value
        print(f"  {name:<20} {epoch:8.1f} s an epoch of {steps} steps  {ratio:5.2f} x")


def measure_stock(options: argparse.Namespace, info: DatasetInfo, train: TrainConfig) -> None:
    assert info.features
    model = ModelConfig(concepts=0)
    captioner = build(options.dataset, info, model, info.features.encoder)
    ours = batches(options.dataset, info, train, cached=True)
    stock = one_row_a_caption(ours, train.max_length).take(options.steps)
    plain = build_stock(info, model, train.max_length)
    training = train_function(captioner, train)
    taken = ours.take(options.steps)
    contenders = {
        "stock": lambda: plain.fit(stock, verbose=0, shuffle=False),
        "captioner": lambda: training.fit(taken, verbose=0, shuffle=False),
    }
    for contender in contenders.values():
        contender()
    seconds = alternate(contenders, options.rounds)
    captions = sum(int(np.any(t, axis=2).sum()) for _, t in taken.as_numpy_iterator())
    print(f"Transformer, {captions} captions, medians of {options.rounds}")
    for name, value in seconds.items():
        ratio = seconds["stock"] / value
        print(f"  {name:<20} {captions / value:8.1f} captions/s  {ratio:5.2f} x")


def measure_precision(options: argparse.Namespace, info: DatasetInfo, train: TrainConfig) -> None:
    assert info.features
    model, contenders = ModelConfig(decoder=options.decoder, concepts=0), {}
    for precision in PRECISIONS:
        keras.mixed_precision.set_global_policy(precision)  # of layers that are made from here on
        captioner = build(options.dataset, info, model, info.features.encoder)
        training = train_function(captioner, dataclasses.replace(train, precision=precision))
        data = iter(batches(options.dataset, info, train, cached=True))
        contenders[precision] = steps_of(training, data, options.steps)
    seconds = alternate(contenders, options.rounds)
    print(f"{options.decoder}, a step, medians of {options.rounds}")
    for name, value in seconds.items():
        ratio = seconds["float32"] / value
        print(f"  {name:<20} {1000 * value / options.steps:8.0f} ms  {ratio:5.2f} x")


MEASURES = {
    "features": measure_features,
    "stock": measure_stock,
    "precision": measure_precision,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=tuple(MEASURES))
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decoder", default=ModelConfig().decoder)
    parser.add_argument("--as-if", help="another network of keras.applications")
    options = parser.parse_args()
    info, train = read_dataset_info(options.dataset), TrainConfig()
    MEASURES[options.what](options, info, train)


if __name__ == "__main__":
    main()
