"""Tests of finding pictures by their URIs where they are now; see also those of own captions."""

from __future__ import annotations

from pathlib import Path

import pytest
from container_builders import caption_row, contents_of, flaws_of, parquet_bytes, write

from pipelines.located import in_order, list_wanted, listing_of, locate_pictures


@pytest.mark.parametrize(
    ("container", "member", "column"),
    [
        ("/a.tar", "deep/a.jpg", None),
        ("/a.parquet", "7", None),
        ("/a.parquet", "left/7", "left"),
        ("/A.PARQUET", "le/ft/7", "le/ft"),
        ("/a.zip", None, None),
    ],
)
def test_a_listing_is_of_a_container_and_a_column(
    container: str, member: str | None, column: str | None
) -> None:
    assert listing_of(container, member) == (container, column)


def test_containers_come_by_their_names() -> None:
    inside = {("/b.tar", None): 1, ("/a.parquet", "r"): 2, ("/a.parquet", None): 3}
    assert [value for _, value in in_order(inside)] == [2, 3, 1]


def test_what_is_wanted_comes_in_the_containers_order_and_what_it_lacks_last(
    tmp_path: Path,
) -> None:
    uri = write(tmp_path / "a.parquet", parquet_bytes({"l": [b"0", b"1"], "r": [b"2", b"3"]}))
    wanted = [f"{uri}!/r/{row}" for row in (9, 1, 0)]
    images = list(list_wanted((uri, "r"), wanted))
    assert [image.uri for image in images] == [*wanted[:0:-1], wanted[0]]
    assert contents_of(images) == {wanted[2]: b"2", wanted[1]: b"3"}
    assert flaws_of(images) == {wanted[0]: "missing"}


def test_a_row_that_names_a_device_is_flawed_for_no_read_of_it_may_end(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jpg", b"1234")
    images = list(locate_pictures([caption_row(uri), caption_row("/dev/zero")]))
    assert [image.uri for image in images] == [uri, "/dev/zero"]
    assert flaws_of(images) == {"/dev/zero": "unreadable"}


@pytest.mark.parametrize("suffix", ["tar", "zip", "parquet"])
def test_a_container_of_a_file_system_that_is_not_set_up_is_unreadable(suffix: str) -> None:
    container = f"nosuchscheme://bucket/a.{suffix}"
    wanted = f"{container}!/{'0' if suffix == 'parquet' else 'a.jpg'}"
    (image,) = list_wanted((container, None), [wanted])
    assert image.uri == wanted
    assert (image.flaw or "").startswith("unreadable: ")
    assert "nosuchscheme" in (image.flaw or "")
