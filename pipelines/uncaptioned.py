"""Pictures that no caption names: rejects, known as such before the pipeline starts.

An archive may have millions of them beside a few thousand that are captioned. They are written as
they are found: a runner would hold kilobytes of each until the end.
"""

import contextlib
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import files
from pipelines.joins import NO_CAPTION
from pipelines.records import ImageFile
from pipelines.schemas import REJECTS, check_no_nulls

_ROWS_HELD = 1 << 16


class Uncaptioned:
    """Writes pictures to one file of rejects, which is there at the end if there were any.

    Args:
        uri: the Parquet file.

    Attributes:
        count: pictures so far.
    """

    def __init__(self, uri: str) -> None:
        self.count = 0
        self._uri = uri
        self._held: list[tuple[str, str]] = []
        self._open = contextlib.ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "Uncaptioned":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._held:
            self._write()
        self._open.__exit__(kind, error, traceback)

    def add(self, image: ImageFile) -> None:
        """Adds a picture."""
        self.count += 1
        self._held.append((image.image_id, image.uri))
        if len(self._held) == _ROWS_HELD:
            self._write()

    def _write(self) -> None:
        if self._writer is None:
            path = self._open.enter_context(files.atomic_path(self._uri))
            self._writer = self._open.enter_context(
                pq.ParquetWriter(path, REJECTS, compression="zstd")
            )
        same = {"stage": "join", "reason": NO_CAPTION, "error": "no caption names this file"}
        rows = [{"image_id": name, "image_uri": uri, **same} for name, uri in self._held]
        self._writer.write_table(check_no_nulls(pa.Table.from_pylist(rows, REJECTS)))
        self._held.clear()
