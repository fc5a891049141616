"""Names that pictures in several captions files have: shards start over with the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.archives.members import MEMBER, SkippedFiles, as_unicode
from pipelines.sources import list_images, normalise_id


@dataclass(frozen=True)
class SharedNames:
    """Names that several files give to a picture of theirs; which file is part of each then.

    Example: of shards that all have a ``00000.jpg``, ``wds/train/000.tar!/00000.jpg`` is called
    ``000.tar!/00000.jpg``. The names that only one file has stay as they are.

    Attributes:
        names: those of several files, normalised.
        files: what stands for a file of pictures in these names, by its URI: the path below the
            folder that all of them lie in, which does not change when that folder moves.
    """

    names: frozenset[str] = frozenset()
    files: Mapping[str, str] = field(default_factory=dict)

    def name(self, uri: str, image_id: str) -> str:
        """The normalised name of the picture that the file `uri` calls `image_id`."""
        name = normalise_id(image_id)
        file = self.files.get(as_unicode(uri)) if name in self.names else None
        return name if file is None else normalise_id(f"{file}{MEMBER}{name}")


def find_shared_names(uris: Sequence[str], image_column: str | None = None) -> SharedNames:
    """The names that pictures in several of the files `uris` have; one file is not even listed.

    Args:
        uris: tars and Parquet files of pictures, each once.
        image_column: the column of the pictures in Parquet files; found if None.

    Raises:
        CaptionerError: if a file is damaged or holds no picture.
    """
    if len(uris) < 2:
        return SharedNames()
    seen: set[str] = set()
    shared: set[str] = set()
    for uri in uris:
        images = list_images(uri, SkippedFiles(), image_column)
        names = {normalise_id(image.image_id) for image in images}
        shared |= names & seen
        seen |= names
    return SharedNames(frozenset(shared), _below_common_folder(uris))


def _below_common_folder(uris: Sequence[str]) -> dict[str, str]:
    """The path of each of `uris` below the deepest folder that is above them all."""
    # Text of Unicode: the listing spells out the names of containers that are no UTF-8.
    parts = [as_unicode(uri).split("/") for uri in uris]
    # Not os.path.commonpath, which takes the two slashes of a URI for one.
    depth = 0
    while len({tuple(path[: depth + 1]) for path in parts}) == 1:
        depth += 1
    return {"/".join(path): "/".join(path[depth:]) for path in parts}
