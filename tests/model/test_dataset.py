"""Tests of reading a dataset and of what a training step is given."""

from __future__ import annotations

import time
from pathlib import Path

import builders
import numpy as np
import pytest
import tensorflow as tf

from model.dataset import (
    MOST_CAPTIONS,
    fill_up,
    number,
    read_dataset_info,
    read_dataset_vocabulary,
    read_split,
    read_token_ids,
    training_batches,
    whole_shards,
)
from model.errors import CaptionerError
from model.features import encode_example, parse_example
from model.image import encode_png
from model.vocabulary import END, PAD, START

PNG = encode_png(builders.square_picture("red", 0, size_px=8))


def batches(token_ids: list[list[list[int]]], max_length: int = 20, batch_size: int = 8) -> list:
    """Batches of pictures with these captions' token ids, in order."""
    records = [
        encode_example(str(i), PNG, ["x"] * len(ids), ids) for i, ids in enumerate(token_ids)
    ]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
    return list(training_batches(examples, batch_size, max_length, None).as_numpy_iterator())


def test_inputs_start_and_targets_end() -> None:
    ((inputs, targets),) = batches([[[5, 9]]])
    assert inputs["token_ids"].tolist() == [[[START, 5, 9]]]
    assert targets.tolist() == [[[5, 9, END]]]
    assert (START, END) == (1, 2)


def test_pictures_and_ids_have_the_dtypes_of_the_model() -> None:
    ((inputs, targets),) = batches([[[5, 9]], [[4]]])
    assert inputs["images"].shape == (2, 8, 8, 3)
    assert inputs["images"].dtype == np.uint8
    assert inputs["token_ids"].dtype == targets.dtype == np.int32


@pytest.mark.parametrize(
    ("words", "inputs", "targets"),
    [
        ([5, 6], [START, 5, 6], [5, 6, END]),
        ([5, 6, 7], [START, 5, 6], [5, 6, 7]),
        ([5, 6, 7, 8], [START, 5, 6], [5, 6, 7]),
        ([], [START], [END]),
    ],
)
def test_a_long_caption_is_cut_and_has_no_end(words: list, inputs: list, targets: list) -> None:
    ((got, got_targets),) = batches([[words]], max_length=3)
    assert got["token_ids"].tolist() == [[inputs]]
    assert got_targets.tolist() == [[targets]]


def test_captions_and_tokens_are_padded_to_the_most_in_the_batch() -> None:
    ((inputs, targets),) = batches([[[5, 6, 7], [8]], [[9]]])
    assert inputs["token_ids"].tolist() == [
        [[START, 5, 6, 7], [START, 8, PAD, PAD]],
        [[START, 9, PAD, PAD], [PAD] * 4],
    ]
    assert targets.tolist() == [
        [[5, 6, 7, END], [8, END, PAD, PAD]],
        [[9, END, PAD, PAD], [PAD] * 4],
    ]


def test_the_last_batch_may_be_smaller() -> None:
    sizes = [len(targets) for _, targets in batches([[[5]]] * 5, batch_size=2)]
    assert sizes == [2, 2, 1]


def test_a_split_is_read_from_all_its_shards_in_order(squares: Path) -> None:
    info = read_dataset_info(squares)
    examples = list(read_split(squares, "validation", info))
    seeds = [int(e["image_id"].numpy().decode().split("-")[1]) for e in examples]
    assert seeds == [1000, 1002, 1004, 1006, 1001, 1003, 1005, 1007]
    picture = builders.square_picture("red", 1001)
    np.testing.assert_array_equal(examples[4]["image"], picture)


def test_shuffling_depends_on_the_seed_and_loses_nothing(squares: Path) -> None:
    examples = read_split(squares, "train", read_dataset_info(squares))

    def epoch(seed: int | None) -> list[bytes]:
        shuffled = training_batches(examples, 4, 8, seed).as_numpy_iterator()
        return [picture.tobytes() for inputs, _ in shuffled for picture in inputs["images"]]

    plain, once, again, other = (epoch(seed) for seed in (None, 1, 1, 2))
    assert once == again
    assert len({tuple(plain), tuple(once), tuple(other)}) == 3
    assert sorted(plain) == sorted(once) == sorted(other)


