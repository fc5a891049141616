"""Tests of reading pictures: a failure is a result with its reason, and memory is bounded."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import builders
import numpy as np
import pytest
from PIL import Image

from model.colour import to_rgb
from model.config import ImageConfig
from model.errors import CaptionerError
from model.image import DecodedImage, decode_image
from pipelines import images as images_module
from pipelines.images import MAX_FILE_BYTES, ReadImage, read_ahead, read_image, threads_for
from pipelines.records import ImageFile
from pipelines.threads import AHEAD_PER_THREAD, THREADS, Room

CONFIG = ImageConfig(32, max_pixels=10_000)


def read_file(uri: str, config: ImageConfig) -> ReadImage:
    return read_image(ImageFile(uri, Path(uri).name, 0), config, hashed=True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    Image.fromarray(builders.square_picture("red", 1, 64)).resize((90, 60)).save(path)
    return path


def test_a_sound_picture_is_read_whole(picture: Path) -> None:
    data = picture.read_bytes()
    read = read_file(str(picture), CONFIG)
    assert (read.reason, read.error) == (None, None)
    assert (read.byte_size, read.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert read.decoded is not None
    assert (read.decoded.width_px, read.decoded.height_px, read.decoded.format) == (90, 60, "JPEG")
    np.testing.assert_array_equal(read.decoded.pixels, decode_image(data, CONFIG).pixels)
    assert read_image(ImageFile(str(picture), picture.name, 0), CONFIG).sha256 is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"no picture", "unreadable"), (None, "truncated")],
)
def test_a_broken_picture_has_its_reason_and_its_sum(
    picture: Path, data: bytes | None, reason: str
) -> None:
    data = picture.read_bytes()[:-200] if data is None else data
    picture.write_bytes(data)
    read = read_file(str(picture), CONFIG)
    assert (read.decoded, read.reason) == (None, reason)
    assert (read.byte_size, read.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert read.error


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_a_bomb(picture: Path) -> None:
    read = read_file(str(picture), ImageConfig(32, max_pixels=90 * 60 - 1))
    assert (read.decoded, read.reason) == (None, "bomb")
    assert "--max-pixels" in (read.error or "")


def test_an_absent_picture_is_missing(tmp_path: Path) -> None:
    read = read_file(str(tmp_path / "absent.jpg"), CONFIG)
    assert (read.reason, read.sha256, read.byte_size) == ("missing", None, None)
    assert "absent.jpg" in (read.error or "")


def test_a_link_that_leads_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / "absent.jpg")
    assert read_file(str(tmp_path / "link.jpg"), CONFIG).reason == "missing"


def test_a_folder_named_like_a_picture_is_unreadable(tmp_path: Path) -> None:
    assert read_file(str(tmp_path), CONFIG).reason == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_picture_without_permission_is_unreadable(picture: Path) -> None:
    picture.chmod(0)
    assert read_file(str(picture), CONFIG).reason == "unreadable"


def test_an_absent_remote_picture_is_missing(memory: dict[str, bytes]) -> None:
    assert read_file("memory://bucket/absent.jpg", CONFIG).reason == "missing"


def test_a_picture_whose_cloud_fails_is_unreadable(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise LookupError("503")

    memory["memory://bucket/a.jpg"] = b""
    monkeypatch.setattr(cloud, "open", lambda *_, **__: Failing())
    read = read_file("memory://bucket/a.jpg", CONFIG)
    assert (read.reason, read.error) == (
        "unreadable",
        "OSError: memory://bucket/a.jpg: LookupError: 503",
    )


def test_far_pictures_are_waited_for_together_and_decoded_a_few_at_a_time(
    picture: Path, memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    together, decoding, most = threading.Barrier(16, timeout=60), threading.Semaphore(THREADS), []

    def open_together(self: object, path: str, *_: str, **__: str) -> io.BytesIO:
        together.wait()
        return io.BytesIO(memory[path])

    def decode_alone(data: bytes, config: ImageConfig, room: Callable) -> DecodedImage:
        most.append(decoding.acquire(blocking=False))
        time.sleep(0.01)
        decoding.release()
        return decode_image(data, config, room)

    images = [ImageFile(f"memory://bucket/{i}.jpg", f"{i}.jpg", 0) for i in range(32)]
    memory.update({image.uri: picture.read_bytes() for image in images})
    monkeypatch.setattr(cloud, "open", open_together)
    monkeypatch.setattr("pipelines.images.decode_image", decode_alone)
    reads = list(read_ahead(images, CONFIG, limit_sec=60))
    assert [read.reason for read in reads] == [None] * 32
    assert most == [True] * 32


def test_large_pictures_are_decoded_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads there are: of 16 bits, 16 of 100 megapixels would take 20 GB."""
    images, at_work, most = [], 0, []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        Image.new("I;16", (40, 40), number).save(path)
        images.append(ImageFile(str(path), path.name, 0))

    def slow_to_rgb(image: Image.Image) -> Image.Image:
        nonlocal at_work
        at_work += 1
        most.append(at_work)
        time.sleep(0.02)
        at_work -= 1
        return to_rgb(image)

    monkeypatch.setattr("model.image.to_rgb", slow_to_rgb)
    monkeypatch.setattr("pipelines.images.THREADS", 4)
    monkeypatch.setattr("pipelines.images._decoders", threading.BoundedSemaphore(4))
    monkeypatch.setattr("pipelines.images._room", Room(2 * 40 * 40 * 14, limit_sec=60))
    reads = list(read_ahead(images, CONFIG, limit_sec=60))
    assert [read.reason for read in reads] == [None] * 8
    assert 1 <= max(most) <= 2


