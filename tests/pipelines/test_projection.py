"""Tests of what a sample says of the whole archive: time, bytes and cost, by hand and by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.projection import (
    Archive,
    Measured,
    projected_bytes,
    projected_hours,
    projection_table,
    stage_table,
)
from pipelines.stages import STAGES

# 100 images at 10 a second; read and decode in 2 threads.
MEASURED = Measured(
    images=100,
    stages=dict(zip(STAGES, (1.0, 4.0, 8.0, 0.0), strict=True)),
    readers=2,
    decoders=2,
    busy_sec=10.0,
    start_up_sec=40.0,
    byte_size=5000,
)
MILLION = Archive(images=1_000_000, listing_sec=60.0, unit_size=256)

archives = st.builds(
    Archive,
    images=st.integers(1, 10**8),
    listing_sec=st.floats(0, 1e4),
    unit_size=st.integers(1, 5000),
)
worker_counts = st.integers(1, 10**4)


def measured(decoders: int = 4, **stages: float) -> Measured:
    seconds = {stage: stages.get(stage, 0.0) for stage in STAGES}
    return Measured(10, seconds, 4, decoders, busy_sec=1.0, start_up_sec=0.0, byte_size=0)


def test_the_hours_of_one_worker_are_listing_start_up_and_work() -> None:
    assert projected_hours(MILLION, MEASURED, 1) == pytest.approx((60 + 40 + 100_000) / 3600)


def test_workers_share_the_work_in_whole_units() -> None:
    assert MILLION.units == 3907  # the last one is not full
    assert MILLION.images_of_busiest(8) == 489 * 256
    assert projected_hours(MILLION, MEASURED, 8) == pytest.approx((60 + 40 + 12_518.4) / 3600)
    assert Archive(300, 0.0, 256).images_of_busiest(100) == 256


@given(archives, worker_counts)
def test_the_busiest_worker_has_its_share_and_less_than_a_unit_more(
    archive: Archive, workers: int
) -> None:
    busiest = archive.images_of_busiest(workers)
    assert archive.images / workers <= busiest < archive.images / workers + archive.unit_size
    assert archive.images_of_busiest(1) == archive.images


@given(archives, worker_counts, worker_counts)
def test_more_workers_never_take_longer_nor_divide_what_is_not_shared(
    archive: Archive, some: int, more: int
) -> None:
    hours = [projected_hours(archive, MEASURED, number) for number in sorted((some, more))]
    assert hours[0] >= hours[1] > (archive.listing_sec + MEASURED.start_up_sec) / 3600


@given(archives, worker_counts, st.integers(0, 10**6))
def test_more_images_take_longer_and_more_bytes(archive: Archive, workers: int, more: int) -> None:
    larger = Archive(archive.images + more, archive.listing_sec, archive.unit_size)
    assert projected_hours(larger, MEASURED, workers) >= projected_hours(archive, MEASURED, workers)
    assert projected_bytes(larger, MEASURED) - projected_bytes(archive, MEASURED) == 50 * more


def test_the_bottleneck_is_the_stage_that_the_others_wait_for() -> None:
    assert MEASURED.bottleneck == "caption"
    assert measured(decode=5.0, caption=1.0).bottleneck == "decode"
    assert measured(decode=3.0, caption=1.0).bottleneck == "caption"  # in four threads
    assert measured(caption=1.0, write=1.5).bottleneck == "write"
    # Each of them is faster than the model, but the same threads do both.
    assert measured(read=3.5, decode=3.0, caption=1.0).bottleneck == "read"
    assert measured(decode=6.0, caption=1.0, write=0.9).bottleneck == "caption"


def test_more_threads_may_read_than_decode_at_a_time() -> None:
    assert measured(decoders=2, read=8.0, decode=8.0).stage_sec == {
        **dict.fromkeys(STAGES, 0.0),
        "read": 2.0,
        "decode": 4.0,
    }


def test_a_part_of_a_byte_of_each_image_counts() -> None:
    assert projected_bytes(MILLION, replace(MEASURED, byte_size=5050)) == 50_500_000


def test_the_stages_are_told_as_one_worker_does_them() -> None:
    assert list(stage_table(MEASURED)) == [
        "  stage     ms an image     images/s",
        "  read             5.00        200.0",
        "  decode          20.00         50.0",
        "  caption         80.00         12.5",
        "  write            0.00            -",
        "  all            100.00         10.0",
        "bottleneck: caption; a GPU, a smaller model or a narrower beam would help most",
    ]


def test_the_table_has_a_line_for_each_number_of_workers() -> None:
    assert list(projection_table(MILLION, MEASURED, [1, 100], 0.5)) == [
        "output: 50 bytes an image, 47.7 MiB in all",
        "   workers      hours         time         cost",
        "         1      27.81  27 h 48 min        13.90",
        "       100       0.31       19 min        15.61",
    ]


def test_without_a_price_no_cost_is_told_and_a_price_of_nothing_is_one() -> None:
    def last(price: float | None) -> str:
        return list(projection_table(MILLION, MEASURED, [1], price))[-1]

    assert last(None).endswith("27 h 48 min            -")
    assert last(0.0).endswith("27 h 48 min         0.00")


@given(archives, worker_counts, st.floats(0.01, 1000))
def test_the_cost_is_that_of_all_workers_for_all_hours(
    archive: Archive, workers: int, price: float
) -> None:
    line = list(projection_table(archive, MEASURED, [workers], price))[2]
    cost = float(line.split()[-1].replace(",", ""))
    expected = price * workers * projected_hours(archive, MEASURED, workers)
    assert cost == pytest.approx(expected, abs=0.006)


def test_workers_without_work_are_told() -> None:
    small = Archive(600, 0.0, 256)
    last = list(projection_table(small, MEASURED, [1, 3], None))[-1]
    assert "would work" not in last
    last = list(projection_table(small, MEASURED, [4, 1], None))[-1]
    assert last == "  no more than 3 of them would work: the archive is 3 units of work"