def test_shuffled_batches_hold_captions_of_like_length() -> None:
    rng = np.random.default_rng(0)
    token_ids = [[[5] * rng.integers(1, 18)] for _ in range(64)]
    records = [encode_example(str(i), PNG, ["x"], ids) for i, ids in enumerate(token_ids)]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
    shuffled = list(training_batches(examples, 8, 20, shuffle_seed=1).as_numpy_iterator())
    assert len(shuffled) == 8
    lengths = [np.count_nonzero(targets, axis=2).ravel() for _, targets in shuffled]
    # 64 pictures are one window: sorted, eight batches part its lengths among them.
    assert sum(int(np.ptp(batch)) for batch in lengths) <= 17
    assert [batch.max() for batch in lengths] == [targets.shape[2] for _, targets in shuffled]
    assert all(inputs["token_ids"].shape == targets.shape for inputs, targets in shuffled)
    assert sorted(np.concatenate(lengths)) == sorted(len(ids[0]) + 1 for ids in token_ids)
    longest = [int(batch.max()) for batch in lengths]
    assert longest != sorted(longest), "batches come in order of length"


def test_batches_may_be_left_unsorted() -> None:
    token_ids = [[[5] * (1 + i % 16)] for i in range(64)]
    records = [encode_example(str(i), PNG, ["x"], ids) for i, ids in enumerate(token_ids)]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))

    def spread(batches_sorted: int) -> int:
        shuffled = training_batches(examples, 8, 20, 1, batches_sorted).as_numpy_iterator()
        lengths = [np.count_nonzero(targets, axis=2).ravel() for _, targets in shuffled]
        assert sorted(np.concatenate(lengths)) == sorted(len(ids[0]) + 1 for ids in token_ids)
        return sum(int(np.ptp(batch)) for batch in lengths)

    assert spread(1) > 3 * spread(8)


def test_every_epoch_has_other_pictures_in_a_batch() -> None:
    records = [encode_example(str(i), PNG, ["x"], [[5, 6]]) for i in range(32)]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
    shuffled = training_batches(number(examples), 4, 8, shuffle_seed=1, batches_sorted=2)
    first, second = (
        {frozenset(inputs["index"].tolist()) for inputs, _ in shuffled.as_numpy_iterator()}
        for _ in range(2)
    )
    assert len(first) == len(second) == 8
    assert first != second


def test_examples_keep_their_number_through_shuffling(squares: Path) -> None:
    examples = number(read_split(squares, "train", read_dataset_info(squares)))
    pictures = [example["image"].numpy() for example in examples]
    for inputs, _ in training_batches(examples, 5, 8, shuffle_seed=1).as_numpy_iterator():
        for index, picture in zip(inputs["index"], inputs["images"], strict=True):
            np.testing.assert_array_equal(picture, pictures[index])


def test_a_picture_has_the_same_key_in_every_dataset() -> None:
    def keys(names: list[str]) -> dict[str, int]:
        records = [encode_example(name, PNG, ["x"], [[5, 6]]) for name in names]
        examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
        batches = training_batches(number(examples), 4, 8, shuffle_seed=None)
        in_order = np.concatenate([inputs["key"] for inputs, _ in batches.as_numpy_iterator()])
        return dict(zip(names, in_order.tolist(), strict=True))

    names = [f"{number}.jpg" for number in range(400)]
    before = keys(names)
    assert keys(names[300::-3]) == {name: before[name] for name in names[300::-3]}
    # Each of four recognisers leaves out about a quarter of the pictures.
    assert min(np.bincount([key % 4 for key in before.values()])) > 70


