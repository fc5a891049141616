"""Tests of files of clouds: the bytes of the file, each fetched once, and failures told as such."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from apache_beam.utils import retry
from hypothesis import given
from hypothesis import strategies as st

from pipelines import files
from pipelines.far_files import Blocks, FarFile

DATA = bytes(range(100))
places = st.integers(-120, 120)
seeks = st.tuples(places, st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END]))
sizes = st.one_of(st.integers(0, 130), st.just(-1))


class Fetched(io.BytesIO):
    """A file that counts what is fetched of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[tuple[int, int | None]] = []

    def read(self, size: int | None = -1) -> bytes:
        self.reads.append((self.tell(), size))
        return super().read(size)


class ForeignError(Exception):
    """What only a cloud's client knows."""


def seek(file: Any, offset: int, whence: int) -> int | str:
    try:
        return file.seek(offset, whence)
    except ValueError:
        return "refused"


@given(st.binary(max_size=100), st.integers(1, 40), st.integers(1, 3), st.lists(seeks | sizes))
def test_it_is_read_like_any_other_file(
    data: bytes, block_bytes: int, blocks: int, steps: list[tuple[int, int] | int]
) -> None:
    plain = io.BytesIO(data)
    with io.BufferedReader(FarFile("far", io.BytesIO(data), Blocks(blocks), block_bytes)) as far:
        for step in steps:
            if isinstance(step, int):
                assert far.read(step) == plain.read(step)
            elif step[1] == os.SEEK_SET or step[0] + len(data) >= 0:
                # Where a position is below 0, BytesIO takes the start in its place.
                if seek(far, *step) == "refused":
                    assert step[0] + (plain.tell() if step[1] else 0) < 0
                else:
                    plain.seek(*step)
            assert far.tell() == plain.tell()


def test_files_that_share_their_blocks_have_their_own_bytes() -> None:
    blocks = Blocks(4)
    one, other = (FarFile("far", io.BytesIO(data), blocks, 10) for data in (DATA, DATA[::-1]))
    assert (one.read(10), other.read(10)) == (DATA[:10], DATA[:-11:-1])


@pytest.mark.parametrize(("blocks", "fetched"), [(2, 10), (1, 20)])
def test_places_that_are_read_in_turns_are_fetched_once(blocks: int, fetched: int) -> None:
    file = Fetched(DATA)
    far = io.BufferedReader(FarFile("far", file, Blocks(blocks), block_bytes=10), 1)
    for at in range(0, 50, 5):
        for place in (at, 50 + at):
            far.seek(place)
            assert far.read(5) == DATA[place : place + 5]
    assert len(file.reads) == fetched
    assert {size for _, size in file.reads} == {10}


def test_a_place_that_is_read_time_and_again_stays_while_others_pass_by() -> None:
    file = Fetched(DATA)
    far = io.BufferedReader(FarFile("far", file, Blocks(2), block_bytes=10), 1)
    for at in range(10, 100, 10):
        for place in (0, at):
            far.seek(place)
            assert far.read(1) == DATA[place : place + 1]
    assert [place for place, _ in file.reads] == list(range(0, 100, 10))


def test_the_rest_is_fetched_at_once() -> None:
    file = Fetched(DATA)
    far = io.BufferedReader(FarFile("far", file, Blocks(1), block_bytes=10))
    for place in (0, 60):
        far.seek(place)
        assert far.read() == DATA[place:]
    assert file.reads == [(0, -1), (60, -1)]


def test_it_is_closed_with_its_file_and_its_blocks_go() -> None:
    file, kept = io.BytesIO(DATA), Blocks(2)
    kept.keep(-1, 0, memoryview(b"another's"))
    with io.BufferedReader(FarFile("far", file, kept)) as far:
        far.read(1)
    assert file.closed
    assert list(kept._kept) == [(-1, 0)]


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ForeignError("503: try later")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.read() if whence == os.SEEK_END else super().seek(offset, whence)


@pytest.mark.parametrize(
    "use",
    [lambda file: file.read(), lambda file: file.read(5), lambda file: file.seek(0, os.SEEK_END)],
)
def test_a_client_that_fails_to_read_is_an_error_of_reading(
    memory: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    cloud: type,
    use: Callable[[Any], Any],
) -> None:
    memory["memory://bucket/a"] = DATA
    monkeypatch.setattr(cloud, "open", lambda *_, **__: Broken())
    with files.open_bytes("memory://bucket/a") as file:
        memory.clear()  # it was there when it was opened
        with pytest.raises(
            OSError, match="memory://bucket/a: ForeignError: 503: try later"
        ) as told:
            use(file)
        assert isinstance(told.value.__cause__, ForeignError)
        assert not isinstance(told.value, FileNotFoundError)


@pytest.mark.parametrize("error", [PermissionError("denied"), ValueError("no such scheme")])
def test_what_all_else_understands_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch, cloud: type, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(cloud, "open", fail)
    with pytest.raises(type(error)) as told:
        files.open_bytes("memory://bucket/a")
    assert told.value is error


def test_a_client_that_fails_to_open_what_is_not_there_says_so(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ForeignError("404")

    monkeypatch.setattr(cloud, "open", fail)
    with pytest.raises(FileNotFoundError, match="ForeignError: 404"):
        files.open_bytes("memory://bucket/a")
    monkeypatch.setattr(cloud, "exists", fail)
    with pytest.raises(OSError, match="ForeignError: 404") as told:
        files.open_bytes("memory://bucket/a")
    assert not isinstance(told.value, FileNotFoundError)


def test_what_is_tried_again_is_told_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    @retry.with_exponential_backoff(initial_delay_secs=0.01)
    def fetch() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ForeignError("503")
        return len(tries)

    assert fetch() == 2
    assert "retrying fetch because we caught exception: " in caplog.text
    assert "ForeignError: 503" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_a_client_both_logs_and_raises_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    logging.error("Error in _start_upload while inserting file %s: %s", "a", "Traceback")
    logging.error("HTTP error while requesting file %s: %s", "a", 3)
    logging.error("something else")
    assert caplog.messages == ["something else"]
