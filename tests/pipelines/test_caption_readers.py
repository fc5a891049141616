"""Tests that the folder of captions opens as one table in whatever people read tables with."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from pipeline_builders import FINGERPRINT, read_rows

from pipelines.schemas import CAPTIONS


def in_duckdb(captions: Path) -> str:
    return f"read_parquet('{captions}/**/*.parquet', hive_partitioning=true)"


def in_pandas(captions: Path) -> pd.DataFrame:
    return pd.read_parquet(captions)


def in_polars(captions: Path) -> pl.DataFrame:
    return pl.read_parquet(f"{captions}/**/*.parquet", hive_partitioning=True)


def in_pyarrow(captions: Path) -> pads.Dataset:
    return pads.dataset(str(captions), partitioning="hive")


def _duckdb_rows(captions: Path, columns: list[str]) -> list[dict[str, Any]]:
    query = f"select {', '.join(columns)} from {in_duckdb(captions)}"
    return [dict(zip(columns, row, strict=True)) for row in duckdb.sql(query).fetchall()]


READERS: dict[str, Callable[[Path, list[str]], list[dict[str, Any]]]] = {
    "duckdb": _duckdb_rows,
    "pandas": lambda captions, columns: in_pandas(captions)[columns].to_dict("records"),
    "polars": lambda captions, columns: in_polars(captions).select(columns).to_dicts(),
    "pyarrow": lambda captions, columns: in_pyarrow(captions).to_table(columns).to_pylist(),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_row_is_read_with_its_model(captions: Path, reader: str) -> None:
    columns = ["model", "image_uri", "status", "alternatives", "tags", "flags"]
    found = sorted(READERS[reader](captions, columns), key=lambda row: row["image_uri"])
    expected = read_rows(captions)
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row["model"] == FINGERPRINT == other["model_fingerprint"]
        assert (row["image_uri"], row["status"]) == (other["image_uri"], other["status"])
        for column in ("alternatives", "tags", "flags"):
            assert list(row[column]) == other[column]


def test_the_model_is_a_column_to_choose_rows_by(captions: Path) -> None:
    count = f"select count(*) from {in_duckdb(captions)} where model = '{FINGERPRINT}'"
    assert duckdb.sql(count).fetchall() == [(len(read_rows(captions)),)]
    assert pd.read_parquet(captions, filters=[("model", "=", "another")]).empty
    frame = in_polars(captions)
    assert frame.filter(pl.col("model") == FINGERPRINT).height == frame.height


def test_the_columns_are_of_their_types_in_duckdb(captions: Path) -> None:
    types = {
        name: kind
        for name, kind, *_ in duckdb.sql(f"describe from {in_duckdb(captions)}").fetchall()
    }
    assert list(types) == [*CAPTIONS.names, "model"]
    expected = {
        "captioned_at": "TIMESTAMP WITH TIME ZONE",
        "alternatives": "STRUCT(caption VARCHAR, score FLOAT)[]",
        "tags": "STRUCT(tag VARCHAR, score FLOAT)[]",
        "flags": "VARCHAR[]",
        "score": "FLOAT",
        "width_px": "INTEGER",
        "byte_size": "BIGINT",
        "model": "VARCHAR",
    }
    assert {name: types[name] for name in expected} == expected


def test_the_columns_are_of_their_types_in_pandas(captions: Path) -> None:
    frame = in_pandas(captions)
    assert list(frame.columns) == [*CAPTIONS.names, "model"]
    assert frame["captioned_at"].dtype == pd.DatetimeTZDtype("us", "UTC")
    assert frame["score"].dtype == "float32"
    assert frame["byte_size"].dtype == "int64"
    captioned = frame[frame["status"] == "captioned"]
    first = captioned.iloc[0]
    assert {type(first[name]) for name in ("caption", "image_uri")} == {str}
    assert set(first["alternatives"][0]) == {"caption", "score"}
    assert frame["caption"].isna().sum() == len(frame) - len(captioned) > 0


def test_the_columns_are_of_their_types_in_polars(captions: Path) -> None:
    schema = in_polars(captions).schema
    assert list(schema) == [*CAPTIONS.names, "model"]
    expected = {
        "captioned_at": pl.Datetime("us", "UTC"),
        "alternatives": pl.List(pl.Struct({"caption": pl.String, "score": pl.Float32})),
        "tags": pl.List(pl.Struct({"tag": pl.String, "score": pl.Float32})),
        "flags": pl.List(pl.String),
        "score": pl.Float32,
        "width_px": pl.Int32,
        "byte_size": pl.Int64,
        "model": pl.String,
    }
    assert {name: schema[name] for name in expected} == expected


def test_the_columns_are_of_the_schema_in_pyarrow(captions: Path) -> None:
    schema = in_pyarrow(captions).schema
    assert schema.field("model").type == pa.string()
    assert schema.remove(schema.get_field_index("model")).equals(CAPTIONS)


def test_times_are_those_of_the_run_whatever_reads_them(captions: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    times = {
        reader: [row["captioned_at"] for row in rows(captions, ["captioned_at"])]
        for reader, rows in READERS.items()
    }
    assert {reader: sorted(found) for reader, found in times.items()} == dict.fromkeys(
        READERS, sorted(times["pyarrow"])
    )
    assert all(now - datetime.timedelta(days=1) < time <= now for time in times["pyarrow"])


def test_alternatives_can_be_unfolded_to_rows(captions: Path) -> None:
    expected = sorted(
        (row["image_uri"], other["caption"])
        for row in read_rows(captions)
        for other in row["alternatives"]
    )
    query = f"select image_uri, unnest(alternatives).caption from {in_duckdb(captions)}"
    assert sorted(duckdb.sql(query).fetchall()) == expected
    frame = in_polars(captions).select("image_uri", "alternatives").explode("alternatives")
    unfolded = frame.drop_nulls().unnest("alternatives").select("image_uri", "caption").rows()
    assert sorted(unfolded) == expected
