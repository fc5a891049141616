"""Captions that `captioner caption` wrote, taken for captions to learn from."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.parquet_files import iterate_rows, open_parquet
from pipelines.captions.parsing import WHAT, FoundCaption
from pipelines.ledger import THREADS, read_ledger_of
from pipelines.located import locate_pictures
from pipelines.records import ImageFile
from pipelines.schemas import CAPTIONED
from pipelines.threads import map_ahead

_COLUMNS = tuple("image_uri container member status caption score byte_size sha256".split())
_PART = re.compile(r"(model=[^/]+/)?part-[^/]+\.parquet")


def is_own_schema(schema: pa.Schema) -> bool:
    """Whether a Parquet file of this schema was written by `captioner caption`."""
    return {*_COLUMNS, "model_fingerprint"} <= set(schema.names)


def list_parts(folder: str) -> list[str]:
    """The Parquet files of a folder of captions, sorted."""
    root = folder.rstrip("/") + "/"
    return [uri for uri in files.list_tree(folder) if _PART.fullmatch(uri.removeprefix(root))]


def check_one_row_each(parts: Iterable[str]) -> None:
    """Checks that no picture has two rows of one model in the files `parts` of such folders.

    Raises:
        CaptionerError: if one has: old captions would be learnt beside those that replace them; or
            if a file is none of these.
    """
    by_folder = defaultdict(list)
    for uri in map_ahead(_check_file, parts, THREADS):
        by_folder[uri.rpartition("/")[0]].append(uri)
    for folder, of_folder in sorted(by_folder.items()):
        if doubles := read_ledger_of(of_folder).doubles:
            raise CaptionerError(
                f"{WHAT} {folder}: got {len(doubles)} rows of pictures that have another one, as a "
                "run leaves them that ended while it replaced rows; run captioner caption again, "
                "which removes them"
            )


def _check_file(uri: str) -> str:
    with open_parquet(uri, WHAT) as parquet:
        _check_own(uri, parquet.schema_arrow)
    return uri


def read_own_captions(uri: str, min_score: float | None) -> Iterator[FoundCaption]:
    """The captions of one Parquet file whose score is at least `min_score`.

    Raises:
        CaptionerError: if the file cannot be read or is no such file.
    """
    for number, row in _captioned_rows(uri, min_score):
        yield FoundCaption(row["image_uri"], row["caption"] or "", None, f"row {number}")


def _captioned_rows(uri: str, min_score: float | None) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_parquet(uri, WHAT) as parquet:
        _check_own(uri, parquet.schema_arrow)
        for number, row in enumerate(iterate_rows(parquet, _COLUMNS)):
            if row["status"] == CAPTIONED and _is_good(row["score"], min_score):
                yield number, row


def _check_own(uri: str, schema: pa.Schema) -> None:
    if not is_own_schema(schema):
        raise CaptionerError(
            f"{WHAT} {uri}: got the columns {schema.names}, expected those that captioner "
            f"caption writes: {', '.join(_COLUMNS)}, ..."
        )


def _is_good(score: float | None, min_score: float | None) -> bool:
    return min_score is None or (score is not None and score >= min_score)


def list_captioned(uris: Sequence[str], min_score: float | None) -> Iterator[ImageFile]:
    """The pictures of the captioned rows of `uris`, as `locate_pictures` finds them.

    Raises:
        CaptionerError: if a file of captions cannot be read.
    """
    rows = (row for uri in uris for _, row in _captioned_rows(uri, min_score))
    return locate_pictures(rows)
