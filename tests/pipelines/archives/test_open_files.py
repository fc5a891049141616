"""Tests of the files that a process holds open: few, the ones used last, none under a reader."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pipelines.archives.open_files import OpenFiles


class File:
    """A file that knows whether it was closed."""

    def __init__(self, name: str) -> None:
        self.name, self.is_open = name, True

    def close(self) -> None:
        self.is_open = False


class Files:
    """A pool, and all files that it opened, in order."""

    def __init__(self, limit: int) -> None:
        self.pool: OpenFiles[File] = OpenFiles(limit)
        self.made: list[File] = []

    def make(self, name: str) -> File:
        self.made.append(File(name))
        return self.made[-1]

    def borrow(self, name: str) -> AbstractContextManager[File]:
        return self.pool.borrow(lambda file: file.name == name, lambda: self.make(name))

    def use(self, names: str) -> None:
        for name in names:
            with self.borrow(name) as file:
                assert (file.name, file.is_open) == (name, True)

    @property
    def opened(self) -> str:
        return "".join(file.name for file in self.made)

    @property
    def open(self) -> str:
        return "".join(file.name for file in self.made if file.is_open)


def test_a_file_is_opened_once_while_it_is_kept() -> None:
    files = Files(limit=2)
    files.use("abab")
    assert (files.opened, files.open) == ("ab", "ab")


def test_the_one_not_used_for_longest_is_closed() -> None:
    files = Files(limit=2)
    files.use("abac")
    assert (files.opened, files.open) == ("abc", "ac")
    files.use("b")
    assert (files.opened, files.open) == ("abcb", "cb")


def test_none_is_closed_while_it_is_used_and_all_are_once_they_are_not() -> None:
    files = Files(limit=1)
    with files.borrow("a") as first, files.borrow("b"):
        with files.borrow("a") as again:
            assert again is first
        files.use("c")
        files.pool.close()
        assert files.open == "ab"
    assert files.open == "a"
    files.pool.close()
    assert files.open == ""
    files.use("a")
    assert files.opened == "abca"
