"""Synthetic scenes: what is in a picture, and the picture itself."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Saturated and far apart in hue; the backgrounds below are all close to grey.
COLOURS: dict[str, Colour] = {
    "red": (214, 32, 40),
    "orange": (242, 124, 20),
    "yellow": (248, 212, 24),
    "green": (36, 150, 64),
    "blue": (36, 88, 220),
    "purple": (164, 60, 210),
}
KINDS = ("square", "triangle", "bar", "ring")
ARRANGEMENTS = ("in a row", "in a column")
# Each relation with the one that says the same from the other shape.
MIRRORED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
# Diameters as shares of the picture. Three large shapes still fit in a row, and the gap between
# the classes is wide enough to tell them apart in a picture of 64 pixels.
DIAMETERS = {"small": (0.18, 0.2), "large": (0.27, 0.29)}

_BACKGROUNDS: tuple[Colour, ...] = (
    (236, 236, 234),
    (212, 206, 194),
    (212, 220, 230),
    (214, 225, 212),
    (230, 217, 220),
    (150, 150, 152),
    (88, 85, 82),
    (48, 49, 53),
)
_MARGIN = 0.02
_SUPERSAMPLING = 4
# How far a layout may lie from the middle of the picture, as a share of it.
_LARGEST_SHIFT = 0.1
_LARGEST_TURN = math.radians(6)


@dataclass(frozen=True)
class Shape:
    """One shape; its size is "small" or "large"."""

    kind: str
    colour: str
    size: str

    def __post_init__(self) -> None:
        """Refuses words that name no kind, colour or size."""
        if self.kind not in KINDS or self.colour not in COLOURS or self.size not in DIAMETERS:
            raise ValueError(f"not a shape: {self}")


@dataclass(frozen=True)
class Group:
    """One to three shapes that look the same; a single one has no arrangement."""

    shape: Shape
    count: int
    arrangement: str | None = None

    def __post_init__(self) -> None:
        """Refuses a count out of range, or an arrangement that does not suit the count."""
        suits = self.arrangement in ARRANGEMENTS if self.count > 1 else self.arrangement is None
        if not 1 <= self.count <= 3 or not suits:
            raise ValueError(f"not a group: {self}")


@dataclass(frozen=True)
class Pair:
    """Two shapes that differ in kind or colour: `first` is `relation` `second`."""

    first: Shape
    second: Shape
    relation: str

    def __post_init__(self) -> None:
        """Refuses an unknown relation, or shapes that differ in size alone."""
        alike = (self.first.kind, self.first.colour) == (self.second.kind, self.second.colour)
        if self.relation not in MIRRORED or alike:
            raise ValueError(f"not a pair: {self}")


Scene = Group | Pair


def canonical(scene: Scene) -> Scene:
    """Returns the form that all descriptions of one picture share: "left of" or "above"."""
    if isinstance(scene, Pair) and scene.relation in ("right of", "below"):
        return Pair(scene.second, scene.first, MIRRORED[scene.relation])
    return scene


def sample_scene(rng: random.Random) -> Scene:
    """Returns a random scene in its canonical form; half of them are pairs."""
    first = _sample_shape(rng)
    if rng.random() < 0.5:
        count = rng.randint(1, 3)
        return Group(first, count, rng.choice(ARRANGEMENTS) if count > 1 else None)
    second = _sample_shape(rng)
    while (second.kind, second.colour) == (first.kind, first.colour):
        second = _sample_shape(rng)
    return Pair(first, second, rng.choice(("left of", "above")))


def draw_scene(scene: Scene, rng: random.Random, size_px: int = 128) -> Image.Image:
    """Draws the scene; `rng` decides all that the description leaves open."""
    scene = canonical(scene)
    picture = _draw_background(rng, size_px)
    if isinstance(scene, Pair):
        shapes = [scene.first, scene.second]
        horizontal = scene.relation == "left of"
        # The least gap is wider than both drifts together, so the relation's axis dominates.
        least_gap, most_gap, drift = 0.16, 0.36, 0.06
    else:
        shapes = [scene.shape] * scene.count
        horizontal = scene.arrangement == "in a row"
        least_gap, most_gap, drift = 0.03, 0.12, 0.012
    diameters = [rng.uniform(*DIAMETERS[shape.size]) for shape in shapes]
    along = _place_along(diameters, least_gap, most_gap, rng)
    across = _place_across(diameters, drift, rng)
    for shape, diameter, forward, sideways in zip(shapes, diameters, along, across, strict=True):
        centre = (forward, sideways) if horizontal else (sideways, forward)
        _paint(picture, shape, centre, diameter, rng)
    return picture


def _sample_shape(rng: random.Random) -> Shape:
    return Shape(rng.choice(KINDS), rng.choice(tuple(COLOURS)), rng.choice(tuple(DIAMETERS)))


def _place_along(
    diameters: Sequence[float], least_gap: float, most_gap: float, rng: random.Random
) -> list[float]:
    """Returns centres along the layout's axis, evenly spaced around about the middle."""
    slack = 1 - 2 * _MARGIN - sum(diameters)
    gaps = len(diameters) - 1
    gap = rng.uniform(least_gap, min(most_gap, slack / gaps)) if gaps else 0.0
    spare = (slack - gap * gaps) / 2
    shift = rng.uniform(-1, 1) * min(spare, _LARGEST_SHIFT)
    centres = [_MARGIN + spare + shift + diameters[0] / 2]
    for before, after in pairwise(diameters):
        centres.append(centres[-1] + (before + after) / 2 + gap)
    return centres


