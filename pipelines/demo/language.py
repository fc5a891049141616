"""Captions of synthetic scenes, and the way back from a caption to its scene."""

import random
import re

from pipelines.demo.scenes import COLOURS, DIAMETERS, KINDS, Group, Pair, Scene, Shape, canonical

_COUNTS = {"two": 2, "three": 3}
_ALONE = "alone"
_THERE_IS = ("", "there is ", "a picture of ")
_THERE_ARE = ("", "there are ", "a picture of ")


def _led(leads: tuple[str, ...], *bodies: str) -> tuple[str, ...]:
    return tuple(lead + body for body in bodies for lead in leads)


# Every caption there is, by the scene's layout: `describe` fills the slots with words, `parse`
# with patterns. Templates for pairs name the left or the upper shape first, as people read: a small
# decoder learns one order much sooner than two.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    _ALONE: _led(_THERE_IS, "a {one}", "one {one}", "a single {one}"),
    "in a row": (
        *_led(_THERE_ARE, "{count} {many} in a row", "{count} {many} side by side"),
        *_led(_THERE_IS, "a row of {count} {many}"),
    ),
    "in a column": (
        *_led(_THERE_ARE, "{count} {many} in a column", "{count} {many} stacked up"),
        *_led(_THERE_IS, "a column of {count} {many}"),
    ),
    "left of": (
        *_led(_THERE_IS, "a {first} to the left of a {second}"),
        *_led(_THERE_IS, "a {first} with a {second} on its right"),
        "a {first} on the left and a {second} on the right",
    ),
    "above": (
        *_led(_THERE_IS, "a {first} above a {second}"),
        *_led(_THERE_IS, "a {first} with a {second} below it"),
        "a {first} at the top and a {second} at the bottom",
    ),
}


def describe(scene: Scene, rng: random.Random, count: int = 5) -> list[str]:
    """Returns differently worded captions, each of which tells the whole scene.

    Raises:
        ValueError: There are fewer wordings than `count`; a pair has seven, a group nine.
    """
    return rng.sample(_wordings(scene), count)


def canonical_caption(scene: Scene) -> str:
    """Returns the plainest caption of the scene, always the same."""
    return _wordings(scene)[0]


def parse(caption: str) -> Scene | None:
    """Returns the canonical scene that the caption tells, or None if it tells none."""
    for layout, patterns in _PATTERNS.items():
        for pattern in patterns:
            found = pattern.fullmatch(caption)
            if found:
                return _scene_of(layout, found.groupdict())
    return None


def same_scene(caption: str, scene: Scene) -> bool:
    """Returns whether the caption tells exactly this scene."""
    return parse(caption) == canonical(scene)


def _wordings(scene: Scene) -> list[str]:
    scene = canonical(scene)
    if isinstance(scene, Pair):
        layout = scene.relation
        slots = {"first": _words(scene.first), "second": _words(scene.second)}
    else:
        layout = scene.arrangement or _ALONE
        one = _words(scene.shape)
        numeral = {number: word for word, number in _COUNTS.items()}.get(scene.count, "")
        slots = {"one": one, "many": f"{one}s", "count": numeral}
    return [template.format(**slots) for template in _TEMPLATES[layout]]


def _words(shape: Shape) -> str:
    return f"{shape.size} {shape.colour} {shape.kind}"


def _shape_pattern(slot: str) -> str:
    choices = {"size": tuple(DIAMETERS), "colour": tuple(COLOURS), "kind": KINDS}
    return " ".join(f"(?P<{slot}_{part}>{'|'.join(words)})" for part, words in choices.items())


def _compile(template: str) -> re.Pattern[str]:
    slots = {slot: _shape_pattern(slot) for slot in ("one", "first", "second")}
    many = f"{_shape_pattern('many')}s"
    return re.compile(template.format(**slots, many=many, count=f"(?P<count>{'|'.join(_COUNTS)})"))


_PATTERNS = {
    layout: [_compile(template) for template in templates]
    for layout, templates in _TEMPLATES.items()
}


def _scene_of(layout: str, words: dict[str, str]) -> Scene | None:
    """Returns the scene of a matched caption; None for a pair of shapes that look the same."""

    def shape(slot: str) -> Shape:
        return Shape(words[f"{slot}_kind"], words[f"{slot}_colour"], words[f"{slot}_size"])

    if layout == _ALONE:
        return Group(shape("one"), 1)
    if "count" in words:
        return Group(shape("many"), _COUNTS[words["count"]], layout)
    try:
        return Pair(shape("first"), shape("second"), layout)
    except ValueError:
        return None
