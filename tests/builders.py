"""Small made-up things that tests share: pictures, a dataset folder, the options of a tiny run."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.artifacts import DatasetInfo
from model.bundle_folder import ImageCaptions
from model.config import ImageConfig
from model.config_json import to_json
from model.image import DECODER_VERSION, encode_png
from model.vocabulary import SPECIAL_TOKENS

SIZE_PX = 32
COLOURS = {
    "red": (210, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 70, 210),
    "yellow": (230, 210, 50),
}
VOCABULARY = (*SPECIAL_TOKENS, "a", "square", "on", "grey", "dark", *COLOURS)
SPLITS = {"train": 48, "validation": 8, "test": 8}

# Learns the colours in seconds on one core.
TINY_RUN = {
    "encoder": "cnn",
    "encoder_weights": "none",
    "embedding_dim": 32,
    "units": 64,
    "hidden_dim": 64,
    "attention_units": 32,
    "dropout": 0.0,
    "epochs": 12,
    "self_critical_epochs": 0,
    "batch_size": 6,
    "learning_rate": 1e-2,
    "patience": 12,
    "max_length": 8,
    "decoder": "gru",
    "concepts": 0,
    "label_smoothing": 0.0,
    "averaging": 0.0,
}


def colour_of(index: int) -> str:
    """The colour of the square in picture `index` of a split."""
    return list(COLOURS)[index % len(COLOURS)]


def square_picture(colour: str, seed: int, size_px: int = SIZE_PX) -> np.ndarray:
    """A square of a colour somewhere on noisy grey, `uint8[size_px, size_px, 3]`."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(128, 6, (size_px, size_px, 3))
    side = size_px // 2
    top, left = rng.integers(0, size_px - side, 2)
    picture[top : top + side, left : left + side] = rng.normal(COLOURS[colour], 6, (side, side, 3))
    return picture.clip(0, 255).astype(np.uint8)


def captions_of(colour: str) -> list[str]:
    """Two captions of unequal length; one is the beginning of the other, so either may be said."""
    return [f"a {colour} square on grey", f"A {colour} square on grey, a dark grey."]


def token_ids_of(caption: str) -> list[int]:
    """The ids of a caption's words in `VOCABULARY`."""
    words = caption.lower().replace(",", "").replace(".", "").split()
    return [VOCABULARY.index(word) for word in words]


