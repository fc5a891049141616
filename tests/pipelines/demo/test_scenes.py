"""Tests of the scenes' descriptions and of what their pictures show."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.demo.scenes import (
    ARRANGEMENTS,
    COLOURS,
    DIAMETERS,
    KINDS,
    MIRRORED,
    Group,
    Pair,
    Shape,
    canonical,
    draw_scene,
    sample_scene,
)

# Wider than the tint of a shape, narrower than the way to any background or other colour.
TOLERANCE = 25

seeds = st.integers(0, 2**32)


def pixels_of(picture: Image.Image, colour: str) -> list[tuple[int, int]]:
    """Returns the places whose colour is about the named one."""
    data = picture.tobytes()
    target = COLOURS[colour]
    return [
        (index % picture.width, index // picture.width)
        for index in range(picture.width * picture.height)
        if all(abs(data[3 * index + band] - target[band]) <= TOLERANCE for band in range(3))
    ]


def centroid(places: list[tuple[int, int]]) -> tuple[float, float]:
    return (
        sum(x for x, _ in places) / len(places),
        sum(y for _, y in places) / len(places),
    )


def pieces(places: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Splits the places into connected pieces, leaving out specks."""
    rest = set(places)
    found = []
    while rest:
        piece, edge = [], [rest.pop()]
        while edge:
            x, y = edge.pop()
            piece.append((x, y))
            near = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & rest
            rest -= near
            edge.extend(near)
        if len(piece) > 5:
            found.append(piece)
    return found


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_same_seed_draws_the_same_picture(seed: int) -> None:
    pictures = []
    for _ in range(2):
        rng = random.Random(seed)
        pictures.append(draw_scene(sample_scene(rng), rng))
    assert pictures[0].size == (128, 128)
    assert pictures[0].mode == "RGB"
    assert pictures[0].tobytes() == pictures[1].tobytes()


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_picture_holds_the_scene_s_colours_only_and_off_the_edge(seed: int) -> None:
    rng = random.Random(seed)
    scene = sample_scene(rng)
    picture = draw_scene(scene, rng)
    shapes = [scene.shape] if isinstance(scene, Group) else [scene.first, scene.second]
    shown = {shape.colour for shape in shapes}
    for colour in COLOURS:
        places = pixels_of(picture, colour)
        assert all(0 < x < 127 and 0 < y < 127 for x, y in places)
        if colour in shown:
            assert len(places) > 60
        else:
            # Smooth edges mix a few pixels into neighbouring colours.
            assert len(places) < 30


@pytest.mark.parametrize("kind", KINDS)
def test_large_shapes_cover_clearly_more_than_small_ones(kind: str) -> None:
    rng = random.Random(7)
    areas = {
        size: [
            len(pixels_of(draw_scene(Group(Shape(kind, "red", size), 1), rng), "red"))
            for _ in range(12)
        ]
        for size in DIAMETERS
    }
    assert min(areas["large"]) > 1.6 * max(areas["small"])


@pytest.mark.parametrize(
    ("count", "arrangement", "size"), list(product((2, 3), ARRANGEMENTS, DIAMETERS))
)
def test_groups_show_their_count_and_arrangement(count: int, arrangement: str, size: str) -> None:
    rng = random.Random(count)
    for kind in KINDS:
        picture = draw_scene(Group(Shape(kind, "blue", size), count, arrangement), rng)
        centres = [centroid(piece) for piece in pieces(pixels_of(picture, "blue"))]
        assert len(centres) == count
        width, height = (max(axis) - min(axis) for axis in zip(*centres, strict=True))
        if arrangement == "in a row":
            assert width > 4 * height
        else:
            assert height > 4 * width


@given(seeds, st.sampled_from(sorted(MIRRORED)))
@settings(max_examples=40, deadline=None)
def test_pairs_show_their_relation(seed: int, relation: str) -> None:
    rng = random.Random(seed)
    colours = rng.sample(sorted(COLOURS), 2)
    first, second = (
        Shape(rng.choice(KINDS), colour, rng.choice(("small", "large"))) for colour in colours
    )
    picture = draw_scene(Pair(first, second, relation), rng)
    places = [max(pieces(pixels_of(picture, colour)), key=len) for colour in colours]
    (first_x, first_y), (second_x, second_y) = map(centroid, places)
    right, down = second_x - first_x, second_y - first_y
    along, across = (right, down) if relation in ("left of", "right of") else (down, right)
    assert abs(along) > 1.5 * abs(across)
    assert (along > 0) == (relation in ("left of", "above"))


@given(seeds)
def test_sampled_scenes_are_canonical_and_equal_their_mirror_image(seed: int) -> None:
    scene = sample_scene(random.Random(seed))
    assert canonical(scene) == scene
    if isinstance(scene, Pair):
        mirrored = Pair(scene.second, scene.first, MIRRORED[scene.relation])
        assert canonical(mirrored) == scene


def test_impossible_scenes_are_refused() -> None:
    shape = Shape("ring", "red", "small")
    with pytest.raises(ValueError, match="not a shape"):
        Shape("hexagon", "red", "small")
    for count, arrangement in ((0, None), (1, "in a row"), (2, None), (4, "in a row")):
        with pytest.raises(ValueError, match="not a group"):
            Group(shape, count, arrangement)
    with pytest.raises(ValueError, match="not a pair"):
        Pair(shape, Shape("ring", "red", "large"), "above")
    with pytest.raises(ValueError, match="not a pair"):
        Pair(shape, Shape("bar", "red", "large"), "near")
