"""An epoch on stored features against an epoch with the frozen encoder inside.

    python -m benchmarks.training --dataset work/dataset

The dataset must hold features (captioner preprocess --encoder …). Both contenders train the same
model on the same pictures for `--steps` steps, in turn; the seconds of an epoch are extrapolated.
"""

import argparse
import dataclasses
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from benchmarks.measure import alternate
from model.captioner import Captioner, build_captioner
from model.config import ENCODER_WEIGHTS_FILE, DatasetInfo, ModelConfig, TrainConfig
from model.dataset import read_dataset_info, read_split, training_batches
from model.losses import MaskedCrossentropy


def build(dataset: Path, info: DatasetInfo, units: int) -> Captioner:
    assert info.features, f"{dataset} holds no features"
    model = dataclasses.replace(
        ModelConfig(encoder=info.features.encoder, units=units),
        encoder_weights=str(dataset / ENCODER_WEIGHTS_FILE),
    )
    captioner = build_captioner(model, info.image, info.vocabulary_size)
    captioner.compile(keras.optimizers.Adam(1e-4), MaskedCrossentropy(), jit_compile=False)
    return captioner


def batches(dataset: Path, info: DatasetInfo, train: TrainConfig, cached: bool) -> Iterator[Any]:
    """Endless batches, so that no round pays for the start of a pipeline."""
    examples = read_split(dataset, "train", info, cached)
    # A small buffer: both would spend the same time on filling a large one.
    data = training_batches(examples, train.batch_size, train.max_length, 1, shuffle_buffer=64)
    return iter(data.repeat())


def train_steps(captioner: Captioner, data: Iterator[Any], steps: int) -> None:
    for inputs, targets in itertools.islice(data, steps):
        captioner.train_on_batch(inputs, targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, default=ModelConfig().units)
    options = parser.parse_args()
    info, train = read_dataset_info(options.dataset), TrainConfig()
    contenders = {}
    for name, cached in (("encoder inside", False), ("stored features", True)):
        captioner = build(options.dataset, info, options.units)
        data = batches(options.dataset, info, train, cached)
        train_steps(captioner, data, 2)  # traces the graph
        contenders[name] = lambda c=captioner, d=data: train_steps(c, d, options.steps)
    seconds = alternate(contenders, options.rounds)
    steps = math.ceil(info.examples["train"] / train.batch_size)
    print(f"{info.features}, {options.units} units, medians of {options.rounds}")
    for name, value in seconds.items():
        epoch = value / options.steps * steps
        ratio = seconds["encoder inside"] / value
        print(f"  {name:<20} {epoch:8.1f} s an epoch of {steps} steps  {ratio:5.2f} x")


if __name__ == "__main__":
    main()
