"""A dataset's description as plots: SVG, each for light and for dark paper."""

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from pipelines.describe.findings import LONGEST_UNCUT
from pipelines.describe.summaries import OCTAVE, Description, Spread

MAX_BINS = 40
# The few captions beyond this share of them are counted in the last bin.
_SHOWN_SHARE = 0.995
_SIZE_INCHES = (6.0, 3.2)
_ASPECTS = {1 / 2: "1:2", 3 / 4: "3:4", 1: "1:1", 4 / 3: "4:3", 16 / 9: "16:9", 5 / 2: "5:2"}
_OUTER_ASPECT = 13  # eighths of an octave: about 3:1
_MOST_TICKS = 9
_WHOLE = FuncFormatter(lambda value, _: f"{value:,.0f}")
_DASHED: dict[str, Any] = {"lw": 0.9, "ls": (0, (4, 3))}
# Letters as outlines look alike on every machine; a salt, and no date in the file, make the same
# page of the same dataset.
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "captioner",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Palette:
    """Colours of a plot: lines and letters, splits in their order, cells of few and many images."""

    ink: str
    splits: tuple[str, ...]
    few: str
    many: str


LIGHT = Palette("#5b554c", ("#b9653a", "#1f6f78", "#6b3fa0"), "#eed9c9", "#8a3a14")
DARK = Palette("#b3ab9d", ("#d98c5f", "#72c2c4", "#b6a3e6"), "#4a3123", "#ffc9a3")


@dataclass(frozen=True)
class Plot:
    """A plot as data URIs, for the section of that id."""

    section: str
    title: str
    note: str
    light: str
    dark: str


def plots(description: Description) -> tuple[Plot, ...]:
    """All plots; those of nothing are left out."""
    drawings: list[tuple[str, str, str, Callable, bool]] = [
        (
            "captions",
            "Captions by length",
            "In % of the split's captions; the last bin holds all longer ones. Those right of the "
            "dashed line are cut in training by default.",
            draw_lengths,
            description.captions > 0,
        ),
        (
            "words",
            "Words by frequency",
            "Both axes are logarithmic: the words of a language lie near a line.",
            draw_words,
            bool(description.words.curve),
        ),
        (
            "pictures",
            "Images by width and height",
            "The colours are a logarithmic scale. Dashed: the size that the model sees.",
            draw_sizes,
            description.images > 0,
        ),
        (
            "pictures",
            "Images by shape",
            "Width : height, on a logarithmic scale; the outer bars hold what is more extreme.",
            draw_aspects,
            description.images > 0,
        ),
    ]
    return tuple(
        Plot(section, title, note, *(data_uri(draw, description, p) for p in (LIGHT, DARK)))
        for section, title, note, draw, wanted in drawings
        if wanted
    )


