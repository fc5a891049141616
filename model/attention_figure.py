"""Pictures of where a decoder looked, for people."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

_COLUMNS, _PANEL_PX, _LINE_PX = 5, 128, 16
# Share of a panel's light that attention decides.
_SHADE = 0.7


def attention_figure(
    pixels: np.ndarray, words: Sequence[str], attention: np.ndarray, title: str
) -> np.ndarray:
    """A picture and a panel for each word, bright where the decoder looked while writing it.

    Args:
        pixels: `uint8[H, W, 3]`.
        words: L words.
        attention: `float[L, rows, columns]`.
        title: above all.

    Returns:
        `uint8[height, width, 3]`.
    """
    size = (_PANEL_PX, _PANEL_PX)
    panel = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    rows = math.ceil((1 + len(words)) / _COLUMNS)
    height = _LINE_PX + rows * (_PANEL_PX + _LINE_PX)
    figure = Image.new("RGB", (_COLUMNS * _PANEL_PX, height), "white")
    draw = ImageDraw.Draw(figure)
    draw.text((4, 2), title, fill="black")
    shaded = [panel, *(_shade(panel, weights) for weights in attention)]
    for number, (word, image) in enumerate(zip(["", *words], shaded, strict=True)):
        row, column = divmod(number, _COLUMNS)
        left, top = column * _PANEL_PX, _LINE_PX + row * (_PANEL_PX + _LINE_PX)
        draw.text((left + 4, top + 2), word, fill="black")
        figure.paste(image, (left, top + _LINE_PX))
    return np.asarray(figure)


def _shade(panel: Image.Image, weights: np.ndarray) -> Image.Image:
    """The panel, dark where the weights `[rows, columns]` are small."""
    share = (255 * weights / max(float(weights.max()), 1e-9)).astype(np.uint8)
    light = Image.fromarray(share).resize(panel.size, Image.Resampling.BICUBIC)
    factors = 1 - _SHADE + _SHADE * np.asarray(light, np.float32)[:, :, None] / 255
    return Image.fromarray((np.asarray(panel) * factors).astype(np.uint8))
