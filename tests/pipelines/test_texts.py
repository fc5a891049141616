"""Tests of text files read line by line: the same lines as of the whole text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines import files
from pipelines.texts import lines_of, read_text, stream_lines

pieces = st.lists(st.sampled_from(["a", "\n", "\r\n", "\r", " ", "\ufeff", "ü", "\u2028", "\x85"]))


@given(pieces.map("".join))
def test_a_stream_gives_the_lines_of_the_whole_text(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_bytes(text.encode())
        lines = list(stream_lines(str(path), "list"))
        assert lines == list(lines_of(read_text(str(path), "list")))


def test_one_line_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"a\n"

    monkeypatch.setattr(files, "open_bytes", lambda uri: Endless())
    lines = stream_lines("endless.txt", "list")
    assert [next(lines) for _ in range(3)] == [(1, "a"), (2, "a"), (3, "a")]


def test_a_byte_that_is_no_utf8_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("ü\n".encode() + b"a\nna\xefve\n")
    lines = stream_lines(str(path), "list")
    assert next(lines) == (1, "ü")
    with pytest.raises(CaptionerError, match=r"list .*a\.txt.* byte 0xef at position 7"):
        list(lines)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(CaptionerError, match="cannot be read"):
            list(stream_lines(str(path), "list"))
