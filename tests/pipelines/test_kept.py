"""Tests of what is kept of results: rows that lack some are in a partition of their own."""

from __future__ import annotations

import dataclasses

import pipeline_builders
import pytest

from model.bundle_folder import MOST_TAGS
from model.config import SamplerConfig
from model.engine import DEFAULT_ENGINE, Engine
from model.errors import CaptionerError
from pipelines.kept import (
    Kept,
    check_planned,
    partition_folder,
    partition_in,
    partition_of,
)

SEVERAL = tuple(f"concept {number}" for number in range(MOST_TAGS + 5))
BUNDLE = pipeline_builders.bundle_config()
TAGGING = dataclasses.replace(BUNDLE, concepts=SEVERAL)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (Kept(), "ab"),
        (Kept(num_captions=1), "ab-captions1"),
        (Kept(tags=0), "ab-tags0"),
        (Kept(num_captions=2, tags=5), "ab-captions2-tags5"),
    ],
)
def test_the_fingerprint_of_rows_tells_what_is_kept(kept: Kept, expected: str) -> None:
    assert kept.fingerprint("ab") == expected


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (Kept(num_captions=3, tags=MOST_TAGS), Kept()),
        (Kept(num_captions=2, tags=MOST_TAGS - 1), Kept(2, MOST_TAGS - 1)),
        (Kept(num_captions=99, tags=99), Kept()),
    ],
)
def test_a_number_that_keeps_all_is_as_good_as_none(asked: Kept, kept: Kept) -> None:
    assert asked.of(TAGGING) == kept


def test_what_is_all_depends_on_the_bundle() -> None:
    few = dataclasses.replace(BUNDLE, concepts=SEVERAL[:2], sampler=SamplerConfig(sampler="greedy"))
    assert Kept(num_captions=1, tags=2).of(few) == Kept()
    assert Kept(num_captions=1, tags=1).of(few) == Kept(tags=1)
    assert Kept(tags=0).of(BUNDLE) == Kept(), "without a recogniser there are no tags"


def test_a_partition_is_of_the_model_the_engine_and_what_is_kept() -> None:
    mark = BUNDLE.model_fingerprint
    assert partition_of(BUNDLE, DEFAULT_ENGINE, Kept(3, 0)) == mark
    found = partition_of(TAGGING, Engine("openvino"), Kept(1, 0))
    assert found == f"{mark}-openvino-captions1-tags0"


def test_the_name_of_a_folder_tells_its_partition() -> None:
    assert partition_folder("gs://a/model=1", "0123-tags1") == "gs://a/model=1/model=0123-tags1"
    assert partition_in("gs://a/model=1/model=0123-tags1") == "0123-tags1"
    assert partition_in("/a/model=1/captions") is None


def test_a_worker_with_another_bundle_is_told() -> None:
    check_planned("0123", "0123", "/bundle")
    check_planned("0123", None, "/bundle")
    with pytest.raises(
        CaptionerError, match="got 0123 in /bundle of a worker, expected 0123-tags1 as where"
    ):
        check_planned("0123", "0123-tags1", "/bundle")
