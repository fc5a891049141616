"""Tests of the time that stages take: Beam adds it up, whichever worker spent it."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import pytest

from pipelines.stages import StageCounters, stage_seconds


class Spend(beam.DoFn):
    """Spends `element` seconds in two stages."""

    def setup(self) -> None:
        self.counters = StageCounters()

    def process(self, element: float) -> Iterator[None]:
        self.counters.update({"read": element, "caption": 2 * element})
        yield None


def test_the_time_of_a_stage_is_that_of_all_units() -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([0.5, 0.25, 1.0]) | beam.ParDo(Spend())
    result = pipeline.run()
    result.wait_until_finish()
    assert stage_seconds(result) == pytest.approx({"read": 1.75, "caption": 3.5})


def test_a_runner_without_metrics_tells_nothing() -> None:
    class Silent:
        def metrics(self) -> None:
            raise NotImplementedError

    assert stage_seconds(Silent()) == {}
