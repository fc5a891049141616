"""Tests of the Parquet schemas: a contract, so that its columns are written out here again."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import CaptionerError
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED, REJECTS, check_no_nulls

SCORED = "list<element: struct<{}: string, score: float>>"
CAPTION_COLUMNS = {
    "image_uri": "string not null",
    "container": "string",
    "member": "string",
    "sha256": "string",
    "status": "string not null",
    "reason": "string",
    "error": "string",
    "caption": "string",
    "score": "float",
    "alternatives": SCORED.format("caption") + " not null",
    "tags": SCORED.format("tag") + " not null",
    "flags": "list<element: string> not null",
    "width_px": "int32",
    "height_px": "int32",
    "format": "string",
    "byte_size": "int64",
    "model_fingerprint": "string not null",
    "captioned_at": "timestamp[us, tz=UTC] not null",
}
REJECT_COLUMNS = {
    "image_id": "string not null",
    "image_uri": "string",
    "stage": "string not null",
    "reason": "string not null",
    "error": "string not null",
    "caption": "string",
}


def row(**changes: Any) -> dict[str, Any]:
    time = datetime.datetime(2026, 5, 3, tzinfo=datetime.UTC)
    lists: dict[str, list] = {"alternatives": [], "tags": [], "flags": []}
    fixed = {"image_uri": "a.jpg", "status": CAPTIONED, "model_fingerprint": "m"}
    return {**fixed, **lists, "captioned_at": time, **changes}


def stored(schema: pa.Schema, rows: list[dict[str, Any]], folder: Path) -> pa.Schema:
    """The schema as a reader of the file finds it."""
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "file.parquet")
    return pq.read_schema(folder / "file.parquet")


@pytest.mark.parametrize(
    ("schema", "rows", "columns"),
    [(CAPTIONS, [row()], CAPTION_COLUMNS), (REJECTS, [], REJECT_COLUMNS)],
)
def test_a_file_has_the_columns_of_the_contract(
    schema: pa.Schema, rows: list, columns: dict[str, str], tmp_path: Path
) -> None:
    fields = stored(schema, rows, tmp_path)
    found = {f.name: f"{f.type}{'' if f.nullable else ' not null'}" for f in fields}
    assert found == columns


def test_statuses_are_those_of_the_contract() -> None:
    assert (CAPTIONED, REJECTED) == ("captioned", "rejected")


def test_a_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = row(
        caption="a dog",
        score=-0.5,
        alternatives=[{"caption": "a cat", "score": -1.0}],
        tags=[{"tag": "dog", "score": 0.75}],
        flags=["repeats"],
        width_px=640,
        byte_size=2**40,
    )
    stored(CAPTIONS, [written], tmp_path)
    (read,) = pq.read_table(tmp_path / "file.parquet").to_pylist()
    assert {name: value for name, value in read.items() if name in written} == written
    assert {value for name, value in read.items() if name not in written} == {None}


@pytest.mark.parametrize(
    "column", [name for name, kind in CAPTION_COLUMNS.items() if "not null" in kind]
)
def test_a_null_in_a_required_column_is_an_error_that_names_it(column: str) -> None:
    table = pa.Table.from_pylist([row(), row(**{column: None})], CAPTIONS)
    with pytest.raises(CaptionerError, match=f"column {column}: got a null"):
        check_no_nulls(table)


def test_a_table_without_such_nulls_passes() -> None:
    table = pa.Table.from_pylist([row(), row(caption="a dog")], CAPTIONS)
    assert check_no_nulls(table) is table
