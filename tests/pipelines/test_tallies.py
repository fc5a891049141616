"""Tests of counts that are added up over workers."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest

from model.errors import CaptionerError
from pipelines.records import Tally
from pipelines.tallies import WriteTallies, read_tallies


def test_tallies_of_the_same_are_added_up(tmp_path: Path) -> None:
    uri = str(tmp_path / "tallies.json")
    with beam.Pipeline("FnApiRunner") as pipeline:
        one = pipeline | "One" >> beam.Create([Tally("words", "a", 2), Tally("words", "b", 1)])
        other = pipeline | "Other" >> beam.Create([Tally("words", "a", 3), Tally("files", "a", 1)])
        _ = (one, other) | WriteTallies(uri)
    found = read_tallies(uri)
    assert found == {"words": {"a": 5, "b": 1}, "files": {"a": 1}}
    assert found["absent"] == {}


def test_a_pipeline_that_did_not_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"no pictures were prepared, though .* --dry_run"):
        read_tallies(str(tmp_path / "tallies.json"))
