"""Members of archive files: which are pictures, and what the listing finds wrong with them."""

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from model.command import printable
from model.image import image_suffixes
from pipelines.records import ImageFile

MEMBER = "!/"
_HERE = re.compile(r"(\./+)+")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
_SEPARATOR = re.compile(r"[/\\]")
# Asked for once for every member of an archive.
_image_suffixes = functools.cache(image_suffixes)


@dataclass
class SkippedFiles:
    """Files that are no pictures by their names, counted by suffix.

    Attributes:
        by_suffix: all of them.
        archives: URIs of those that could be given as inputs, where a folder was.
        opened: URIs of archives that are given.
    """

    by_suffix: Counter[str] = field(default_factory=Counter)
    archives: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)

    def count(self, name: str, is_archive: bool = False) -> None:
        """Counts a file that is passed over; an archive once, however many inputs hold it."""
        if is_archive:
            if name in self.archives:
                return
            self.archives.add(name)
        self.by_suffix[_told_suffix(name)] += 1

    def __str__(self) -> str:
        return _counts(self.by_suffix)

    def lines(self) -> Iterator[str]:
        """What a person is told at the end; archives, which may be full of pictures, apart."""
        others = self.by_suffix - Counter(map(_told_suffix, self.archives))
        yield f"  files of the folders that are no pictures: {_counts(others)}"
        if unopened := Counter(map(_told_suffix, self.archives - self.opened)):
            # Beam's ** matches slashes too: with another slash it would miss the folder's own.
            globs = ", ".join(f"'FOLDER/**{suffix}'" for suffix in sorted(unopened))
            yield (
                f"  archives in the folders, which were not opened: {_counts(unopened)}; give "
                f"them too, as {globs}"
            )


def suffix_of(name: str) -> str:
    """The suffix of a file's name, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _told_suffix(name: str) -> str:
    return printable(as_unicode(suffix_of(name)))


def _counts(by_suffix: Counter[str]) -> str:
    if not by_suffix:
        return "none"
    counts = ", ".join(f"{s or 'no suffix'}: {n}" for s, n in by_suffix.most_common(8))
    return f"{by_suffix.total()} ({counts})"


@dataclass(frozen=True)
class Member:
    """A member of a tar or a zip file.

    Attributes:
        name: as the archive spells it.
        size: its bytes.
        offset: where they start, if they lie in one piece.
        flaw: ``REASON: MESSAGE`` if it cannot be read.
        modified_usec: when it changed, in microseconds since 1970, if the archive tells for sure.
        is_last: whether nothing can be read from here on, whatever the archive held.
    """

    name: str
    size: int
    offset: int | None = None
    flaw: str | None = None
    modified_usec: int | None = None
    is_last: bool = False


def is_picture(name: str) -> bool:
    """Whether `name` has the suffix of a picture, be it of a format that is not read."""
    return suffix_of(name) in _image_suffixes()


def is_hidden(name: str) -> bool:
    """Whether a member is one that file managers hide, e.g. the forks that macOS writes."""
    parts = name.split("/")
    return "__MACOSX" in parts or any(p.startswith(".") and p not in {".", ".."} for p in parts)


def member_id(name: str) -> str:
    """What captions call the member `name`: without a leading ``./``, and text of Unicode."""
    return as_unicode(without_here(name))


def without_here(name: str) -> str:
    """`name` without a leading ``./``, as `tar` and `find` write it."""
    return name[match.end() :] if (match := _HERE.match(name)) else name


def as_unicode(name: str) -> str:
    """`name` with bytes that are no UTF-8, which come as surrogates, spelled out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _flaw_of_name(name: str) -> str | None:
    if _ABSOLUTE.match(name) or ".." in _SEPARATOR.split(name):
        return f"unsafe_name: the member {name!r} points out of its archive; pack it anew"
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"unsafe_name: the member {name!r} is named in no UTF-8; pack it anew"
    return None


def list_members(
    container: str, members: Iterator[Member], skipped: SkippedFiles
) -> Iterator[ImageFile]:
    """The pictures among the `members` of an archive file; others are counted in `skipped`.

    Hidden members are no part of it. Of members of one name the first is the picture. Where an
    archive ends too early, one flawed picture stands for all that is lost.
    """
    seen: set[str] = set()
    for number, member in enumerate(members):
        if not member.is_last:
            if is_hidden(member.name):
                continue
            if not is_picture(member.name):
                skipped.count(member.name)
                continue
        image_id = member_id(member.name)
        uri, flaw = f"{container}{MEMBER}{image_id}", member.flaw or _flaw_of_name(member.name)
        if image_id in seen:
            # Its own URI: a table has one row for each.
            uri += f"@{number}"
            flaw = flaw or f"duplicate_name: an earlier member is named {image_id!r} too"
        seen.add(image_id)
        # A name that no table holds is flawed: it is never looked up.
        name = image_id if flaw else member.name
        place = (container, name, member.offset, flaw, member.modified_usec)
        yield ImageFile(uri, image_id, member.size, *place)