def data_uri(
    draw: Callable[[Axes, Description, Palette], None], description: Description, palette: Palette
) -> str:
    """What `draw` draws, as SVG in a data URI."""
    ink: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"),
        palette.ink,
    )
    buffer = io.BytesIO()
    with matplotlib.rc_context({**_SETTINGS, **ink}):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        draw(figure.add_subplot(), description, palette)
        figure.savefig(buffer, format="svg", dpi=160, transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def histogram(counts: Mapping[int, int], width: int, bins: int) -> list[int]:
    """Counts in `bins` bins from 0 on, `width` whole numbers each; the last is open above."""
    binned = [0] * bins
    for value, count in counts.items():
        binned[min(value // width, bins - 1)] += count
    return binned


def length_bins(lengths: list[Spread]) -> tuple[int, int]:
    """The (width, number) of bins that nearly all of the lengths fit in; one at least has some."""
    longest = max(math.ceil(s.quantile(_SHOWN_SHARE)) for s in lengths if s.total)
    width = longest // MAX_BINS + 1
    return width, longest // width + 1


def draw_lengths(axes: Axes, description: Description, palette: Palette) -> None:
    """Captions by length: the first split filled, the others as lines."""
    splits = [split for split in description.examples.splits if split.captions]
    width, bins = length_bins([split.lengths for split in splits])
    edges = np.arange(bins + 1) * width - 0.5
    for split, colour in zip(splits, cycle(palette.splits), strict=False):
        shares = 100 * np.array(histogram(split.lengths.counts, width, bins)) / split.captions
        first = split is splits[0]
        style: dict[str, Any] = {"color": colour, "alpha": 0.45} if first else {"edgecolor": colour}
        axes.stairs(shares, edges, fill=first, label=split.name, lw=1.4, **style)
    if edges[-1] > LONGEST_UNCUT:
        axes.axvline(LONGEST_UNCUT + 0.5, color=palette.ink, **_DASHED)
    axes.set(xlabel="tokens", ylabel="% of captions", xlim=(edges[0], edges[-1]))
    axes.legend()


def draw_words(axes: Axes, description: Description, palette: Palette) -> None:
    """The count of a word by its rank."""
    ranks, counts = zip(*description.words.curve, strict=True)
    axes.loglog(ranks, counts, color=palette.splits[0], lw=1.8, marker=".", ms=3)
    axes.set(xlabel="rank", ylabel="times in train")
    axes.xaxis.set_major_formatter(_WHOLE)
    axes.yaxis.set_major_formatter(_WHOLE)
    axes.grid(color=palette.ink, alpha=0.15, lw=0.6)


def draw_sizes(axes: Axes, description: Description, palette: Palette) -> None:
    """Images by width and height, as coloured cells of a logarithmic grid."""
    sizes = description.examples.pictures.sizes
    cells = np.array(list(sizes))
    low, high = cells.min(axis=0), cells.max(axis=0)
    grid = np.zeros(high - low + 1)
    grid[tuple((cells - low).T)] = list(sizes.values())
    edges = [2 ** (np.arange(a, b + 2) / OCTAVE) for a, b in zip(low, high, strict=True)]
    mesh = axes.pcolormesh(
        *edges,
        np.ma.masked_equal(grid.T, 0),
        cmap=LinearSegmentedColormap.from_list("images", [palette.few, palette.many]),
        norm=LogNorm(1, max(grid.max(), 2)),
        rasterized=True,
    )
    axes.set(xscale="log", yscale="log", xlabel="width, px", ylabel="height, px")
    side = description.info.image.image_size_px
    lines = (axes.axvline, axes.axhline)
    for axis, line, of_axis in zip((axes.xaxis, axes.yaxis), lines, edges, strict=True):
        line(side, color=palette.ink, **_DASHED)
        # More than an octave, so that a power of two is in it.
        first, last = min(side, of_axis[0]) / 1.5, max(side, of_axis[-1]) * 1.5
        axis.set_view_interval(first, last, ignore=True)
        powers = range(math.ceil(math.log2(first)), math.floor(math.log2(last)) + 1)
        shown = powers[:: len(powers) // _MOST_TICKS + 1]
        _label(axis, {2.0**power: f"{2**power:,}" for power in shown if power >= 0})
    axes.figure.colorbar(mesh, ax=axes, label="images", format=_WHOLE)


def draw_aspects(axes: Axes, description: Description, palette: Palette) -> None:
    """Images by width / height."""
    bars: Counter[int] = Counter()
    for hundredths, count in description.examples.pictures.aspects.counts.items():
        place = round(OCTAVE * math.log2(max(hundredths, 1) / 100))
        bars[min(max(place, -_OUTER_ASPECT), _OUTER_ASPECT)] += count
    axes.bar(list(bars), list(bars.values()), width=0.85, color=palette.splits[0], alpha=0.8)
    axes.set(ylabel="images", xlabel="width : height")
    axes.set_xlim(-_OUTER_ASPECT - 0.5, _OUTER_ASPECT + 0.5)
    _label(axes.xaxis, {OCTAVE * math.log2(ratio): text for ratio, text in _ASPECTS.items()})
    axes.yaxis.set_major_formatter(_WHOLE)


def _label(axis: Axis, labels: Mapping[float, str]) -> None:
    """Ticks at the places of `labels` alone."""
    axis.set_ticks(list(labels), list(labels.values()))
    axis.set_minor_locator(NullLocator())
