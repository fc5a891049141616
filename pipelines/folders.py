"""Files of folders and globs, in the order of their names; no file that is there goes untold."""

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from apache_beam.io.localfilesystem import LocalFileSystem

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import is_container
from pipelines.archives.members import is_hidden, is_picture

_GLOB = re.compile(r"[*?\[]")


class ListedFile(NamedTuple):
    """A file as a listing tells of it; see `ImageFile`.

    A folder that cannot be listed is one too, whose URI ends in a slash.
    """

    uri: str
    byte_size: int
    modified_usec: int | None
    flaw: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it stands for a folder that cannot be listed."""
        return self.uri.endswith("/")


def is_glob(uri: str) -> bool:
    """Whether `uri` is a pattern, and no file or folder of just this name."""
    return _GLOB.search(uri) is not None and not files.exists(uri)


def is_folder(uri: str) -> bool:
    """Whether `uri` is a folder of a local disk."""
    return files.is_local(uri) and os.path.isdir(uri)


def fixed_part(pattern: str) -> str:
    """The folder above the first name of `pattern` that is no plain name."""
    return pattern[: _GLOB.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]


def match_glob(pattern: str) -> Iterator[ListedFile]:
    """The files that `pattern` matches; no folders.

    On a local disk as in a folder: links are followed, those that lead nowhere are files, and what
    is hidden is no part of it. There Beam would pass linked folders and dead links over.
    """
    if not files.is_local(pattern):
        yield from _match(pattern)
        return
    root = fixed_part(pattern) or "/"
    if not os.path.isdir(root):
        return
    matches = _matcher(pattern)
    for file in _walk_local(root, _may_hold(pattern)):
        if file.is_folder or matches(file.uri):
            yield file


def walk(folder: str) -> Iterator[ListedFile]:
    """All files below `folder`, sorted within each folder.

    Raises:
        CaptionerError: if it cannot be listed.
    """
    if files.is_local(folder):
        return _walk_local(folder)
    root = folder.rstrip("/")
    return (file for file in _match(f"{root}/**") if not is_hidden(file.uri[len(root) :]))


def _match(pattern: str) -> list[ListedFile]:
    return sorted(
        # Where a file system does not tell the time, Beam says 0.
        ListedFile(m.path, m.size_in_bytes, int(m.last_updated_in_seconds * 1e6) or None)
        for m in files.match(pattern)
        if not m.path.endswith("/")  # an empty object that stands for a folder
    )


def _matcher(pattern: str) -> Callable[[str], object]:
    """What tells whether a path matches: as Beam has it, but a backslash is a letter.

    Raises:
        CaptionerError: if it is no pattern.
    """
    expression = LocalFileSystem.translate_pattern(pattern).replace(r"[^/\\]", "[^/]")
    try:
        return re.compile(expression).match
    except re.error as error:
        raise CaptionerError(
            f"{pattern}: got a glob that matches nothing ({error}); correct what is in brackets"
        ) from error


def _may_hold(pattern: str) -> Callable[[str], bool]:
    """What tells whether a folder may hold files that match, so that no other one is entered."""
    fixed, deep, _ = pattern.partition("**")  # which matches slashes too
    names = fixed.split("/")
    matchers = [_matcher("/".join(names[: n + 1])) for n in range(len(names) - 1)]
    if deep:
        matchers.append(_matcher(fixed + deep))

    def may_hold(folder: str) -> bool:
        depth = folder.count("/")
        if deep:
            depth = min(depth, len(matchers) - 1)
        return depth < len(matchers) and matchers[depth](folder) is not None

    return may_hold


def _walk_local(
    top: str, may_hold: Callable[[str], bool] = lambda folder: True
) -> Iterator[ListedFile]:
    """Walks without recursion: folders may lie in one another deeper than Python calls.

    A link back to a folder that leads to it is not followed. A folder that cannot be listed is told
    in place of its files; it costs the others nothing. So is a link that may be to one.
    """
    try:
        waiting = [_entries(top, frozenset())]
    except NotADirectoryError as error:
        raise CaptionerError(
            f"{top} cannot be listed: it is a file, and no tar, zip, Parquet or manifest; give "
            "its folder, or a glob"
        ) from error
    except OSError as error:
        raise CaptionerError(f"{top} cannot be listed: {error}; check the path") from error
    while waiting:
        entries, above = waiting[-1]
        entry = next(entries, None)
        if entry is None:
            waiting.pop()
        elif _is_folder(entry) or (_may_lead_to_folder(entry) and may_hold(entry.path)):
            try:
                if may_hold(entry.path):
                    waiting.append(_entries(entry.path, above))
            except OSError as error:
                flaw = f"unreadable: the folder cannot be listed: {error}"
                yield ListedFile(f"{entry.path}/", 0, None, flaw)
        elif file := _listed(entry):
            yield file


_Folder = tuple[Iterator[os.DirEntry], frozenset[tuple[int, int]]]


def _entries(folder: str, above: frozenset[tuple[int, int]]) -> _Folder:
    """What is in `folder` and not hidden; and the folders that lead there, itself the last."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return iter(()), above
    with os.scandir(folder) as scan:
        shown = [entry for entry in scan if not entry.name.startswith(".")]
    return iter(sorted(shown, key=lambda entry: entry.name)), above | {here}


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _may_lead_to_folder(entry: os.DirEntry) -> bool:
    """Whether it is a link whose target cannot be reached, as of a disk that is away.

    One with the name of a picture or of an archive was to that.
    """
    is_file = is_picture(entry.name) or is_container(entry.name)
    return entry.is_symlink() and not is_file and not os.path.exists(entry.path)


def _listed(entry: os.DirEntry) -> ListedFile | None:
    """The file, or None for a pipe and the like that has not even a picture's name."""
    try:
        if entry.is_file():
            return ListedFile(entry.path, *files.size_and_time(entry.stat()))
        flaw = files.flaw_of_kind(entry.stat())
    except OSError:  # a link to itself, or gone by now
        flaw = None
    if flaw and not is_picture(entry.name):
        return None
    # A link that leads nowhere is an input all the same, to be rejected when it is read.
    return ListedFile(entry.path, 0, None, flaw)
