"""Augmentation of pixels: a training picture looks a little different in every epoch."""

from typing import Any

import tensorflow as tf

from model.config import CROP_FLIP
from model.views import CROP_SHARE

Tensor = Any


def augment(image: Tensor, number: Tensor, augmentation: str) -> Tensor:
    """A crop of a picture at a random place, scaled back up, and its mirror image half of the time.

    Both sides of the crop are the same share of the picture's, drawn between 7/8 and all of it.

    Args:
        image: `uint8[H, W, 3]`.
        number: `int64[]`, drawn anew each time, from which all else follows.
        augmentation: ``crop``, or ``crop_flip`` for mirror images too.

    Returns:
        the view, `uint8[H, W, 3]`.
    """
    drawn = tf.random.stateless_uniform([4], seed=tf.stack([number, 0]))
    side = CROP_SHARE + (1.0 - CROP_SHARE) * drawn[0]
    top, left = (1.0 - side) * drawn[1], (1.0 - side) * drawn[2]
    mirrored = augmentation == CROP_FLIP and drawn[3] < 0.5
    first, last = left, left + side
    # A box from right to left gives the mirror image.
    columns = tf.where(mirrored, [last, first], [first, last])
    box = tf.stack([top, columns[0], top + side, columns[1]])
    height, width = image.shape[:2]
    view = tf.image.crop_and_resize(image[tf.newaxis], box[tf.newaxis], [0], (height, width))[0]
    return tf.cast(tf.round(view), tf.uint8)
