"""Pictures that no caption names: rejects, known as such before the pipeline starts.

An archive may have millions of them beside a few thousand that are captioned. They are written as
they are found: a runner would hold kilobytes of each until the end.
"""

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import files
from pipelines.joins import NO_CAPTION
from pipelines.records import ImageFile
from pipelines.schemas import REJECTS, check_no_nulls

_ROWS_HELD = 1 << 16


class Uncaptioned:
    """Pictures that become rows of one file of rejects, see `write_uncaptioned`.

    Args:
        uri: the Parquet file.
        opened: what closes it.

    Attributes:
        count: pictures so far.
    """

    def __init__(self, uri: str, opened: contextlib.ExitStack) -> None:
        self.count = 0
        self._uri, self._opened = uri, opened
        self._held: list[tuple[str, str]] = []
        self._writer: pq.ParquetWriter | None = None

    def add(self, image: ImageFile) -> None:
        """Adds a picture."""
        self.count += 1
        self._held.append((image.image_id, image.uri))
        if len(self._held) == _ROWS_HELD:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if not self._held:
            return
        if self._writer is None:
            path = self._opened.enter_context(files.atomic_path(self._uri))
            self._writer = self._opened.enter_context(
                pq.ParquetWriter(path, REJECTS, compression="zstd")
            )
        same = {"stage": "join", "reason": NO_CAPTION, "error": "no caption names this file"}
        rows = [{"image_id": name, "image_uri": uri, **same} for name, uri in self._held]
        self._writer.write_table(check_no_nulls(pa.Table.from_pylist(rows, REJECTS)))
        self._held.clear()


@contextlib.contextmanager
def write_uncaptioned(uri: str) -> Iterator[Uncaptioned]:
    """Within, pictures may be added to the file `uri`, which is there at the end if any were."""
    with contextlib.ExitStack() as opened:
        pictures = Uncaptioned(uri, opened)
        yield pictures
        pictures.flush()
