"""Tests of ranges of files: a far file is opened once, however many of its ranges are read."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines import ranges
from pipelines.ranges import close_ranges, read_range

DATA = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_ranges()


@pytest.fixture(params=["near", "far"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, memory: dict[str, bytes]) -> str:
    if request.param == "near":
        (tmp_path / "file").write_bytes(DATA)
        return str(tmp_path / "file")
    memory["memory://bucket/file"] = DATA
    return "memory://bucket/file"


def test_threads_read_ranges_of_one_file(uri: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: read_range(uri, at, 100), range(0, 10_000, 50)))
    assert found == [DATA[at : at + 100] for at in range(0, 10_000, 50)]
    assert read_range(uri, 7, 0) == b""


@pytest.mark.parametrize("offset", [len(DATA) - 5, len(DATA), 2 * len(DATA)])
def test_a_file_that_ends_before_is_an_error_of_reading(uri: str, offset: int) -> None:
    got = max(0, len(DATA) - offset)
    with pytest.raises(OSError, match=f"file: truncated: got {got} bytes at {offset}, expected 6"):
        read_range(uri, offset, 6)


def test_a_file_that_is_not_there_is_told(uri: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_range(f"{uri}-absent", 0, 1)


def test_a_read_that_never_comes_costs_no_other_one(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    memory["memory://bucket/file"] = DATA
    gate, asked, open_it = threading.Event(), threading.Event(), cloud.open

    class Hung(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.set()
            gate.wait(60)
            return super().read(size)

    monkeypatch.setattr(cloud, "open", lambda *_, **__: Hung(DATA))
    monkeypatch.setattr(ranges, "_HUNG_SEC", 0.1)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(read_range, "memory://bucket/file", 0, 10)
        assert asked.wait(60)
        monkeypatch.setattr(cloud, "open", open_it)
        others = pool.map(lambda at: read_range("memory://bucket/file", at, 10), range(1, 5))
        assert list(others) == [DATA[at : at + 10] for at in range(1, 5)]
        assert not first.done()
        close_ranges()  # nor does it wait
        gate.set()
        assert first.result(60) == DATA[:10]


def test_many_reads_of_a_slow_line_are_none_that_never_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.2)
            return super().read(size)

    def open_bytes(uri: str) -> Slow:
        opened.append(uri)
        return Slow(DATA)

    monkeypatch.setattr(ranges.files, "open_bytes", open_bytes)
    monkeypatch.setattr(ranges, "_HUNG_SEC", 1.2)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda at: read_range("memory://bucket/file", at, 10), range(12)))
    assert found == [DATA[at : at + 10] for at in range(12)]
    assert opened == ["memory://bucket/file"]


def test_a_far_file_is_opened_once_until_it_is_closed(
    memory: dict[str, bytes], opened: list[str]
) -> None:
    memory["memory://bucket/file"] = DATA
    memory["memory://bucket/other"] = DATA[::-1]
    for at in range(5):
        assert read_range("memory://bucket/file", at, 10) == DATA[at : at + 10]
        assert read_range("memory://bucket/other", at, 10) == DATA[::-1][at : at + 10]
    assert opened == ["memory://bucket/file", "memory://bucket/other"]
    memory["memory://bucket/file"] = b"another"
    close_ranges()
    assert read_range("memory://bucket/file", 0, 7) == b"another"
