"""Tests of learning from captions that `captioner caption` wrote: each finds its picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from container_builders import (
    caption_row,
    parquet_bytes,
    tar_bytes,
    write,
    write_part,
    zip_bytes,
)

from model.config import ImageConfig
from model.errors import CaptionerError
from pipelines.archives.containers import list_container, read_image_bytes
from pipelines.archives.members import SkippedFiles
from pipelines.captions.formats import detect_sources
from pipelines.captions.own import list_captioned, list_parts, read_own_captions
from pipelines.images import read_image
from pipelines.records import ImageFile
from pipelines.schemas import REJECTED


def member_row(image: ImageFile, **values: Any) -> dict[str, Any]:
    """The row of a picture in a container."""
    return caption_row(image.uri, container=image.container, member=image.member, **values)


def test_captioned_rows_are_captions_and_rejected_ones_are_not(tmp_path: Path) -> None:
    rows = [
        caption_row("/a.jpg"),
        caption_row("/b.jpg", status=REJECTED, caption=None),
        caption_row("/c.jpg"),
    ]
    found = list(read_own_captions(write_part(tmp_path / "part-1.parquet", rows), None))
    assert [tuple(caption) for caption in found] == [
        ("/a.jpg", "A dog", None, "row 0"),
        ("/c.jpg", "A dog", None, "row 2"),
    ]


def test_captions_of_a_lower_score_are_left_out(tmp_path: Path) -> None:
    scores = [-0.5, -0.75, -1.0, None, float("nan")]
    rows = [caption_row(f"/{score}.jpg", score=score) for score in scores]
    uri = write_part(tmp_path / "part-1.parquet", rows)
    names = [caption.image_id for caption in read_own_captions(uri, -0.75)]
    assert names == ["/-0.5.jpg", "/-0.75.jpg"]
    assert [image.uri for image in list_captioned([uri], -0.75)] == names


def test_a_parquet_of_another_schema_is_an_error_that_lists_its_columns(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.parquet", parquet_bytes({"image": ["a"], "caption": ["A"]}))
    with pytest.raises(CaptionerError, match=r"got the columns \['image', 'caption'\], expected"):
        list(read_own_captions(uri, None))


def test_the_parts_of_a_folder_are_found_for_every_model(tmp_path: Path) -> None:
    names = ["model=a/part-2.parquet", "model=b/part-1.parquet", "part-9.parquet"]
    others = ["_runs/x.json", "model=a/_part-1.parquet.0.tmp", "notes/part-1.parquet"]
    for name in (*names, *others):
        write(tmp_path / name, b"")
    assert list_parts(str(tmp_path)) == sorted(f"{tmp_path}/{name}" for name in names)
    assert list_parts(str(tmp_path / "model=b")) == [f"{tmp_path}/model=b/part-1.parquet"]


def test_a_table_that_a_run_is_about_to_tidy_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "captions" / "model=ab"
    rows = [caption_row(uri) for uri in ("/a.jpg", "/b.jpg")]
    parts = [write_part(folder / "part-1.parquet", rows)]
    parts.append(write_part(tmp_path / "captions" / "model=cd" / "part-1.parquet", rows))
    assert [source.uri for source in detect_sources([str(tmp_path / "captions")], None)] == parts
    write_part(folder / "part-2.parquet", rows[1:])
    with pytest.raises(CaptionerError, match=r"model=ab: got 1 rows of pictures that have another"):
        detect_sources([str(tmp_path / "captions")], None)
    (folder / "part-2.parquet").rename(tmp_path / "captions" / "model=cd" / "part-2.parquet")
    for named in ("", "*/part-*.parquet", "**.parquet"):
        with pytest.raises(CaptionerError, match=r"model=cd: got 1 rows of pictures that have an"):
            detect_sources([str(tmp_path / "captions" / named)], None)
    # Those that are not given are not looked at.
    assert len(detect_sources([str(tmp_path / "captions" / "*" / "part-1.parquet")], None)) == 2


def test_plain_pictures_are_listed_once_by_their_uris(tmp_path: Path) -> None:
    uris = [
        write_part(
            tmp_path / f"part-{part}.parquet", [caption_row("/a.jpg"), caption_row(f"/{part}.jpg")]
        )
        for part in (1, 2)
    ]
    images = list(list_captioned(uris, None))
    assert images == [ImageFile(uri, uri, 4) for uri in ("/a.jpg", "/1.jpg", "/2.jpg")]


def test_members_of_containers_are_found_again(tmp_path: Path) -> None:
    members = {f"{i}.jpg": bytes([i]) * 10 for i in range(4)}
    pictures = list(members.values())
    containers = {
        write(tmp_path / "a.tar", tar_bytes(members)): None,
        write(tmp_path / "a.zip", zip_bytes(members)): None,
        write(tmp_path / "a.parquet", parquet_bytes({"image": pictures})): None,
        write(tmp_path / "b.parquet", parquet_bytes({"l": pictures, "r": pictures})): "l",
    }
    rows = []
    for uri, column in containers.items():
        rows += [member_row(image) for image in list_container(uri, SkippedFiles(), column)][1:3]
    part = write_part(tmp_path / "out" / "part-1.parquet", rows)
    images = list(list_captioned([part], None))
    assert {image.uri for image in images} == {row["image_uri"] for row in rows}
    assert all(image.image_id == image.uri and image.flaw is None for image in images)
    assert sorted(map(read_image_bytes, images)) == sorted(pictures[1:3] * len(containers))


def test_pictures_are_listed_as_they_are_now_and_known_by_their_bytes(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jpg", b"longer than four bytes")
    members = write(tmp_path / "a.zip", zip_bytes({"b.jpg": b"b"}))
    (member,) = list_container(members, SkippedFiles())
    rows = [caption_row(uri, sha256="0a"), member_row(member, sha256="0b")]
    part = write_part(tmp_path / "out" / "part-1.parquet", rows)
    loose, inside = list_captioned([part], None)
    assert (loose.byte_size, loose.sha256, loose.flaw) == (22, "0a", None)
    assert loose.modified_usec == os.stat(uri).st_mtime_ns // 1000
    assert (inside.sha256, inside.flaw) == ("0b", None)
    assert read_image(loose, ImageConfig(8)).reason == "changed"
    again = write_part(tmp_path / "out" / "part-2.parquet", [caption_row(uri, sha256="0c")])
    loose, _ = list_captioned([part, again], None)
    assert loose.flaw is None
    assert read_image(loose, ImageConfig(8)).reason == "changed"


def test_a_container_or_member_that_is_gone_is_a_flaw(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.tar", tar_bytes({"a.jpg": b"a", "b.jpg": b"b"}))
    rows = [member_row(image) for image in list_container(uri, SkippedFiles())]
    rows.append(caption_row("/gone.zip!/a.jpg", container="/gone.zip", member="a.jpg"))
    part = write_part(tmp_path / "out" / "part-1.parquet", rows)
    write(tmp_path / "a.tar", tar_bytes({"b.jpg": b"b"}))
    flaws = {image.uri: image.flaw for image in list_captioned([part], None)}
    assert flaws == {
        f"{uri}!/a.jpg": f"missing: {uri} has no such member any more",
        f"{uri}!/b.jpg": None,
        "/gone.zip!/a.jpg": flaws["/gone.zip!/a.jpg"],
    }
    assert (flaws["/gone.zip!/a.jpg"] or "").startswith("missing: /gone.zip cannot be read")
    write(tmp_path / "a.tar", b"no tar any more")
    flaws = {image.uri: image.flaw for image in list_captioned([part], None)}
    assert (flaws[f"{uri}!/b.jpg"] or "").startswith("unreadable: ")


def test_remote_captions_and_containers_are_read(memory: dict[str, bytes], tmp_path: Path) -> None:
    uri, part = "memory://bucket/a.tar", "memory://bucket/out/model=0123/part-1.parquet"
    memory[uri] = tar_bytes({"a.jpg": b"a"})
    (image,) = list_container(uri, SkippedFiles())
    local = write_part(tmp_path / "part.parquet", [member_row(image)])
    memory[part] = Path(local).read_bytes()
    assert list_parts("memory://bucket/out") == [part]
    (found,) = list_captioned([part], None)
    assert read_image_bytes(found) == b"a"
