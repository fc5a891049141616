"""Views of a picture: what augmentation makes of it before a frozen encoder looks."""

import numpy as np
from PIL import Image

# Side of a shifted crop, as a share of the picture's: enough to move what is seen by a grid cell.
CROP_SHARE = 0.875


def make_views(pixels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` views of `pixels uint8[H, W, 3]`, as `uint8[count, H, W, 3]`.

    The first is the picture as captioning sees it, the second its mirror image, each further one a
    crop of 7/8 of its sides at a random place, scaled back up, every other one mirrored.

    Args:
        seed: decides the places: the same views in every run.
    """
    height, width = pixels.shape[:2]
    rng = np.random.default_rng(seed)
    views = [pixels]
    for number in range(1, count):
        view = pixels if number == 1 else _shifted_crop(pixels, rng)
        views.append(view[:, ::-1] if number % 2 else view)
    stacked = np.stack(views)
    assert stacked.shape == (count, height, width, 3)
    return stacked


def _shifted_crop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows, columns = round(CROP_SHARE * height), round(CROP_SHARE * width)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    picture = Image.fromarray(pixels)
    box = (left, top, left + columns, top + rows)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
