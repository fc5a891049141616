"""Progress of preprocessing, counted from what it has put into its staging folder."""

import re
from pathlib import PurePosixPath

import pyarrow.parquet as pq

from pipelines import files
from pipelines.progress import Progress

# Of a store that a runner had made twice, both may be there.
_STORE = re.compile(r"pixels-([0-9]+)-[0-9a-f]+\.bin")
_EXAMPLES = re.compile(r"(train|validation|test)-[0-9]+\.parquet")


class Prepared:
    """The pictures that are decoded, or, once files are written, those in them.

    Args:
        staging: the staging folder.
        listed: pictures to be decoded.
        per_store: the most of them in a pixel store.
        captioned: of those listed the ones that captions name; no more are written.
    """

    def __init__(self, staging: str, listed: int, per_store: int, captioned: int) -> None:
        self._staging, self._listed = staging, listed
        self._per_store, self._captioned = per_store, captioned
        self._rows: dict[str, int] = {}

    def look(self) -> Progress:
        """How far it is now."""
        for uri in self._named("examples", _EXAMPLES):
            if uri not in self._rows:
                with files.open_bytes(uri) as file:
                    self._rows[uri] = pq.read_metadata(file).num_rows
        if self._rows:
            return Progress(sum(self._rows.values()), self._captioned, step="writing")
        stores = set(self._named("pixels", _STORE).values())
        decoded = min(len(stores) * self._per_store, self._listed)
        step = "decoding" if decoded < self._listed else "decoded, being joined with captions"
        return Progress(decoded, self._listed, step=step)

    def _named(self, folder: str, pattern: re.Pattern[str]) -> dict[str, str]:
        """The files of a folder whose names match, with what is in the pattern's group."""
        found = files.list_tree(f"{self._staging}/{folder}")
        matches = ((uri, pattern.fullmatch(PurePosixPath(uri).name)) for uri in found)
        return {uri: match[1] for uri, match in matches if match}
