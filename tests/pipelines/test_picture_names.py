"""Tests of which caption name is a picture's."""

from __future__ import annotations

import unicodedata

import pytest
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
        ({"a.jpg", "pics/a.jpg"}, "a.jpg", "a.jpg"),
        ({"/data/a.jpg", "pics/a.jpg"}, "a.jpg", "/data/a.jpg"),
        ({"a.jpg", "pics/sub/a.jpg"}, "sub/a.jpg", "a.jpg"),
        ({"pics/a.jpg"}, "a.jpg", "pics/a.jpg"),
        ({"/elsewhere/pics/a.jpg"}, "a.jpg", "/elsewhere/pics/a.jpg"),
        ({"pics/sub/a.jpg", "pics/other/a.jpg"}, "sub/a.jpg", "pics/sub/a.jpg"),
        # What ends in its path may be several pictures, or none of this folder.
        ({"pics/a.jpg", "photos/a.jpg"}, "a.jpg", "a.jpg"),
        ({"pics/a.jpg"}, "sub/a.jpg", "sub/a.jpg"),
        ({"pics/ba.jpg"}, "a.jpg", "a.jpg"),
        ({"pics/b.jpg"}, "a.jpg", "a.jpg"),
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


def test_of_two_names_that_end_in_a_path_one_may_be_another_pictures() -> None:
    captions = {"pics/a.jpg", "photos/a.jpg"}
    assert name(captions, "a.jpg", "pics/a.jpg") == "photos/a.jpg"


def test_whole_paths_are_found_however_accents_are_spelled() -> None:
    path, spelled = (unicodedata.normalize(form, "/data/é.jpg") for form in ("NFD", "NFC"))
    assert CaptionNames({spelled}, set()).name("é.jpg", path) == spelled


paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)


@given(st.sets(paths), st.lists(paths, min_size=1, unique=True))
def test_a_name_of_captions_is_the_path_or_the_file_or_the_only_one_that_ends_in_it(
    captions: set[str], listed: list[str]
) -> None:
    free = captions.difference(listed)
    for path in listed:
        longer = [one for one in free if one.endswith(f"/{path}")]
        found = name(captions, path, *listed)
        if path in captions:
            assert found == path
        elif path[-1] in free:
            assert found == path[-1]
        elif len(longer) == 1:
            assert found == longer[0]
        else:
            assert found == path
            assert found not in captions
