"""Tests of numbers, sizes and durations as people read them."""

from __future__ import annotations

import pytest

from pipelines.readable import byte_size, duration, share


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (share(0, 0), "\N{EN DASH}"),
        (share(0, 9), "0.0%"),
        (share(1, 10**6), "<0.1%"),
        (share(1, 1000), "0.1%"),
        (share(1, 8), "12.5%"),
        (byte_size(1), "1 byte"),
        (byte_size(1023), "1,023 bytes"),
        (byte_size(1024), "1.0 KiB"),
        (byte_size(1 << 19), "512.0 KiB"),
        (byte_size(3 << 50), "3,072.0 TiB"),
    ],
)
def test_numbers_are_written_for_people(got: str, wanted: str) -> None:
    assert got == wanted


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (61, "1 min"),
        (3599, "1 h 0 min"),
        (3601, "1 h 0 min"),
        (8700, "2 h 25 min"),
        (47.5 * 3600, "47 h 30 min"),
        (50 * 3600, "2 d 2 h"),
        (47.999 * 3600, "2 d 0 h"),
    ],
)
def test_durations_are_said_as_a_person_does(seconds: float, said: str) -> None:
    assert duration(seconds) == said
