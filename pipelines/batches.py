"""Steps of a model: a failing one costs the guilty picture, one too large for memory costs time."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from model.bundle_folder import ImageCaptions, ModelError

# uint8[B, H, W, 3] to one result a picture.
CaptionBatch = Callable[[np.ndarray], list[ImageCaptions]]
# What a model says of a picture, or the error that this picture alone causes.
Result: TypeAlias = ImageCaptions | ModelError


def caption_batch(caption: CaptionBatch, pixels: Sequence[np.ndarray]) -> list[Result]:
    """Captions of pictures `uint8[H, W, 3]`; a failing batch is halved until the guilty is alone.

    Raises:
        Exception: what is no fault of a picture: too little memory, a defect.
    """
    try:
        return list(caption(np.stack(pixels)))
    except ModelError as error:
        if len(pixels) == 1:
            return [error]
        half = len(pixels) // 2
        return caption_batch(caption, pixels[:half]) + caption_batch(caption, pixels[half:])


class BatchCaptioner:
    """Captions pictures in steps of a model; one that memory is too small for is halved for good.

    Args:
        caption: the model.
        batch_size: most pictures in a step, at first.
    """

    def __init__(self, caption: CaptionBatch, batch_size: int) -> None:
        self._caption, self.batch_size = caption, batch_size

    def __call__(self, pixels: Sequence[np.ndarray]) -> list[Result]:
        """The result of each picture `uint8[H, W, 3]`, in order.

        Raises:
            Exception: see `caption_batch`; of too little memory only if it is so for one picture.
        """
        results: list[Result] = []
        while len(results) < len(pixels):
            step = pixels[len(results) : len(results) + self.batch_size]
            try:
                results += caption_batch(self._caption, step)
            except MemoryError as error:
                if len(step) == 1:
                    raise
                self._shrink(len(step) // 2, error)
        return results

    def _shrink(self, batch_size: int, error: Exception) -> None:
        self.batch_size = min(self.batch_size, batch_size)
        logging.getLogger(__name__).warning(
            "out of memory (%s): going on with %d images in a step; a smaller --batch-size does "
            "so from the start",
            type(error).__name__,
            self.batch_size,
        )
