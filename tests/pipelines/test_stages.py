"""Tests of the time that stages take: Beam adds it up, whichever worker spent it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import ModelHandler, RunInference

from pipelines.stages import NAMESPACE, StageCounters, busy_seconds, stage_seconds


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


@pytest.mark.parametrize(
    "failure",
    [
        NotImplementedError(),
        # What Dataflow's raise where a template was made, and Flink's where none was counted.
        ValueError("Can not query metrics. Job id is unknown."),
        LookupError("Found no metrics container for job 1"),
    ],
)
def test_a_runner_that_tells_no_metrics_costs_nothing_else(failure: Exception) -> None:
    class Silent:
        def metrics(self) -> None:
            raise failure

    assert stage_seconds(Silent()) == {}


class Sleeper(ModelHandler[float, float, None]):
    """Takes as long as its elements say."""

    def load_model(self) -> None:
        time.sleep(0.5)

    def run_inference(
        self, batch: Sequence[float], model: None, inference_args: dict | None = None
    ) -> Iterator[float]:
        for seconds in batch:
            time.sleep(seconds)
            yield seconds

    def get_metrics_namespace(self) -> str:
        return NAMESPACE


class Write(beam.DoFn):
    """Says that it wrote for ten seconds."""

    def setup(self) -> None:
        self.counters = StageCounters()

    def process(self, element: float) -> Iterator[None]:
        self.counters.update({"read": 1000.0, "write": 10.0})
        yield None


def test_workers_are_busy_from_a_units_first_byte_until_it_is_written() -> None:
    pipeline = beam.Pipeline(runner="FnApiRunner")
    units = pipeline | beam.Create([[0.1], [0.2]])
    _ = units | RunInference(Sleeper().with_no_batching()) | beam.ParDo(Write())
    result = pipeline.run()
    result.wait_until_finish()
    # Neither the model's loading nor what other threads did meanwhile.
    assert busy_seconds(result) == pytest.approx(20.3, abs=0.2)