def test_pictures_that_never_get_decoded_keep_no_other_from_it(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.images._decoders", threading.BoundedSemaphore(1))
    monkeypatch.setattr("pipelines.images._DECODER_SEC", 0.1)
    assert images_module._decoders.acquire(blocking=False)
    assert read_file(str(picture), CONFIG).reason is None
    assert not images_module._decoders.acquire(blocking=False), "nobody gave back what was not his"


def test_a_picture_is_read_if_its_bytes_are_those_that_are_known(picture: Path) -> None:
    data = picture.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    read = read_image(ImageFile(str(picture), "a.jpg", 0, sha256=sha256), CONFIG)
    assert (read.reason, read.sha256) == (None, sha256)
    read = read_image(ImageFile(str(picture), "a.jpg", 0, sha256="0a"), CONFIG)
    assert (read.decoded, read.reason) == (None, "changed")
    assert (read.sha256, read.byte_size) == (sha256, len(data))


def test_more_threads_read_where_pictures_are_waited_for() -> None:
    near, far = ImageFile("/a.jpg", "a", 4), ImageFile("memory://bucket/a.jpg", "a", 4)
    tar = ImageFile("memory://bucket/a.tar!/a", "a", 4, "memory://bucket/a.tar", "a", 0)
    # They come one after the other, however many ask.
    row = ImageFile("memory://bucket/a.parquet!/0", "a", 4, "memory://bucket/a.parquet", "0", 0)
    assert [threads_for([near, one]) > THREADS for one in (near, far, tar, row)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_flaw_that_the_listing_found_is_told_and_nothing_is_read(picture: Path) -> None:
    image = ImageFile(str(picture), "a.jpg", 0, flaw="encrypted: the zip: has a password")
    read = read_image(image, CONFIG)
    assert (read.decoded, read.reason) == (None, "encrypted")
    assert (read.error, read.sha256) == ("the zip: has a password", None)


def test_a_file_larger_than_memory_is_refused_unread() -> None:
    huge = ImageFile("/a.zip!/b.png", "b.png", MAX_FILE_BYTES + 1, "/a.zip", "b.png")
    read = read_image(huge, CONFIG)
    assert (read.reason, read.byte_size) == ("bomb", MAX_FILE_BYTES + 1)
    row = ImageFile("/a.parquet!/0", "b.png", MAX_FILE_BYTES + 1, "/a.parquet", "0", 0)
    assert read_image(row, CONFIG).reason == "missing"


@pytest.fixture
def fifo(tmp_path: Path) -> ImageFile:
    """A file whose bytes never come."""
    os.mkfifo(tmp_path / "fifo.jpg")
    return ImageFile(str(tmp_path / "fifo.jpg"), "fifo.jpg", 0)


def test_a_read_that_stalls_costs_its_picture_alone(picture: Path, fifo: ImageFile) -> None:
    sound = ImageFile(str(picture), "picture.jpg", 0)
    started = time.monotonic()
    reads = list(read_ahead([sound, fifo, sound, fifo, sound], CONFIG, limit_sec=1.0))
    assert [read.reason for read in reads] == [None, "stalled", None, "stalled", None]
    assert reads[1].error == "it could not be read in 1 s (--read-timeout-sec)"
    assert (reads[1].sha256, reads[1].byte_size) == (None, None)
    assert time.monotonic() - started < 20


def test_a_disk_that_stalls_is_no_fault_of_its_pictures(picture: Path, fifo: ImageFile) -> None:
    ahead = AHEAD_PER_THREAD * THREADS
    images = [fifo] * (ahead - 1) + [ImageFile(str(picture), "picture.jpg", 0)]
    reads = list(read_ahead(images * 2, CONFIG, limit_sec=0.1))
    assert [read.reason for read in reads] == (["stalled"] * (ahead - 1) + [None]) * 2
    with pytest.raises(CaptionerError, match=rf"none of {ahead} images in a row .*fifo\.jpg"):
        list(read_ahead([fifo] * 3 * ahead, CONFIG, limit_sec=0.1))