def write_dataset(folder: Path, splits: Mapping[str, int] = SPLITS, **changes: Any) -> DatasetInfo:
    """Writes a dataset of coloured squares, as preprocessing would; returns its `dataset.json`.

    Args:
        folder: made if need be.
        splits: number of pictures of each split.
        changes: fields of `DatasetInfo` to write otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, count) in enumerate(splits.items()):
        _write_split(folder, split, range(1000 * number, 1000 * number + count))
    (folder / "vocabulary.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    pictures = splits.get("train", 0)
    counted = [
        f"{word}\t{len(VOCABULARY) - i}\t{pictures // (4 if word in COLOURS else 1)}\n"
        for i, word in enumerate(VOCABULARY)
    ]
    (folder / "vocabulary_frequencies.tsv").write_text("".join(counted), encoding="utf-8")
    fields = {
        "fingerprint": "squares",
        "request": "request",
        "decoder_version": DECODER_VERSION,
        "image": ImageConfig(SIZE_PX),
        "vocabulary_size": len(VOCABULARY),
        "examples": dict(splits),
        "captions": {split: 2 * count for split, count in splits.items()},
        "rejects": {},
        "inputs": sum(splits.values()),
    }
    info = DatasetInfo(**{**fields, **changes})
    (folder / "dataset.json").write_text(to_json(info), encoding="utf-8")
    return info


def _write_split(folder: Path, split: str, seeds: Sequence[int]) -> None:
    """Two shards, so that readers must look at more than one."""
    # Imported here: TensorFlow takes seconds, and most users of this module do without.
    import tensorflow as tf

    from model.features import encode_example

    for shard in range(2):
        path = folder / f"{split}-{shard:05d}-of-00002.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for seed in seeds[shard::2]:
                colour = colour_of(seed // 2)
                captions = captions_of(colour)
                ids = [token_ids_of(caption) for caption in captions]
                png = encode_png(square_picture(colour, seed))
                writer.write(encode_example(f"{split}-{seed}-{colour}", png, captions, ids))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)


# What happens to a shard on a full or failing disk, in a copy, or by hand.
DAMAGES = {"cut short": _cut, "a byte flipped": _flip, "missing": Path.unlink}


def train_arguments(dataset: Path, run: Path, **changes: Any) -> list[str]:
    """Arguments of ``captioner train`` for a tiny run, `TINY_RUN` with `changes`."""
    options = {"dataset": dataset, "output": run, **TINY_RUN, **changes}
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def train(dataset: Path, run: Path, **changes: Any) -> int:
    """Runs ``captioner train`` in this process; returns its exit status."""
    from model import train as trainer
    from model.arguments import train_parser
    from model.command import run_command

    return run_command(train_parser(), trainer.run, train_arguments(dataset, run, **changes))


def untrained_run(dataset: Path, run: Path, **changes: Any) -> None:
    """Writes a run of one epoch that taught it nothing, in a tenth of the time of an epoch."""
    import keras

    from model.arguments import train_parser
    from model.checkpoints import Checkpoints, Progress
    from model.dataset import read_dataset_info, read_dataset_vocabulary
    from model.run_config import configure
    from model.run_folder import make_captioner, open_run
    from model.training import CrossEntropyTraining

    info = read_dataset_info(dataset)
    options = train_parser().parse_args(train_arguments(dataset, run, **changes))
    config = configure(options, dataset, info)
    keras.utils.set_random_seed(config.train.seed)
    captioner = make_captioner(config, read_dataset_vocabulary(dataset, info), weights=None)
    with open_run(run, config, (dataset / "vocabulary.txt").read_bytes()):
        training = CrossEntropyTraining(captioner, config.train)
        Checkpoints(run).save(training, Progress().after(cider=0.0, loss=1.0))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest-xdist's workers makes that needs it; the others wait."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, made = root / name / "alone", root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.parent.mkdir()
            make(folder)
            made.touch()
    return folder


def picture_file(picture: Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of `picture` saved as a file of `format`."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


PICTURES = np.stack([square_picture(colour_of(i), seed=7000 + i) for i in range(6)])


def heed_signals() -> None:
    """For a process that starts: behind ``nohup`` or a shell's ``&`` it would ignore some."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def calls_of(function: Callable[[], object]) -> int:
    """How many functions are called while `function` runs: its cost, however busy the machine."""
    count = 0

    def profile(_frame: Any, event: str, _of: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def assert_alike(results: list[ImageCaptions], expected: list[ImageCaptions], atol: float) -> None:
    """Checks that two models say the same of each picture, with scores that differ by rounding."""

    def texts(said: list[ImageCaptions]) -> list[list[str]]:
        return [[caption.text for caption in result.captions] for result in said]

    assert texts(results) == texts(expected)
    for result, other in zip(results, expected, strict=True):
        scores = [caption.score for caption in result.captions]
        np.testing.assert_allclose(scores, [c.score for c in other.captions], atol=atol)


def strided_network(size_px: int) -> Any:
    """A network of the layers of a MobileNetV2, `float[B, H, W, 3]` to `[B, H / 8, W / 8, 24]`.

    A quarter of the sides it has after its first depthwise layer, and there its narrow layer, of 8
    channels, comes before a block of layers that adds it again.
    """
    import keras
    from keras import layers

    def normed(tensor: Any, layer: Any, active: bool = True) -> Any:
        tensor = layers.BatchNormalization()(layer(tensor))
        return layers.ReLU(6.0)(tensor) if active else tensor

    keras.utils.set_random_seed(1)
    pictures = keras.Input((size_px, size_px, 3))
    grid = normed(pictures, layers.Conv2D(16, 3, 2, padding="same"))
    grid = normed(grid, layers.DepthwiseConv2D(3, 2, padding="same"))
    narrow = normed(grid, layers.Conv2D(8, 1), active=False)
    grid = normed(narrow, layers.Conv2D(32, 1))
    grid = normed(grid, layers.DepthwiseConv2D(3, padding="same"))
    grid = layers.Add()([narrow, normed(grid, layers.Conv2D(8, 1), active=False)])
    grid = normed(grid, layers.Conv2D(24, 3, 2, padding="same"))
    return keras.Model(pictures, grid)
