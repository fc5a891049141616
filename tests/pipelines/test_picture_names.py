"""Tests of which caption name is a picture's."""

from __future__ import annotations

import unicodedata

import pytest
from builders import calls_of
from hypothesis import given
from hypothesis import strategies as st

from pipelines.picture_names import CaptionNames

ROOT = "/data/"


def name(captions: set[str], path: str, *others: str) -> str:
    """What the picture ``/data/PATH``, listed with `others`, is called."""
    taken = {taken for one in (path, *others) for taken in (one, ROOT + one)}
    return CaptionNames(captions, captions - taken).name(path, ROOT + path)


@pytest.mark.parametrize(
    ("captions", "path", "expected"),
    [
        ({"a.jpg", "data/a.jpg"}, "a.jpg", "a.jpg"),
        ({"/data/a.jpg", "data/a.jpg"}, "a.jpg", "/data/a.jpg"),
        ({"a.jpg", "pics/sub/a.jpg"}, "sub/a.jpg", "a.jpg"),
        ({"data/a.jpg"}, "a.jpg", "data/a.jpg"),
        ({"data/sub/a.jpg", "sub/a.jpg/a.jpg"}, "sub/a.jpg", "data/sub/a.jpg"),
        ({"sub/a.jpg", "a.jpg"}, "deep/sub/a.jpg", "sub/a.jpg"),
        ({"sub/a.jpg", "data/deep/sub/a.jpg"}, "deep/sub/a.jpg", "data/deep/sub/a.jpg"),
        # Of another folder, or of a file whose name only ends alike.
        ({"pics/a.jpg"}, "a.jpg", "a.jpg"),
        ({"ta/a.jpg"}, "a.jpg", "a.jpg"),
        ({"data/ba.jpg", "data/b.jpg"}, "a.jpg", "a.jpg"),
    ],
)
def test_a_picture_is_called_as_captions_call_it(
    captions: set[str], path: str, expected: str
) -> None:
    assert name(captions, path) == expected


@pytest.mark.parametrize("other", ["pics/a.jpg", "a.jpg"])
def test_a_name_that_another_picture_has_for_its_path_is_not_taken(other: str) -> None:
    captions = {other, f"/data/{other}"}
    assert name(captions, "sub/a.jpg", other) == "sub/a.jpg"


def test_folders_that_are_given_keep_their_pictures_apart() -> None:
    # What captions do not know, /data/val/a.jpg here, takes no picture's name.
    captions = {"train/a.jpg"}
    named = CaptionNames(captions, captions)
    assert named.name("a.jpg", "/data/train/a.jpg") == "train/a.jpg"
    assert named.name("a.jpg", "/data/val/a.jpg") == "a.jpg"


def test_whole_paths_are_found_however_accents_are_spelled() -> None:
    path, spelled = (unicodedata.normalize(form, "/data/é.jpg") for form in ("NFD", "NFC"))
    assert CaptionNames({spelled}, set()).name("é.jpg", path) == spelled


def test_pictures_that_share_a_file_name_do_not_cost_all_its_folders_each() -> None:
    def cost(count: int) -> int:
        captions = {f"train/{number}/image.jpg" for number in range(count)}
        named = CaptionNames(captions, captions)
        return calls_of(
            lambda: [
                named.name(f"{n}/image.jpg", f"/data/train/{n}/image.jpg") for n in range(count)
            ]
        )

    assert cost(400) < 3 * cost(200)


paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)


@given(st.sets(paths), st.lists(paths, min_size=1, unique=True))
def test_a_name_of_captions_is_a_path_or_the_longest_end_of_it(
    captions: set[str], listed: list[str]
) -> None:
    free = captions.difference(listed)
    for path in listed:
        ends = [one for one in free if f"/{path}".endswith(f"/{one}")]
        found = name(captions, path, *listed)
        assert found == (path if path in captions else max(ends, key=len, default=path))
