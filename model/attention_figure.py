"""Pictures of where a decoder looked, for people."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_COLUMNS, _PANEL_INCHES, _DPI = 5, 1.8, 80


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
    rows = math.ceil((1 + len(words)) / _COLUMNS)
    size = (_COLUMNS * _PANEL_INCHES, rows * (_PANEL_INCHES + 0.3) + 0.4)
    figure = Figure(figsize=size, dpi=_DPI)
    figure.suptitle(title, fontsize=9)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    panels[0].imshow(pixels)
    height, width = pixels.shape[:2]
    for panel, word, weights in zip(panels[1:], words, attention, strict=False):
        panel.imshow(pixels)
        light = Image.fromarray((255 * weights / max(weights.max(), 1e-9)).astype(np.uint8))
        mask = light.resize((width, height), Image.Resampling.BICUBIC)
        panel.imshow(np.asarray(mask), cmap="gray", alpha=0.6, vmin=0, vmax=255)
        panel.set_title(word, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
