"""Tests of Parquet files that come in the place of those that were captioned."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from container_builders import (
    caption_row,
    hub_images,
    listed,
    parquet_bytes,
    tar_bytes,
    write,
    write_part,
    zip_bytes,
)

from pipelines.ledger import read_ledger
from pipelines.replaced import find_replaced
from pipelines.units import Remaining

PICTURES = [(f"{number}.png", bytes([number]) * 9) for number in range(40)]
LATER_USEC = 4 * 10**15


def digest(number: int) -> str:
    return hashlib.sha256(PICTURES[number][1]).hexdigest()


def shard(path: Path, pictures: Sequence[tuple[str, bytes | None]]) -> str:
    """A file of `pictures`, years old by its time, as `cp -p` leaves it."""
    uri = write(path, parquet_bytes({"image": hub_images(pictures)}))
    os.utime(path, (10**9, 10**9))
    return uri


@pytest.mark.parametrize(
    ("pictures", "captioned_usec", "expected"),
    [
        (PICTURES, 0, False),  # as where its owner changed
        (PICTURES[::-1], 0, True),
        (PICTURES[1:] + PICTURES[:1], 0, True),
        (PICTURES[::-1], LATER_USEC, False),  # nothing happened since
        ([("0.png", b"")] * 40, 0, True),
        ([("0.png", None)] * 40, 0, True),
    ],
)
def test_pictures_tell_whether_a_file_is_the_one_that_was_captioned(
    tmp_path: Path, pictures: list[tuple[str, bytes | None]], captioned_usec: int, expected: bool
) -> None:
    images = listed(shard(tmp_path / "a.parquet", pictures))
    found = find_replaced(images, np.full(40, captioned_usec), digest)
    assert found.tolist() == [expected] * 40


@pytest.mark.parametrize(
    ("pictures", "expected"), [(PICTURES, False), ([(n, b"x" * 9) for n, _ in PICTURES], True)]
)
def test_so_do_members_of_a_zip_whose_sizes_are_what_they_were(
    tmp_path: Path, pictures: list[tuple[str, bytes]], expected: bool
) -> None:
    images = listed(write(tmp_path / "a.zip", zip_bytes(pictures)))
    assert find_replaced(images, np.zeros(40), digest).tolist() == [expected] * 40


def test_a_zip_with_one_member_of_another_size_costs_the_others_nothing(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.zip", zip_bytes(PICTURES[:3]))
    place = {"container": uri, "captioned_at": datetime.datetime(2005, 1, 1, tzinfo=datetime.UTC)}
    rows = [
        caption_row(image.uri, member=image.member, sha256=digest(n), byte_size=9, **place)
        for n, image in enumerate(listed(uri))
    ]
    write_part(tmp_path / "captions" / "part-0.parquet", rows)
    ledger = read_ledger(str(tmp_path / "captions"))
    assert list(Remaining(listed(uri), ledger)) == []
    write(tmp_path / "a.zip", zip_bytes([("0.png", b"larger than it was"), *PICTURES[1:3]]))
    assert [image.member for image in Remaining(listed(uri), ledger)] == ["0.png"]
    write(tmp_path / "a.zip", zip_bytes([(name, b"x" * 9) for name, _ in PICTURES[:3]]))
    assert len(list(Remaining(listed(uri), ledger))) == 3


def test_a_file_says_nothing_of_another_nor_of_one_that_is_gone_by_now(tmp_path: Path) -> None:
    names, pictures = "abc", (PICTURES[::-1], PICTURES, PICTURES[::-1])
    digests = [digest(0)] * 40 + [digest(number) for number in range(40)] * 2
    images = [
        image
        for name, some in zip(names, pictures, strict=True)
        for image in listed(shard(tmp_path / f"{name}.parquet", some))
    ]
    (tmp_path / "c.parquet").unlink()
    found = find_replaced(images, np.zeros(120), digests.__getitem__)
    assert found.tolist() == [True] * 40 + [False] * 80


def test_rows_that_are_newer_than_the_file_stay(tmp_path: Path) -> None:
    images = listed(shard(tmp_path / "a.parquet", PICTURES[::-1]))
    captioned = np.array([0, LATER_USEC] * 20)
    assert find_replaced(images, captioned, digest).tolist() == [True, False] * 20


def test_few_pictures_are_looked_at_and_rejected_ones_tell_nothing(tmp_path: Path) -> None:
    images, asked = listed(shard(tmp_path / "a.parquet", PICTURES)), []

    def of_a_reject(number: int) -> None:
        asked.append(number)

    assert not find_replaced(images, np.zeros(40), of_a_reject).any()
    assert asked == [0, 5, 10, 15, 20, 25, 30, 35]
    # Of the members of a tar the listing knows sizes and times.
    members = listed(write(tmp_path / "a.tar", tar_bytes(PICTURES)))
    assert not find_replaced(members[:-1], np.zeros(39), lambda number: digest(number + 1)).any()
    assert find_replaced([], np.zeros(0), of_a_reject).tolist() == []


def test_a_file_in_the_place_of_another_is_captioned_again(tmp_path: Path) -> None:
    uri = shard(tmp_path / "a.parquet", PICTURES[:3])
    # After the time of the file, and before that of its status, so that its pictures are compared.
    place = {"container": uri, "captioned_at": datetime.datetime(2005, 1, 1, tzinfo=datetime.UTC)}
    rows = [caption_row(f"{uri}!/{n}", member=str(n), sha256=digest(n), **place) for n in range(3)]
    write_part(tmp_path / "captions" / "part-0.parquet", rows)
    ledger = read_ledger(str(tmp_path / "captions"))
    assert list(Remaining(listed(uri), ledger)) == []
    assert list(Remaining(listed(uri)[:0:-1], ledger)) == [], "in whichever order it is listed"
    shard(tmp_path / "a.parquet", PICTURES[3:7])
    assert [image.member for image in Remaining(listed(uri), ledger)] == ["0", "1", "2", "3"]