def _place_across(diameters: Sequence[float], drift: float, rng: random.Random) -> list[float]:
    """Returns centres across the layout's axis, each within `drift` of a common line."""
    line = 0.5 + rng.uniform(-2, 2) * _LARGEST_SHIFT
    return [line + rng.uniform(-drift, drift) for _ in diameters]


def _spokes(radii: Sequence[float], drop: float = 0.0, turn: float = 0.0) -> list[Point]:
    """Returns a polygon around the origin, clockwise from the top, moved down by `drop`."""
    step = 2 * math.pi / len(radii)
    angles = [index * step + turn - math.pi / 2 for index in range(len(radii))]
    return [
        (radius * math.cos(angle), radius * math.sin(angle) + drop)
        for radius, angle in zip(radii, angles, strict=True)
    ]


# Outlines of diameter one. A triangle reaches higher than it reaches low around its middle, hence
# the drop.
_OUTLINES: dict[str, list[Point]] = {
    "square": _spokes([0.6] * 4, turn=math.pi / 4),
    "triangle": _spokes([0.55] * 3, drop=0.14),
    "bar": [(-0.52, -0.15), (0.52, -0.15), (0.52, 0.15), (-0.52, 0.15)],
    "ring": _spokes([0.5] * 40),
}
# A ring's hole, as a share of its diameter.
_HOLE = 0.52


def _paint(
    picture: Image.Image, shape: Shape, centre: Point, diameter: float, rng: random.Random
) -> None:
    """Paints one shape, slightly turned and tinted, with smooth edges."""
    turn = rng.uniform(-_LARGEST_TURN, _LARGEST_TURN)
    side = picture.width * _SUPERSAMPLING
    cosine, sine = math.cos(turn) * diameter, math.sin(turn) * diameter
    outline = [
        ((centre[0] + x * cosine - y * sine) * side, (centre[1] + x * sine + y * cosine) * side)
        for x, y in _OUTLINES[shape.kind]
    ]
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    pen.polygon(outline, fill=255)
    if shape.kind == "ring":
        pen.circle((centre[0] * side, centre[1] * side), _HOLE * diameter * side / 2, fill=0)
    tint = _shifted(COLOURS[shape.colour], [rng.randint(-10, 10) for _ in range(3)])
    picture.paste(tint, (0, 0), mask.reduce(_SUPERSAMPLING))


def _draw_background(rng: random.Random, size_px: int) -> Image.Image:
    """Draws two close shades of a greyish colour, mixed by a random pattern."""
    shade = _shifted(rng.choice(_BACKGROUNDS), [rng.randint(-6, 6)] * 3)
    other = _shifted(shade, [rng.choice((-1, 1)) * rng.randint(8, 22)] * 3)
    size = (size_px, size_px)
    pattern = rng.choice(("plain", "gradient", "stripes", "noise"))
    if pattern == "gradient":
        mask = Image.linear_gradient("L").rotate(90 * rng.randrange(4)).resize(size)
    elif pattern == "stripes":
        mask = _draw_stripes(rng, size_px)
    elif pattern == "noise":
        # Pillow's own noise takes no seed.
        mask = Image.frombytes("L", size, rng.randbytes(size_px * size_px))
    else:
        mask = Image.new("L", size)
    return Image.composite(Image.new("RGB", size, other), Image.new("RGB", size, shade), mask)


def _draw_stripes(rng: random.Random, size_px: int) -> Image.Image:
    mask = Image.new("L", (size_px, size_px))
    pen = ImageDraw.Draw(mask)
    width = rng.uniform(0.03, 0.1) * size_px
    for index in range(0, math.ceil(size_px / width), 2):
        pen.rectangle((index * width, 0, (index + 1) * width, size_px), fill=255)
    return mask.rotate(90) if rng.random() < 0.5 else mask


def _shifted(colour: Colour, shifts: Sequence[int]) -> Colour:
    red, green, blue = (
        min(max(channel + shift, 0), 255) for channel, shift in zip(colour, shifts, strict=True)
    )
    return red, green, blue
