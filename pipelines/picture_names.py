"""Which of the captions' names is a picture's: its path, or what captions have in its place."""

import functools
from collections.abc import Set
from dataclasses import dataclass

from pipelines.sources import normalise_id


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
        ends = [name for name in self._in_folders.get(file, ()) if whole.endswith(f"/{name}")]
        return max(ends, key=len, default=file if file in self.free else image_id)

    @functools.cached_property
    def _in_folders(self) -> dict[str, list[str]]:
        """The free names that tell a folder, by file name; most inputs have none."""
        found: dict[str, list[str]] = {}
        for name in self.free:
            if "/" in name:
                found.setdefault(_file_name(name), []).append(name)
        return found


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
