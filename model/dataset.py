"""A preprocessed dataset as tf.data: sharded TFRecords to batches."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from model.artifacts import DATASET_FILE, VOCABULARY_FILE, DatasetInfo
from model.augmentation import augment
from model.config import NO_AUGMENTATION
from model.config_json import read_json
from model.errors import CaptionerError
from model.features import parse_cached_example, parse_example, parse_token_ids
from model.image import check_decoder_version
from model.vocabulary import END, PAD, START, Vocabulary, read_vocabulary

# How TensorFlow's messages name a shard, and a count of records that is not the one known.
_OF_SHARDS = (".tfrecord", "Input dataset was expected to contain")
# Of a picture's captions, in a batch. Every picture of a batch pays for the most: the hundreds that
# a catalogue has of "no image available" would take tens of gigabytes.
MOST_CAPTIONS = 32
_KEYS = 2**31 - 1
_SHAPE_STEP = 8
# Pictures whose captions alone are read.
_READ_AT_ONCE = 64


@contextlib.contextmanager
def whole_shards(folder: Path) -> Iterator[None]:
    """Within, what TensorFlow says of a damaged shard of the dataset `folder` names the folder.

    Raises:
        CaptionerError: if a shard that was read is cut short, changed or missing.
    """
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        tf.errors.FailedPreconditionError,
    ) as error:
        lost = isinstance(error, tf.errors.DataLossError)
        if not lost and not any(sign in error.message for sign in _OF_SHARDS):
            raise
        raise CaptionerError(
            f"the dataset {folder} is damaged: a shard is cut short, changed or missing; run "
            "captioner preprocess again into an empty folder"
        ) from error


def read_dataset_info(folder: Path) -> DatasetInfo:
    """What `dataset.json` says.

    Raises:
        CaptionerError: if `folder` holds no dataset, or one of another decoder version.
    """
    info = read_json(DatasetInfo, folder / DATASET_FILE, "dataset")
    check_decoder_version(info.decoder_version, folder)
    return info


def read_dataset_vocabulary(folder: Path, info: DatasetInfo) -> Vocabulary:
    """The dataset's vocabulary.

    Raises:
        CaptionerError: if it has not as many tokens as `dataset.json` says.
    """
    vocabulary = read_vocabulary(folder / VOCABULARY_FILE)
    if len(vocabulary) != info.vocabulary_size:
        raise CaptionerError(
            f"{folder / VOCABULARY_FILE}: got {len(vocabulary)} tokens, expected "
            f"{info.vocabulary_size} as in {DATASET_FILE}; run captioner preprocess again"
        )
    return vocabulary


def _read_records(folder: Path, split: str, info: DatasetInfo) -> tf.data.Dataset:
    """The serialised Examples of `split` in the order of the shards.

    Raises:
        CaptionerError: if the split has no examples.
    """
    if not info.examples.get(split):
        present = {name: count for name, count in info.examples.items() if count}
        raise CaptionerError(
            f"{folder} has no {split} split, it has {present or 'no examples'}; give "
            f"captioner preprocess a list or a ratio for it"
        )
    shards = sorted(str(path) for path in folder.glob(f"{split}-*.tfrecord"))
    # A known count makes a missing shard an error, in evaluation too. Keras takes data of unknown
    # length to be a batch longer than it is: the optimiser would count a step too many every epoch.
    return tf.data.TFRecordDataset(shards).apply(
        tf.data.experimental.assert_cardinality(info.examples[split])
    )


def read_split(
    folder: Path,
    split: str,
    info: DatasetInfo,
    cached: bool = False,
    seed: int = 0,
    augmentation: str = NO_AUGMENTATION,
) -> tf.data.Dataset:
    """The Examples of `split` in the order of the shards, parsed by `model.features`.

    Args:
        cached: gives the stored features in place of the pixels.
        seed: of the views drawn of pictures that have several.
        augmentation: of the pixels, see `model.augmentation`; stored features have their own.

    Raises:
        CaptionerError: if the split has no examples.
    """
    records = _read_records(folder, split, info)
    size_px, features = info.image.image_size_px, info.features

    stored = features if cached else None
    if stored is None and augmentation == NO_AUGMENTATION:
        return records.map(lambda record: parse_example(record, size_px), tf.data.AUTOTUNE)
    # Not a random op: in parallel calls its numbers would fall to other pictures in every run.
    numbers = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    numbered = tf.data.Dataset.zip(records, numbers)
    if stored is not None:
        return numbered.map(
            lambda record, number: parse_cached_example(record, stored, number), tf.data.AUTOTUNE
        )

    def parse_augmented(record: tf.Tensor, number: tf.Tensor) -> dict:
        example = parse_example(record, size_px)
        return {**example, "image": augment(example["image"], number, augmentation)}

    return numbered.map(parse_augmented, tf.data.AUTOTUNE)


def read_first_views(folder: Path, info: DatasetInfo) -> tf.data.Dataset:
    """The Examples of the train split with the stored features of each picture's first view.

    That is the picture as it is, neither mirrored nor shifted.
    """
    assert info.features, "a dataset without stored features has no views"
    features, first = info.features, tf.constant(0, tf.int64)
    return _read_records(folder, "train", info).map(
        lambda record: parse_cached_example(record, features, first), tf.data.AUTOTUNE
    )


def _to_inputs_and_targets(example: dict, max_length: int) -> tuple[dict, tf.Tensor]:
    """One Example to teacher-forced inputs and targets, one row a caption.

    Tokens `[5, 9]` become the input `[START, 5, 9]` and the target `[5, 9, END]`; a caption of more
    than `max_length - 1` tokens is cut there, and has no END to learn from.
    """
    tokens = tf.cast(example["token_ids"], tf.int32)
    count = tokens.nrows()
    starts = tf.fill([count, 1], START)
    inputs = tf.concat([starts, tokens], axis=1)[:, :max_length]
    targets = tf.concat([tokens, tf.fill([count, 1], END)], axis=1)[:, :max_length]
    seen = {"grid": example["grid"]} if "grid" in example else {"images": example["image"]}
    seen |= {name: example[name] for name in ("index", "key") if name in example}
    return {**seen, "token_ids": inputs.to_tensor(PAD)}, targets.to_tensor(PAD)


def number(examples: tf.data.Dataset) -> tf.data.Dataset:
    """The Examples with their places in the split, ``"index"``, and keys, ``"key"``: `int64[]`.

    A key is of the picture's name, and so the same in every dataset that has the picture.
    """

    def numbered(index: tf.Tensor, example: dict) -> dict:
        key = tf.strings.to_hash_bucket_fast(example["image_id"], _KEYS)
        return {**example, "index": index, "key": key}

    return examples.enumerate().map(numbered)


def fill_up(examples: tf.data.Dataset, multiple: int) -> tf.data.Dataset:
    """The Examples, then the first of them again up to a multiple of `multiple`.

    Of a last batch that they cannot share evenly some replica would get nothing to learn from.
    """
    count = int(examples.cardinality())
    if count % multiple == 0:
        return examples
    return examples.repeat().take(count + -count % multiple)


def read_token_ids(
    folder: Path, split: str, info: DatasetInfo, end: bool = False
) -> list[list[list[int]]]:
    """The token ids of every picture's captions, in the order of the split.

    Args:
        end: whether each has its END.

    Raises:
        CaptionerError: if the split has no examples.
    """
    tail = [END] if end else []
    records = _read_records(folder, split, info)
    pictures = []
    # A batch at a time, and by its flat values: each picture by itself, as a ragged tensor, takes
    # ten times as long, minutes of a million.
    for batch in records.batch(_READ_AT_ONCE).map(parse_token_ids, tf.data.AUTOTUNE):
        tokens = iter(batch.flat_values.numpy().tolist())
        lengths = iter(batch.values.row_lengths().numpy().tolist())
        pictures += [
            [[*itertools.islice(tokens, length), *tail] for length in itertools.islice(lengths, n)]
            for n in batch.row_lengths().numpy()
        ]
    return pictures


def _draw_captions(example: dict, number: tf.Tensor) -> dict:
    """The Example with all its captions, or with `MOST_CAPTIONS` that `number int64[]` chooses."""
    captions = example["token_ids"]
    keys = tf.random.stateless_uniform([captions.nrows()], [number, 0])
    places = tf.sort(tf.argsort(keys)[:MOST_CAPTIONS])
    return {**example, "token_ids": tf.gather(captions, places)}


def training_batches(
    examples: tf.data.Dataset,
    batch_size: int,
    max_length: int,
    shuffle_seed: int | None,
    batches_sorted: int = 16,
    shuffle_buffer: int = 2048,
    few_shapes: bool = False,
) -> tf.data.Dataset:
    """Batches `({"images": uint8[B, H, W, 3], "token_ids": int32[B, N, L]}, int32[B, N, L])`.

    N and L are the most captions and tokens in the batch; the rest is padding. Of a picture with
    more captions than `MOST_CAPTIONS` so many are drawn, by the seed in each epoch anew, so that in
    time all are told; unshuffled batches have the same ones every time. Examples with
    stored features give `"grid": float16[B, P, C]` in place of the images. Shuffled batches are
    cut from pictures of `batches_sorted` batches that are sorted by their longest caption; with
    `few_shapes`, as XLA compiles a step anew for each, L and a large N are multiples of 8.
    """
    if shuffle_seed is None:
        numbers = tf.data.Dataset.counter()
    else:
        numbers = tf.data.Dataset.random(seed=shuffle_seed, rerandomize_each_iteration=True)
    pairs = tf.data.Dataset.zip(examples, numbers).map(
        lambda example, number: _to_inputs_and_targets(_draw_captions(example, number), max_length),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    if shuffle_seed is None:
        return pairs.padded_batch(batch_size).prefetch(2)
    # Parsed but undecoded records would be smaller; pictures at 224 px cost 150 kB each.
    pairs = pairs.shuffle(shuffle_buffer, seed=shuffle_seed)
    window = batch_size * batches_sorted
    # PAD is 0, and pictures and grids all have one size.
    # One at a time beside those in use: left to itself, tf.data would hold one for each core.
    windows = pairs.padded_batch(window).map(_sort_by_length, num_parallel_calls=1)
    batches = windows.unbatch().batch(batch_size).map(_trim)
    if few_shapes:
        batches = batches.map(lambda inputs, targets: _round_up(inputs, targets, max_length))
    count = -(-int(examples.cardinality()) // batch_size)
    counted = batches.apply(tf.data.experimental.assert_cardinality(count))
    return counted.shuffle(batches_sorted, seed=shuffle_seed).prefetch(2)


def _sort_by_length(inputs: dict, targets: tf.Tensor) -> tuple[dict, tf.Tensor]:
    """Pictures in order of their longest caption, so that batches of them have little padding."""
    longest = tf.reduce_max(tf.math.count_nonzero(targets, axis=2), axis=1)
    order = tf.argsort(longest, stable=True)
    return {name: tf.gather(value, order) for name, value in inputs.items()}, tf.gather(
        targets, order
    )


def _trim(inputs: dict, targets: tf.Tensor) -> tuple[dict, tf.Tensor]:
    """A batch without the captions, and the tokens, that are padding in all its pictures."""
    lengths = tf.math.count_nonzero(targets, axis=2, dtype=tf.int32)
    # A caption has a token at least, its END.
    count = tf.reduce_max(tf.math.count_nonzero(lengths, axis=1, dtype=tf.int32))
    length = tf.reduce_max(lengths)
    tokens = inputs["token_ids"][:, :count, :length]
    return {**inputs, "token_ids": tokens}, targets[:, :count, :length]


def _round_up(inputs: dict, targets: tf.Tensor, max_length: int) -> tuple[dict, tf.Tensor]:
    """A batch padded to one of a few shapes: of up to eight captions each number is one."""
    count, length = tf.shape(targets)[1], tf.shape(targets)[2]
    more_captions = tf.where(count <= _SHAPE_STEP, 0, -count % _SHAPE_STEP)
    more_tokens = tf.minimum(-length % _SHAPE_STEP, max_length - length)
    paddings = [[0, 0], [0, more_captions], [0, more_tokens]]
    tokens = tf.pad(inputs["token_ids"], paddings, constant_values=PAD)
    return {**inputs, "token_ids": tokens}, tf.pad(targets, paddings, constant_values=PAD)
