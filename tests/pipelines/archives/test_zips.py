"""Tests of zip files: one directory for all threads, damage costs single members."""

from __future__ import annotations

import os
import random
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_builders import (
    contents_of,
    flaws_of,
    listed,
    read_in_threads,
    write,
    zip_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import close_containers, read_image_bytes

members = st.dictionaries(st.sampled_from(["a.jpg", "b/ü.jpg", "c.png"]), st.binary(max_size=2000))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_containers()


@given(members, st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
@settings(max_examples=20)
def test_every_compression_of_zip_is_read(members: dict[str, bytes], method: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = listed(write(Path(folder) / "archive.zip", zip_bytes(members, method)))
        assert contents_of(images) == members
        close_containers()


def test_an_encrypted_member_of_a_zip_is_a_flaw(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"a", "b.jpg": b"b"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    images = listed(write(tmp_path / "a.zip", bytes(data)))
    assert flaws_of(images) == {"a.jpg": "encrypted"}
    assert contents_of(images) == {"b.jpg": b"b"}


def test_an_unknown_compression_of_a_zip_is_a_flaw(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"a", "b.jpg": b"b"}))
    data[data.index(b"PK\x01\x02") + 10] = 93
    images = listed(write(tmp_path / "a.zip", bytes(data)))
    assert flaws_of(images) == {"a.jpg": "unreadable"}
    assert "method 93" in (images[0].flaw or "")


def test_a_member_of_a_zip_without_a_name_is_no_picture(tmp_path: Path) -> None:
    data = zip_bytes([("", b"nothing"), ("deep/", b""), ("a.jpg", b"a")])
    assert contents_of(listed(write(tmp_path / "a.zip", data))) == {"a.jpg": b"a"}


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_without_the_flag_of_utf8_are_those_of_macos_or_of_old_windows(
    tmp_path: Path, encoding: str
) -> None:
    name = "Möbel/Stühle.jpg".encode(encoding)
    placeholder = "n" * (len(name) - 4) + ".jpg"  # names of ASCII have no such flag
    data = zip_bytes({placeholder: b"a"}).replace(placeholder.encode(), name)
    images = listed(write(tmp_path / "a.zip", data))
    assert contents_of(images) == {"Möbel/Stühle.jpg": b"a"}


def test_a_zip_of_a_later_version_is_an_error_of_one_line(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"a"}))
    data[data.index(b"PK\x01\x02") + 6] = 99
    with pytest.raises(CaptionerError, match=r"a\.zip: got no whole zip file \(.*version 9\.9"):
        listed(write(tmp_path / "a.zip", bytes(data)))


def test_a_damaged_member_of_a_zip_costs_that_one_alone(tmp_path: Path) -> None:
    data = zip_bytes({"a.jpg": b"bytes of a", "b.jpg": b"b"}).replace(b"bytes of a", b"bytes of x")
    images = listed(write(tmp_path / "a.zip", data))
    with pytest.raises(OSError, match=r"a\.jpg.*BadZipFile.*CRC") as error:
        read_image_bytes(images[0])
    assert isinstance(error.value.__cause__, zipfile.BadZipFile)
    assert read_image_bytes(images[1]) == b"b"


@pytest.mark.parametrize("place", [0, 100])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_an_error_of_reading_however_a_member_is_compressed(
    tmp_path: Path, method: int, place: int
) -> None:
    data = zip_bytes({"a.jpg": random.Random(1).randbytes(300) + b"abc" * 500}, method)
    start = data.index(b"a.jpg") + len(b"a.jpg") + place
    damaged = data[:start] + b"\xff" * 50 + data[start + 50 :]
    (image,) = listed(write(tmp_path / "a.zip", damaged))
    with pytest.raises(OSError, match=r"a\.jpg: |Invalid data stream"):
        read_image_bytes(image)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_hardly_more_is_unpacked_than_a_member_claims(tmp_path: Path, method: int) -> None:
    data = bytearray(zip_bytes({"a.jpg": bytes(200 << 20)}, method))
    size = data.index(b"PK\x01\x02") + 24
    data[size : size + 4] = struct.pack("<I", 1000)
    (image,) = listed(write(tmp_path / "a.zip", bytes(data)))
    tracemalloc.start()
    with pytest.raises(OSError, match=r"(?i)a\.jpg: BadZipFile: bad CRC"):
        read_image_bytes(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20, "of 200"


@pytest.mark.parametrize("claimed", [2, 4])
def test_a_bzip2_member_of_another_length_than_claimed_is_damaged(
    tmp_path: Path, claimed: int
) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"abc", "b.jpg": b"b"}, zipfile.ZIP_BZIP2))
    data[data.index(b"PK\x01\x02") + 24] = claimed
    images = listed(write(tmp_path / "a.zip", bytes(data)))
    with pytest.raises(OSError, match=r"a\.jpg: BadZipFile"):
        read_image_bytes(images[0])
    assert read_image_bytes(images[1]) == b"b"


def test_too_little_memory_for_a_member_costs_that_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> bytes:
        raise MemoryError

    (image,) = listed(write(tmp_path / "a.zip", zip_bytes({"a.jpg": b"abc"})))
    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    with pytest.raises(OSError, match=r"a\.jpg: MemoryError: MemoryError"):
        read_image_bytes(image)


def test_a_zip_that_shrinks_while_it_is_read_is_an_error_of_reading(tmp_path: Path) -> None:
    data = zip_bytes({name: name.encode() * 30_000 for name in ("a.jpg", "b.jpg")})
    images = listed(write(tmp_path / "a.zip", data))
    assert len(read_image_bytes(images[0])) == 150_000
    os.truncate(tmp_path / "a.zip", 200_000)
    with pytest.raises(OSError, match=r"b\.jpg: EOFError"):
        read_image_bytes(images[1])


def test_a_member_that_is_encrypted_by_now_is_an_error_of_reading(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"a"}))
    (image,) = listed(write(tmp_path / "a.zip", bytes(data)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    write(tmp_path / "a.zip", bytes(data))
    with pytest.raises(OSError, match=r"a\.jpg: RuntimeError: .*password"):
        read_image_bytes(image)


def test_a_member_that_is_gone_is_an_error_of_reading(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.zip", zip_bytes({"a.jpg": b"a"}))
    (image,) = listed(uri)
    write(tmp_path / "a.zip", zip_bytes({"b.jpg": b"b"}))
    with pytest.raises(OSError, match=r"KeyError.*a\.jpg"):
        read_image_bytes(image)


def test_a_zip_is_opened_once_by_all_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"{i}.jpg": os.urandom(3000) for i in range(60)}
    images = listed(write(tmp_path / "a.zip", zip_bytes(members, zipfile.ZIP_DEFLATED)))
    opened = []
    plain = files.open_bytes
    monkeypatch.setattr(files, "open_bytes", lambda uri: opened.append(uri) or plain(uri))
    assert read_in_threads(images, 8) == list(members.values())
    assert len(opened) == 1
    close_containers()
    assert read_image_bytes(images[0]) == members["0.jpg"]
    assert len(opened) == 2


def test_more_zips_than_are_kept_open_are_read(tmp_path: Path) -> None:
    images = []
    for i in range(9):
        images += listed(write(tmp_path / f"{i}.zip", zip_bytes({"a.jpg": bytes([i])})))
    shuffled = images * 5
    random.Random(1).shuffle(shuffled)
    expected = [images.index(image).to_bytes() for image in shuffled]
    assert read_in_threads(shuffled, 8) == expected
