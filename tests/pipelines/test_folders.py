"""Tests of folders and globs: what cannot be listed costs itself, what cannot match no time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import FileMetadata
from container_builders import tar_bytes, write, zip_bytes

from model.config import ImageConfig
from model.errors import CaptionerError
from pipelines.archives.members import SkippedFiles
from pipelines.images import read_image
from pipelines.records import ImageFile
from pipelines.sources import check_sources, list_images

CLOSED = "closed"


def listed(source: object) -> dict[str, ImageFile]:
    images = list(list_images(str(source), SkippedFiles()))
    by_id = {image.image_id: image for image in images}
    assert len(by_id) == len(images)
    return by_id


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed, in order; one of the name `CLOSED` cannot be."""
    names: list[str] = []
    scandir = os.scandir

    def scan(folder: str) -> Any:
        names.append(os.path.basename(folder))
        if names[-1] == CLOSED:
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    return names


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    for name in ("1999/a.jpg", "2000/deep/b.jpg", f"2000/{CLOSED}/c.jpg", "2001/d.jpg", "e.jpg"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    return root


def test_a_folder_that_cannot_be_listed_costs_itself_alone(
    archive: Path, entered: list[str]
) -> None:
    images = listed(archive)
    closed = images.pop(f"2000/{CLOSED}/")
    assert list(images) == ["1999/a.jpg", "2000/deep/b.jpg", "2001/d.jpg", "e.jpg"]
    assert closed.uri == f"{archive}/2000/{CLOSED}/"
    read = read_image(closed, ImageConfig())
    assert read.reason == "unreadable"
    assert "the folder cannot be listed: " in str(read.error)
    assert f"2000/{CLOSED}/" in listed(archive / "2*" / "**.jpg")
    with pytest.raises(CaptionerError, match="closed cannot be listed"):
        listed(archive / "2000" / CLOSED)


def test_a_link_that_may_be_to_a_folder_out_of_reach_is_told_as_one(archive: Path) -> None:
    (archive / "1999" / "disk").symlink_to(archive / "absent")
    (archive / "1999" / "lost.jpg").symlink_to(archive / "absent.jpg")
    for source in ("", "**.jpg", "*/*/*.jpg"):
        images = listed(archive / source)
        assert images["1999/disk/"].uri == f"{archive}/1999/disk/"
        assert str(images["1999/disk/"].flaw).startswith("unreadable: the folder cannot be listed")
    assert "1999/disk/" not in listed(archive / "*" / "*.jpg")
    # Where it is a file that the glob matches, or none that it could be in.
    lost = listed(archive / "1999" / "*")
    assert lost["disk"].flaw is None
    assert listed(archive)["1999/lost.jpg"].flaw is None


@pytest.mark.parametrize(
    ("pattern", "found", "folders"),
    [
        ("*.jpg", ["e.jpg"], []),
        ("*/*.jpg", ["1999/a.jpg", "2001/d.jpg"], ["1999", "2000", "2001"]),
        ("2*1/*.jpg", ["2001/d.jpg"], ["2001"]),
        ("2*/d*/*", ["2000/deep/b.jpg"], ["2000", "deep", "2001"]),
        ("2**.jpg", ["2000/deep/b.jpg", "2001/d.jpg"], ["2000", "deep", "2001"]),
        ("**/b.jpg", ["2000/deep/b.jpg"], ["1999", "2000", "deep", "2001"]),
        ("?999/*", ["1999/a.jpg"], ["1999"]),
    ],
)
def test_a_glob_enters_the_folders_that_may_hold_what_it_matches(
    archive: Path, entered: list[str], pattern: str, found: list[str], folders: list[str]
) -> None:
    (archive / "2000" / CLOSED / "c.jpg").unlink()
    (archive / "2000" / CLOSED).rmdir()
    assert list(listed(archive / pattern)) == found
    assert entered == ["archive", *folders]


def test_a_glob_may_have_no_plain_name_at_all(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", b"1234")
    _, first, *others = tmp_path.parts
    pattern = "/".join(["", f"{first[:-1]}?", *others, "*.jpg"])
    assert [image.uri for image in listed(pattern).values()] == [str(tmp_path / "a.jpg")]


def test_times_of_objects_are_told_where_they_are_known(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    memory["memory://bucket/a.jpg"] = b"1234"
    (image,) = listed("memory://bucket").values()
    assert image.modified_usec is None
    timed = FileMetadata("memory://bucket/a.jpg", 4, 1_600_000_000.25)
    monkeypatch.setattr(cloud, "metadata", lambda *_: timed)
    (image,) = listed("memory://bucket").values()
    assert image.modified_usec == 1_600_000_000_250_000


def test_a_backslash_is_a_letter_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "back\\slash.jpg").write_bytes(b"1234")
    assert list(listed(tmp_path / "*.jpg")) == list(listed(tmp_path)) == ["back\\slash.jpg"]


def test_folders_may_be_nested_deeper_than_python_calls(tmp_path: Path) -> None:
    deepest = str(tmp_path)
    for _ in range(1200):
        deepest += "/d"
        os.mkdir(deepest)
    Path(f"{deepest}/a.jpg").write_bytes(b"1234")
    try:
        (image,) = listed(tmp_path).values()
    finally:  # pytest and Python's own rmtree cannot
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    assert image.uri == f"{deepest}/a.jpg"


@pytest.mark.parametrize("pattern", ["", "*"])
def test_a_pipe_is_no_picture_and_is_told(tmp_path: Path, pattern: str) -> None:
    for name in ("a.jpg", "log.fifo"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "b.jpg").write_bytes(b"1234")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "c.tar")  # which nobody would ever open for reading
    images = listed(tmp_path / pattern)
    assert list(images) == ["a.jpg", "b.jpg", "link.jpg"]
    for name in ("a.jpg", "link.jpg"):
        assert images[name].flaw == "unreadable: it is a pipe, a socket or a device, and no file"
    assert images["b.jpg"].flaw is None


def test_a_glob_that_is_no_pattern_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"\[b-a\]\.jpg: got a glob that matches nothing"):
        listed(tmp_path / "[b-a].jpg")


