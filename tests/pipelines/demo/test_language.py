"""Tests of the captions and of the parser that reads them."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.demo.language import canonical_caption, describe, parse, same_scene
from pipelines.demo.scenes import (
    COLOURS,
    DIAMETERS,
    KINDS,
    MIRRORED,
    Group,
    Pair,
    Scene,
    Shape,
    canonical,
    sample_scene,
)

ATTRIBUTES = {
    *COLOURS,
    *DIAMETERS,
    *KINDS,
    *(f"{kind}s" for kind in KINDS),
    *("two", "three", "row", "column", "stacked", "side"),
    *("left", "right", "above", "below", "top", "bottom"),
}


def wordings(scene: Scene) -> int:
    """How many wordings the language has for `scene`."""
    return 7 if isinstance(scene, Pair) else 9


scenes = st.integers(0, 2**32).map(lambda seed: sample_scene(random.Random(seed)))


@given(scenes, st.randoms(use_true_random=False))
def test_every_wording_parses_to_its_scene(scene: Scene, rng: random.Random) -> None:
    for caption in describe(scene, rng, wordings(scene)):
        assert parse(caption) == scene
        assert same_scene(caption, scene)


@given(scenes, st.randoms(use_true_random=False))
def test_captions_differ_and_are_short_and_plain(scene: Scene, rng: random.Random) -> None:
    captions = describe(scene, rng)
    assert len(set(captions)) == len(captions) == 5
    for caption in captions:
        assert len(caption.split()) <= 16
        assert caption.replace(" ", "").isalpha()
        assert caption == caption.lower()


@given(scenes, scenes, st.randoms(use_true_random=False))
def test_captions_fail_for_other_scenes(one: Scene, other: Scene, rng: random.Random) -> None:
    if one != other:
        assert not any(same_scene(caption, other) for caption in describe(one, rng))


@given(scenes, st.randoms(use_true_random=False))
def test_no_attribute_can_be_left_out(scene: Scene, rng: random.Random) -> None:
    for caption in describe(scene, rng, wordings(scene)):
        words = caption.split()
        for index, word in enumerate(words):
            if word in ATTRIBUTES:
                assert parse(" ".join(words[:index] + words[index + 1 :])) is None


@given(scenes, st.randoms(use_true_random=False))
def test_another_attribute_is_another_scene(scene: Scene, rng: random.Random) -> None:
    for caption in describe(scene, rng, wordings(scene)):
        words = caption.split()
        for index, word in enumerate(words):
            for other in ATTRIBUTES - {word} if word in ATTRIBUTES else ():
                changed = " ".join([*words[:index], other, *words[index + 1 :]])
                assert not same_scene(changed, scene)


def test_both_sides_of_a_relation_are_one_scene() -> None:
    square, bar = Shape("square", "blue", "large"), Shape("bar", "yellow", "small")
    for relation, mirrored in MIRRORED.items():
        one, other = Pair(square, bar, relation), Pair(bar, square, mirrored)
        assert canonical(one) == canonical(other)
        assert same_scene(canonical_caption(one), other)


@pytest.mark.parametrize(
    ("caption", "scene"),
    [
        ("a large red ring", Group(Shape("ring", "red", "large"), 1)),
        (
            "there is a row of two small red rings",
            Group(Shape("ring", "red", "small"), 2, "in a row"),
        ),
        (
            "a large blue square with a small yellow bar on its right",
            Pair(Shape("square", "blue", "large"), Shape("bar", "yellow", "small"), "left of"),
        ),
    ],
)
def test_captions_mean_what_they_say(caption: str, scene: Scene) -> None:
    assert parse(caption) == scene


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a picture",
        "two small red ring in a row",
        "a small red rings",
        "a small red ring in a row",
        "a large red ring a",
        "a large red ring.",
        "A large red ring",
        "large red ring",
        "a red large ring",
        "four small red rings in a row",
        "two small red rings in a row in a column",
        "a small red ring above a small red ring",
        "a small red ring above a large red ring",
        "a small red ring to the left of",
    ],
)
def test_other_texts_are_no_captions(caption: str) -> None:
    assert parse(caption) is None


def test_the_vocabulary_stays_small() -> None:
    shapes = [Shape(*words) for words in product(KINDS, COLOURS, DIAMETERS)]
    rng = random.Random(0)
    samples = [Group(shape, 1) for shape in shapes] + [sample_scene(rng) for _ in range(300)]
    captions = [caption for scene in samples for caption in describe(scene, rng, wordings(scene))]
    assert 35 <= len({word for caption in captions for word in caption.split()}) <= 50


def test_too_many_captions_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than population"):
        describe(Group(Shape("bar", "red", "small"), 1), random.Random(0), 10)