def test_token_ids_of_a_split_are_read_in_order(squares: Path) -> None:
    info = read_dataset_info(squares)
    expected = [
        [builders.token_ids_of(c) for c in builders.captions_of(builders.colour_of(seed // 2))]
        for seed in [1000, 1002, 1004, 1006, 1001, 1003, 1005, 1007]
    ]
    assert read_token_ids(squares, "validation", info) == expected
    with_end = [[[*ids, END] for ids in captions] for captions in expected]
    assert read_token_ids(squares, "validation", info, end=True) == with_end


def test_token_ids_of_more_pictures_than_are_read_at_once(
    squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = read_dataset_info(squares)
    expected = read_token_ids(squares, "train", info, end=True)
    monkeypatch.setattr("model.dataset._READ_AT_ONCE", 5)
    assert read_token_ids(squares, "train", info, end=True) == expected
    assert len(expected) == 48


def test_few_pictures_are_held_however_many_cores_there_are() -> None:
    decoded = []

    def decode(picture: np.ndarray) -> np.ndarray:
        decoded.append(int(picture))
        return picture

    def example(picture: tf.Tensor) -> dict:
        grid = tf.ensure_shape(tf.numpy_function(decode, [picture], tf.int64), [])
        token_ids = tf.RaggedTensor.from_row_lengths(tf.constant([5, 6]), [2])
        return {"grid": tf.reshape(tf.cast(grid, tf.float16), [1, 1]), "token_ids": token_ids}

    examples = tf.data.Dataset.range(4000).map(example)
    # In windows of 80 pictures.
    batches = training_batches(examples, 10, 6, 1, batches_sorted=8, shuffle_buffer=1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 16
    iterator = iter(batches.with_options(options))
    next(iterator)
    before, now = -1, 0
    while before < now:
        time.sleep(0.5)
        before, now = now, len(decoded)
    assert now < 8 * 80


def test_the_number_of_steps_is_known(squares: Path) -> None:
    # Keras trains an epoch of unknown length with one step too many of the learning rate schedule.
    examples = read_split(squares, "train", read_dataset_info(squares))
    assert training_batches(examples, 5, 8, shuffle_seed=1).cardinality().numpy() == 10


def test_captions_that_are_padding_in_a_whole_batch_are_cut() -> None:
    # One picture of 64 has many captions: the batch it is in pays for them, and no other.
    token_ids = [[[5] * 3] * (30 if i == 20 else 2) for i in range(64)]
    records = [
        encode_example(str(i), PNG, ["x"] * len(ids), ids) for i, ids in enumerate(token_ids)
    ]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
    shuffled = list(training_batches(examples, 8, 20, shuffle_seed=1).as_numpy_iterator())
    assert sorted(targets.shape[1] for _, targets in shuffled) == [2] * 7 + [30]
    assert all(inputs["token_ids"].shape == targets.shape for inputs, targets in shuffled)
    captions = sum(int((targets != PAD).any(axis=2).sum()) for _, targets in shuffled)
    assert captions == sum(map(len, token_ids))


def test_batches_may_be_of_few_shapes() -> None:
    # Captions of 1 to 17 tokens and an END, of which a picture has 3 or up to 30.
    token_ids = [[[5] * (1 + i % 17)] * (3 if i < 64 else 1 + i % 30) for i in range(128)]
    records = [
        encode_example(str(i), PNG, ["x"] * len(ids), ids) for i, ids in enumerate(token_ids)
    ]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))

    def batches_of(few_shapes: bool) -> list[tuple[dict, np.ndarray]]:
        batches = training_batches(examples, 4, 20, shuffle_seed=1, few_shapes=few_shapes)
        return list(batches.as_numpy_iterator())

    for (inputs, targets), (padded, padded_targets) in zip(
        batches_of(False), batches_of(True), strict=True
    ):
        _, count, length = targets.shape
        for exact, few in ((inputs["token_ids"], padded["token_ids"]), (targets, padded_targets)):
            np.testing.assert_array_equal(few[:, :count, :length], exact)
            assert few.sum() == exact.sum()
            assert few.shape[1] in (count, 16, 24, 32)
            assert few.shape[2] in (8, 16, 20)
            assert max(few.shape[1] - count, few.shape[2] - length) < 8
    shapes, few_shapes = ({y.shape for _, y in batches_of(few)} for few in (False, True))
    assert len(few_shapes) < len(shapes) / 2, (few_shapes, shapes)


def captions_told(shuffle_seed: int | None, epochs: int, captions: int) -> list[list[list[int]]]:
    """The captions, one token each, of two pictures told in some epochs; the second has but two."""
    token_ids = [[[5 + i] for i in range(captions)], [[6], [5]]]
    records = [
        encode_example(str(i), PNG, ["x"] * len(ids), ids) for i, ids in enumerate(token_ids)
    ]
    examples = tf.data.Dataset.from_tensor_slices(records).map(lambda r: parse_example(r, 8))
    batches = training_batches(number(examples), 2, 20, shuffle_seed)
    told = []
    for _ in range(epochs):
        ((inputs, targets),) = batches.as_numpy_iterator()
        assert targets.shape[1] == min(captions, MOST_CAPTIONS)
        first, second = (targets[inputs["index"] == i][0, :, 0].tolist() for i in range(2))
        assert second == [6, 5] + [PAD] * (targets.shape[1] - 2)
        told.append(first)
    return told


def test_of_very_many_captions_some_are_drawn_in_every_epoch_anew() -> None:
    told = captions_told(shuffle_seed=1, epochs=8, captions=48)
    assert all(len(set(epoch)) == MOST_CAPTIONS for epoch in told)
    assert len(set(map(tuple, told))) == 8
    # Each is told in two epochs of three.
    assert set().union(*told) == set(range(5, 53))
    assert captions_told(shuffle_seed=1, epochs=3, captions=48) == told[:3]
    assert captions_told(shuffle_seed=2, epochs=1, captions=48) != told[:1]


def test_validation_measures_the_same_captions_every_time() -> None:
    first, second = captions_told(shuffle_seed=None, epochs=2, captions=200)
    assert first == second
    assert len(set(first)) == MOST_CAPTIONS


@pytest.mark.parametrize("shuffle_seed", [None, 1])
def test_up_to_that_many_captions_are_all_told_in_order(shuffle_seed: int | None) -> None:
    (told,) = captions_told(shuffle_seed, epochs=1, captions=MOST_CAPTIONS)
    assert told == [5 + i for i in range(MOST_CAPTIONS)]


@pytest.mark.parametrize(
    ("count", "multiple", "expected"),
    [(5, 1, 5), (4, 2, 4), (5, 2, 6), (5, 4, 8), (1, 4, 4)],
)
def test_examples_are_filled_up_with_the_first(count: int, multiple: int, expected: int) -> None:
    examples = fill_up(tf.data.Dataset.range(count), multiple)
    assert list(examples.as_numpy_iterator()) == [n % count for n in range(expected)]
    assert examples.cardinality() == expected


@pytest.mark.parametrize("damage", builders.DAMAGES)
def test_a_damaged_shard_is_an_error_that_names_the_dataset(damage: str, tmp_path: Path) -> None:
    info = builders.write_dataset(tmp_path, {"train": 4})
    builders.DAMAGES[damage](next(tmp_path.glob("train-00001*")))
    words = rf"{tmp_path} is damaged: .*; run captioner preprocess again into an empty folder"
    with pytest.raises(CaptionerError, match=words) as error, whole_shards(tmp_path):
        list(read_split(tmp_path, "train", info))
    assert isinstance(error.value.__cause__, tf.errors.OpError)


def test_a_shard_that_goes_while_it_is_read_is_missing(tmp_path: Path) -> None:
    info = builders.write_dataset(tmp_path, {"train": 4})
    examples = read_split(tmp_path, "train", info)
    next(tmp_path.glob("train-00001*")).unlink()
    with pytest.raises(CaptionerError, match="is damaged"), whole_shards(tmp_path):
        list(examples)


@pytest.mark.parametrize("kind", [tf.errors.NotFoundError, tf.errors.FailedPreconditionError])
def test_what_is_no_matter_of_shards_stays_what_it_is(kind: type, tmp_path: Path) -> None:
    with pytest.raises(kind), whole_shards(tmp_path):
        raise kind(None, None, "the logs cannot be written")


def test_a_split_without_examples_names_the_splits_there_are(tmp_path: Path) -> None:
    info = builders.write_dataset(tmp_path, {"train": 4, "test": 0})
    for split in ("test", "validation"):
        with pytest.raises(CaptionerError, match=rf"no {split} split, it has \{{'train': 4\}}"):
            read_split(tmp_path, split, info)


def test_pictures_of_another_decoder_version_are_refused(tmp_path: Path) -> None:
    builders.write_dataset(tmp_path, {"train": 1}, decoder_version="pillow-0")
    with pytest.raises(CaptionerError, match=r"'pillow-0'.*preprocess, train and export again"):
        read_dataset_info(tmp_path)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"is no dataset: it has no dataset\.json"):
        read_dataset_info(tmp_path)


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    info = builders.write_dataset(tmp_path, {"train": 1}, vocabulary_size=99)
    with pytest.raises(CaptionerError, match=r"got 13 tokens, expected 99 as in dataset\.json"):
        read_dataset_vocabulary(tmp_path, info)


def test_the_vocabulary_of_a_dataset_is_read(squares: Path) -> None:
    vocabulary = read_dataset_vocabulary(squares, read_dataset_info(squares))
    assert vocabulary.tokens == builders.VOCABULARY
