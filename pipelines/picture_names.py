"""Which of the captions' names is a picture's: its path, or what captions have in its place."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import TypeVar

from model.errors import CaptionerError
from pipelines.records import Caption, ImageFile, SplitEntry
from pipelines.sources import normalise_id

Row = TypeVar("Row", Caption, SplitEntry)


@dataclass(frozen=True)
class CaptionNames:
    """The names by which captions call pictures.

    Attributes:
        names: all of them, normalised.
        free: those that no picture has for its path below its source, or for its whole path.
        ends: the whole paths of pictures by which captions call them, and by the end of it too; to
            that end, if it is no other picture's.
    """

    names: Set[str]
    free: Set[str]
    ends: Mapping[str, str] = field(default_factory=dict)

    def name(self, image_id: str, uri: str) -> str:
        """What the picture `uri` is called: `image_id`, its path, unless captions know another.

        That is its whole path, or the end of it, the longest that captions have: they may name
        folders above those given, or fewer than there are; or else the name of its file, for
        archives have their pictures in folders of which captions know nothing.
        """
        whole = normalise_id(uri)
        if image_id in self.names and image_id != whole:
            return image_id
        if whole in self.names:
            return self.ends.get(whole, whole)
        return self._end(image_id, whole) or image_id

    def other_name(self, image_id: str, uri: str) -> str | None:
        """The whole path of the picture `uri`, if captions call it by that and by another name.

        So they do where captions of an archive join those that a model learnt from.
        """
        whole = normalise_id(uri)
        return whole if whole in self.names and whole != self.name(image_id, uri) else None

    def with_ends(self, images: Iterable[ImageFile]) -> "CaptionNames":
        """The same with the `ends` of the pictures `images`, which are all that there are."""
        by_end: dict[str, list[str]] = defaultdict(list)
        for image in images:
            whole = normalise_id(image.uri)
            is_named = image.image_id in self.names and image.image_id != whole
            if not is_named and (end := self._end(image.image_id, whole)):
                by_end[end].append(whole)
        own = {wholes[0]: end for end, wholes in by_end.items() if len(wholes) == 1}
        ends = {whole: end for whole, end in own.items() if whole in self.names}
        return dataclasses.replace(self, ends=ends)

    def _end(self, image_id: str, whole: str) -> str | None:
        # Each end is looked up: very many pictures of an archive may have one file name.
        free = (end for end in _ends(whole) if end in self.free)
        file = _file_name(image_id)
        return next(free, file if file in self.free else None)


def with_one_name(rows: Iterable[Row], names: Mapping[str, str]) -> Iterator[Row]:
    """`rows` in order; those of a picture that has another name in `names` have that one.

    Raises:
        CaptionerError: if a picture has one split under the one name, and another under the other.
    """
    given: dict[str, tuple[str, str]] = {}
    renamed = set(names.values())
    for row in rows:
        name = names.get(row.image_id, row.image_id)
        if name in renamed and row.split:
            split, called = given.setdefault(name, (row.split, row.image_id))
            if split != row.split:
                raise CaptionerError(
                    f"{row.image_id!r} is in {row.split}, but as {called!r} the same picture is in "
                    f"{split}; an image belongs to one split"
                )
        yield row if name == row.image_id else dataclasses.replace(row, image_id=name)


def _ends(path: str) -> Iterator[str]:
    """The ends of `path` that tell a folder, the longest first."""
    _, _, rest = path.partition("/")
    while "/" in rest:
        yield rest
        _, _, rest = rest.partition("/")


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
