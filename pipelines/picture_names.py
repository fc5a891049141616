"""Which of the captions' names is a picture's: its path, or what captions have in its place."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TypeVar

from pipelines.records import Caption, SplitEntry
from pipelines.sources import normalise_id

Row = TypeVar("Row", Caption, SplitEntry)


@dataclass(frozen=True)
class CaptionNames:
    """The names by which captions call pictures.

    Attributes:
        names: all of them, normalised.
        free: those that no picture has for its path below its source, or for its whole path.
    """

    names: Set[str]
    free: Set[str]

    def name(self, image_id: str, uri: str) -> str:
        """What the picture `uri` is called: `image_id`, its path, unless captions know another.

        That is its whole path, or the end of it, the longest that captions have: they may name
        folders above those given, or fewer than there are; or else the name of its file, for
        archives have their pictures in folders of which captions know nothing.
        """
        if image_id in self.names:
            return image_id
        whole, file = normalise_id(uri), _file_name(image_id)
        if whole in self.names:
            return whole
        # Each end is looked up: very many pictures of an archive may have one file name.
        free = (end for end in _ends(whole) if end in self.free)
        return next(free, file if file in self.free else image_id)

    def other_name(self, image_id: str, uri: str) -> str | None:
        """The whole path of the picture `uri`, if captions call it both by that and by `image_id`.

        So they do where captions of an archive join those that a model learnt from.
        """
        whole = normalise_id(uri)
        both = whole != image_id and {whole, image_id} <= self.names
        return whole if both else None


def with_one_name(rows: Iterable[Row], names: Mapping[str, str]) -> Iterator[Row]:
    """`rows` in order; those of a picture that has another name in `names` have that one."""
    for row in rows:
        name = names.get(row.image_id)
        yield row if name is None else dataclasses.replace(row, image_id=name)


def _ends(path: str) -> Iterator[str]:
    """The ends of `path` that tell a folder, the longest first."""
    _, _, rest = path.partition("/")
    while "/" in rest:
        yield rest
        _, _, rest = rest.partition("/")


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
