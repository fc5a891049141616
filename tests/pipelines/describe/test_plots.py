"""Tests of what the plots of a dataset show: the numbers that are drawn, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

from model.artifacts import DatasetInfo
from model.config import ImageConfig
from pipelines.describe.findings import LONGEST_UNCUT
from pipelines.describe.plots import LIGHT, draw_aspects, draw_lengths, draw_sizes
from pipelines.describe.summaries import (
    Description,
    DuplicateSummary,
    ExampleSummary,
    PictureSummary,
    SplitSummary,
    Spread,
    WordSummary,
)

NONE = Spread({})


def described(
    lengths: Mapping[str, Mapping[int, int]],
    sizes: Mapping[tuple[int, int], int] | None = None,
    aspects: Mapping[int, int] | None = None,
) -> Description:
    """A dataset of splits with captions of these `lengths`, two of a picture."""
    splits = tuple(
        SplitSummary(name, Spread({2: sum(counts.values()) // 2}), Spread(counts), 0)
        for name, counts in lengths.items()
    )
    pictures = PictureSummary(
        widths=NONE,
        heights=NONE,
        shorter_sides=NONE,
        aspects=Spread(aspects or {}),
        kibibytes=NONE,
        byte_size=0,
        sizes=sizes or {},
        modes={},
        formats={},
    )
    info = DatasetInfo(
        fingerprint="f1",
        request="r",
        decoder_version="pillow-x",
        image=ImageConfig(64),
        vocabulary_size=4,
        examples={},
        captions={},
        rejects={},
        inputs=0,
    )
    examples = ExampleSummary(splits, pictures, longest=(), common={}, markup=0)
    return Description(
        "data", info, examples, WordSummary(0, (), (), ()), (), DuplicateSummary({}, ())
    )


def drawn(draw: Callable, description: Description) -> Axes:
    axes = Figure().add_subplot()
    draw(axes, description, LIGHT)
    return axes


def test_lengths_are_shares_of_the_captions_of_a_split_around_whole_numbers() -> None:
    lengths = {"train": {1: 3, 2: 1}, "validation": {}, "test": {2: 2}}
    axes = drawn(draw_lengths, described(lengths))
    assert axes.get_legend_handles_labels()[1] == ["train", "test"]
    steps = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
    assert [step.values.tolist() for step in steps] == [[0, 75, 25], [0, 0, 100]]
    for step in steps:
        assert step.edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert not axes.lines, "nothing is cut"


def test_the_longest_caption_that_is_not_cut_is_left_of_the_line() -> None:
    axes = drawn(draw_lengths, described({"train": {LONGEST_UNCUT + 5: 2}}))
    (line,) = axes.lines
    assert set(line.get_xdata()) == {LONGEST_UNCUT + 0.5}


def test_sizes_have_the_width_to_the_right_and_the_height_upwards() -> None:
    axes = drawn(draw_sizes, described({}, sizes={(64, 48): 7, (66, 49): 3}))
    assert axes.get_xlabel().startswith("width")
    (mesh,) = (found for found in axes.collections if isinstance(found, QuadMesh))
    assert np.ma.filled(mesh.get_array(), 0).tolist() == [[7, 0, 0], [0, 0, 3]]
    corners = mesh.get_coordinates()
    assert corners[0, 0].tolist() == [256, 64]
    assert corners[-1, -1].tolist() == pytest.approx([2 ** (67 / 8), 2 ** (50 / 8)])


def test_wide_pictures_are_right_of_tall_ones_and_the_extreme_ones_are_in_the_outer_bars() -> None:
    aspects = {0: 1, 1: 2, 50: 4, 99: 8, 100: 16, 101: 32, 200: 64, 9000: 128}
    bars = [
        bar
        for bar in drawn(draw_aspects, described({}, aspects=aspects)).patches
        if isinstance(bar, Rectangle)
    ]
    counts = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    assert counts == {-13: 3, -8: 4, 0: 56, 8: 64, 13: 128}