def test_an_object_that_stands_for_a_folder_is_no_picture(memory: dict[str, bytes]) -> None:
    for name, data in (("", b""), ("1999/", b""), ("1999/a.jpg", b"1234")):
        memory[f"memory://bucket/photos/{name}"] = data
    for source in ("memory://bucket/photos", "memory://bucket/photos/**"):
        (image,) = list_images(source, SkippedFiles())
        assert image.uri == "memory://bucket/photos/1999/a.jpg"


@pytest.mark.parametrize(
    "damaged",
    [b"", tar_bytes({"b.jpg": b"1234"})[:200], zip_bytes({"b.jpg": b"1234"})[:40]],
    ids=["empty", "half a tar", "half a zip"],
)
@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_a_damaged_archive_of_many_costs_itself_alone(
    tmp_path: Path, suffix: str, damaged: bytes
) -> None:
    whole = {".tar": tar_bytes, ".zip": zip_bytes}[suffix]({"a.jpg": b"1234"})
    write(tmp_path / f"1{suffix}", damaged)
    write(tmp_path / f"2{suffix}", whole)
    (tmp_path / f"3{suffix}").symlink_to(tmp_path / "absent")
    first, second, third = list_images(f"{tmp_path}/*{suffix}", SkippedFiles())
    assert second.uri == f"{tmp_path}/2{suffix}!/a.jpg"
    for image, name in ((first, "1"), (third, "3")):
        assert image.uri == f"{tmp_path}/{name}{suffix}"
        assert str(image.flaw).startswith(f"unreadable: {tmp_path}/{name}{suffix}")
    with pytest.raises(CaptionerError):
        listed(tmp_path / f"1{suffix}")


def test_sources_are_checked_by_their_first_picture(archive: Path, entered: list[str]) -> None:
    check_sources([str(archive), str(archive / "*" / "*.jpg")])
    assert entered == ["archive", "1999"] * 2
    for absent in (archive / "absent", archive / "absent" / "*.jpg", archive / "1999" / "*.png"):
        with pytest.raises(CaptionerError, match=r"[Cc]heck the path"):
            check_sources([str(archive), str(absent)])


def test_sources_that_cannot_be_looked_at_twice_are_taken_on_trust(
    memory: dict[str, bytes], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "list.txt")
    check_sources(["memory://bucket/absent", str(tmp_path / "list.txt")])
