"""The features of one TFRecord Example: what crosses from preprocessing to training.

An Example of a picture with two captions::

    {
        "image_id": b"1000268201_693b08cb0e.jpg",
        "image_png": b"\\x89PNG...",                    # uint8[H, W, 3], lossless
        "captions": [b"A dog runs .", b"Dog in snow"],  # as given
        "token_ids": [5, 17, 9, 17, 8, 31],             # the captions' ids, end to end
        "caption_lengths": [3, 3],                      # tokens of each caption
        "grids": [b"..."],                              # float16[P, C], one a view; or none
    }

Token ids hold neither START nor END: `model.dataset` adds them where it shifts inputs to targets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from model.artifacts import FeatureConfig


def encode_example(
    image_id: str,
    image_png: bytes,
    captions: Sequence[str],
    token_ids: Sequence[Sequence[int]],
    grids: np.ndarray | None = None,
) -> bytes:
    """One picture and its captions as a serialised `tf.train.Example`.

    Args:
        grids: features of the picture's views, `float[N, P, C]`, stored as float16.

    Raises:
        ValueError: if there are not as many captions as lists of token ids.
    """
    if len(captions) != len(token_ids):
        raise ValueError(f"{image_id}: got {len(captions)} captions, {len(token_ids)} id lists")
    feature = {
        "image_id": _bytes([image_id.encode()]),
        "image_png": _bytes([image_png]),
        "captions": _bytes([caption.encode() for caption in captions]),
        "token_ids": _int64([token for ids in token_ids for token in ids]),
        "caption_lengths": _int64([len(ids) for ids in token_ids]),
    }
    if grids is not None:
        feature["grids"] = _bytes([grid.astype("<f2").tobytes() for grid in grids])
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # Else the order of the features, and with it the shard's digest, is another in every process.
    return example.SerializeToString(deterministic=True)


def _bytes(values: Sequence[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _int64(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _spec() -> dict[str, Any]:
    return {
        "image_id": tf.io.FixedLenFeature([], tf.string),
        "captions": tf.io.RaggedFeature(tf.string),
        "token_ids": tf.io.RaggedFeature(
            tf.int64,
            partitions=[tf.io.RaggedFeature.RowLengths("caption_lengths")],
            row_splits_dtype=tf.int64,
        ),
    }


def parse_token_ids(serialised: tf.Tensor) -> tf.RaggedTensor:
    """The token ids alone of Examples `string[B]`, ragged `int64[B, (N), (tokens)]`: no pixel."""
    return tf.io.parse_example(serialised, _spec())["token_ids"]


def parse_example(serialised: tf.Tensor, image_size_px: int) -> dict[str, Any]:
    """A serialised Example as tensors.

    Returns:
        image_id `string[]`, image `uint8[H, W, 3]`, captions `string[N]`, and token_ids as a
        ragged `int64[N, (tokens)]`.
    """
    spec = {**_spec(), "image_png": tf.io.FixedLenFeature([], tf.string)}
    parsed = tf.io.parse_single_example(serialised, spec)
    image = tf.io.decode_png(parsed.pop("image_png"), channels=3)
    parsed["image"] = tf.ensure_shape(image, [image_size_px, image_size_px, 3])
    return parsed


def parse_cached_example(
    serialised: tf.Tensor, features: FeatureConfig, number: tf.Tensor
) -> dict[str, Any]:
    """A serialised Example with the features of one view in place of its pixels.

    Args:
        number: `int64[]`, drawn anew each time, which chooses the view, so that augmentation
            survives caching.

    Returns:
        as `parse_example`, with grid `float16[P, C]` in place of the image.
    """
    parsed = tf.io.parse_single_example(
        serialised, {**_spec(), "grids": tf.io.RaggedFeature(tf.string)}
    )
    grids = parsed.pop("grids")
    view = number % tf.size(grids, out_type=tf.int64)
    grid = tf.io.decode_raw(grids[view], tf.float16)
    parsed["grid"] = tf.reshape(grid, [features.patches, features.channels])
    return parsed
