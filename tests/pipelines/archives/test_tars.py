"""Tests of tar files: only headers are read, and one that ends too early is told."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from container_builders import (
    contents_of,
    flaws_of,
    listed,
    tar_bytes,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import list_container, read_image_bytes
from pipelines.archives.members import SkippedFiles
from pipelines.records import ImageFile

BLOCK = 512


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_tars_are_read(tmp_path: Path, format: int) -> None:
    members = {f"{'deep/' * 60}{'n' * 120}-ü-{i}.jpg": bytes([i]) for i in range(3)}
    uri = write(tmp_path / "archive.tar", tar_bytes(members, format))
    assert contents_of(listed(uri)) == members


def test_links_and_sparse_members_of_a_tar_are_flaws(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in [("s.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE)]:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a.jpg"
            archive.addfile(link)
        fifo = tarfile.TarInfo("fifo.jpg")
        fifo.type = tarfile.FIFOTYPE
        archive.addfile(fifo)
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "4"}
        archive.addfile(sparse)
    images = listed(str(tmp_path / "a.tar"))
    assert flaws_of(images) == dict.fromkeys(
        ["s.jpg", "h.jpg", "fifo.jpg", "sparse.jpg"], "unreadable"
    )
    assert "a link to 'a.jpg'" in (images[0].flaw or "")


@pytest.mark.parametrize(
    ("mtime", "modified_usec"),
    [
        (1_600_000_000, 1_600_000_000_000_000),
        (1_600_000_000.25, 1_600_000_000_250_000),
        (0, None),  # so that the tar is the same whenever it is packed
        (-5, None),
        (2**32, None),
    ],
)
def test_a_member_is_as_old_as_its_header_says_unless_that_was_never_meant(
    tmp_path: Path, mtime: float, modified_usec: int | None
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.mtime = mtime
        archive.addfile(member)
    (image,) = listed(str(tmp_path / "a.tar"))
    assert image.modified_usec == modified_usec


def test_listing_a_tar_reads_its_headers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = write(tmp_path / "a.tar", tar_bytes({f"{i}.jpg": bytes(200_000) for i in range(10)}))
    taken = 0

    class Counting:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Counting:
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def read(self, size: int = -1) -> bytes:
            nonlocal taken
            data = self.file.read(size)
            taken += len(data)
            return data

    plain = files.open_bytes
    monkeypatch.setattr(files, "open_bytes", lambda uri: Counting(plain(uri)))
    assert len(listed(uri)) == 10
    # A header each, and what fills the last record of 20 blocks.
    assert taken < 40 * BLOCK


def test_listing_streams(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.tar", tar_bytes({f"{i}.jpg": b"1" for i in range(5)}))
    images = list_container(uri, SkippedFiles())
    assert next(images).image_id == "0.jpg"
    os.truncate(uri, 2 * 2 * BLOCK)  # what lies behind was not read yet
    assert next(images).image_id == "1.jpg"


def truncated(tmp_path: Path, length: int, members: dict[str, bytes]) -> list[ImageFile]:
    return listed(write(tmp_path / "a.tar", tar_bytes(members)[:length]))


def test_a_tar_that_ends_in_a_member_gives_one_flaw_for_it_and_the_rest(tmp_path: Path) -> None:
    members = {"a.jpg": b"a" * 100, "b.jpg": b"b" * 700, "c.jpg": b"c"}
    images = truncated(tmp_path, 3 * BLOCK + 600, members)
    assert contents_of(images) == {"a.jpg": b"a" * 100}
    assert flaws_of(images) == {"@1024": "truncated"}
    assert "'b.jpg'" in images[1].flaw


def test_a_tar_that_ends_in_the_padding_of_a_member_gives_it_and_the_rest(tmp_path: Path) -> None:
    images = truncated(tmp_path, BLOCK + 100, {"a.jpg": b"a" * 100, "b.jpg": b"b"})
    assert contents_of(images) == {"a.jpg": b"a" * 100}
    assert list(flaws_of(images).values()) == ["truncated"]
    assert len(images) == 2


@given(st.integers(1, 8), st.integers(BLOCK, 10_240))
@settings(max_examples=60)
def test_wherever_a_tar_ends_its_whole_members_are_read_and_one_flaw_is_left(
    number: int, length: int
) -> None:
    members = {f"{i}.jpg": bytes([i]) * (300 * i) for i in range(number)}
    with tempfile.TemporaryDirectory() as folder:
        images = truncated(Path(folder), length, members)
        read = contents_of(images)
        assert list(read.items()) == list(members.items())[: len(read)]
        assert len(flaws_of(images)) == (length < whole_length(members))


def whole_length(members: dict[str, bytes]) -> int:
    """Bytes up to the end of the first of the two empty blocks that end a tar."""
    return BLOCK + sum(BLOCK + -(-len(data) // BLOCK) * BLOCK for data in members.values())


@pytest.mark.parametrize("more", [0, 1, 300])
def test_a_tar_that_ends_without_its_mark_gives_one_flaw_for_the_rest(
    tmp_path: Path, more: int
) -> None:
    images = truncated(tmp_path, 2 * BLOCK + more, {"a.jpg": b"a", "b.jpg": b"b"})
    assert contents_of(images) == {"a.jpg": b"a"}
    assert list(flaws_of(images).values()) == ["truncated"]
    assert images[1].uri == f"{tmp_path}/a.tar!/@1024"


def test_a_truncated_member_of_another_kind_stands_for_the_pictures_behind(tmp_path: Path) -> None:
    images = truncated(tmp_path, 3 * BLOCK + 1, {"a.jpg": b"a", "a.txt": b"text", "b.jpg": b"b"})
    assert contents_of(images) == {"a.jpg": b"a"}
    assert list(flaws_of(images).values()) == ["truncated"]


def test_a_damaged_header_gives_one_flaw_for_the_rest(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"}))
    data[2 * BLOCK : 2 * BLOCK + 10] = b"\xffdamaged!!"
    images = listed(write(tmp_path / "a.tar", bytes(data)))
    assert contents_of(images) == {"a.jpg": b"a"}
    assert list(flaws_of(images).values()) == ["truncated"]


def test_a_header_that_the_library_stumbles_over_gives_one_flaw_for_the_rest(
    tmp_path: Path,
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            member = tarfile.TarInfo(name)
            member.pax_headers = {"GNU.sparse.map": "no number"} if name == "b.jpg" else {}
            archive.addfile(member)
    images = listed(str(tmp_path / "a.tar"))
    assert contents_of(images) == {"a.jpg": b""}
    assert list(flaws_of(images).values()) == ["truncated"]


def test_a_header_that_points_backwards_is_no_endless_walk(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"}))
    header = tarfile.TarInfo.frombuf(data[2 * BLOCK : 3 * BLOCK], "utf-8", "strict")
    header.size = -4 * BLOCK
    data[2 * BLOCK : 3 * BLOCK] = header.tobuf(tarfile.GNU_FORMAT)
    images = listed(write(tmp_path / "a.tar", bytes(data)))
    assert contents_of(images) == {"a.jpg": b"a"}
    assert list(flaws_of(images).values()) == ["truncated"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_more_than_there_is_memory_gives_one_flaw(
    tmp_path: Path, kind: bytes
) -> None:
    data = bytearray(tar_bytes({"a.jpg": b"a", "b.jpg": b"b"}))
    header = tarfile.TarInfo.frombuf(data[2 * BLOCK : 3 * BLOCK], "utf-8", "strict")
    header.size, header.type = 1 << 60, kind
    data[2 * BLOCK : 3 * BLOCK] = header.tobuf(tarfile.GNU_FORMAT)
    images = listed(write(tmp_path / "a.tar", bytes(data)))
    assert contents_of(images) == {"a.jpg": b"a"}
    assert list(flaws_of(images).values()) == ["truncated"]
    with pytest.raises(CaptionerError, match=r"a\.tar: got no tar file \(MemoryError\)"):
        listed(write(tmp_path / "a.tar", bytes(data[2 * BLOCK :])))


def test_a_tar_that_shrank_after_it_was_listed_is_a_truncated_read(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.tar", tar_bytes({"a.jpg": b"a" * 100}))
    (image,) = listed(uri)
    os.truncate(uri, BLOCK + 50)
    with pytest.raises(OSError, match="truncated: got 50 bytes at 512, expected 100"):
        read_image_bytes(image)


def test_tars_one_after_the_other_are_read_as_one(tmp_path: Path) -> None:
    parts = [{"a.jpg": b"aa", "b.jpg": b"b"}, {"c.jpg": b"ccc"}, {"d.jpg": b"d"}]
    data = b"".join(tar_bytes(members) for members in parts)
    images = listed(write(tmp_path / "all.tar", data))
    assert flaws_of(images) == {}
    assert contents_of(images) == {name: text for part in parts for name, text in part.items()}


def test_what_follows_the_end_of_a_tar_and_is_none_is_passed_over(tmp_path: Path) -> None:
    data = tar_bytes({"a.jpg": b"a"}) + b"signed by a program\n" * 99
    images = listed(write(tmp_path / "signed.tar", data))
    assert (flaws_of(images), contents_of(images)) == ({}, {"a.jpg": b"a"})


@pytest.mark.parametrize("behind", [b"", b"what was there before", tar_bytes({"c.jpg": b"c"})])
def test_a_tar_of_zeros_from_a_member_on_gives_one_flaw_for_the_rest(
    tmp_path: Path, behind: bytes
) -> None:
    data = tar_bytes({"a.jpg": b"a"})[: 2 * BLOCK]
    images = listed(write(tmp_path / "a.tar", data + bytes((1 << 20) + BLOCK) + behind))
    assert contents_of(images) == {"a.jpg": b"a"}
    assert flaws_of(images) == {"@1024": "truncated"}


def test_a_tar_may_end_with_zeros_up_to_the_largest_record(tmp_path: Path) -> None:
    data = tar_bytes({"a.jpg": b"a"})[: 2 * BLOCK]
    images = listed(write(tmp_path / "a.tar", data + bytes(1 << 20)))
    assert (flaws_of(images), contents_of(images)) == ({}, {"a.jpg": b"a"})
