"""Tests of the Example that crosses from preprocessing to training."""

from __future__ import annotations

import builders
import numpy as np
import pytest
import tensorflow as tf

from model.features import encode_example, parse_example, parse_token_ids
from model.image import encode_png

PICTURE = builders.square_picture("red", seed=5)
PNG = encode_png(PICTURE)


def test_an_example_comes_back_as_it_went_in() -> None:
    captions = ["A red square.", "", "Ein rotes K\u00e4stchen"]
    token_ids = [[5, 17, 9], [], [8]]
    parsed = parse_example(encode_example("a/b.jpg", PNG, captions, token_ids), builders.SIZE_PX)
    assert parsed["image_id"].numpy() == b"a/b.jpg"
    np.testing.assert_array_equal(parsed["image"], PICTURE)
    assert parsed["image"].dtype == tf.uint8
    assert [text.decode() for text in parsed["captions"].numpy()] == captions
    assert parsed["token_ids"].to_list() == token_ids


def test_an_example_without_captions_is_parsed() -> None:
    parsed = parse_example(encode_example("x", PNG, [], []), builders.SIZE_PX)
    assert parsed["captions"].shape == (0,)
    assert parsed["token_ids"].to_list() == []


def test_token_ids_alone_are_read_without_the_pixels() -> None:
    token_ids = [[5, 17, 9], [], [8]]
    serialised = encode_example("x", b"no picture", ["a", "", "b"], token_ids)
    assert parse_token_ids([serialised, serialised]).to_list() == [token_ids, token_ids]


def test_shapes_are_known_to_a_pipeline() -> None:
    records = tf.data.Dataset.from_tensors(encode_example("x", PNG, ["a"], [[4]]))
    spec = records.map(lambda r: parse_example(r, builders.SIZE_PX)).element_spec
    assert spec["image"] == tf.TensorSpec((builders.SIZE_PX, builders.SIZE_PX, 3), tf.uint8)
    assert spec["token_ids"].ragged_rank == 1


def test_as_many_id_lists_as_captions_are_demanded() -> None:
    with pytest.raises(ValueError, match="x: got 2 captions, 1 id lists"):
        encode_example("x", PNG, ["a", "b"], [[4]])


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        parse_example(encode_example("x", PNG, ["a"], [[4]]), builders.SIZE_PX + 1)
