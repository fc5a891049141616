"""Stages of captioning and the time that each takes, as Beam counts it on any runner."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.metrics.metric import MetricResults

from pipelines.texts import one_line

NAMESPACE = "captioner"
READ, DECODE, CAPTION, WRITE = STAGES = ("read", "decode", "caption", "write")
_SUFFIX = "_usec"
# Beam's own: the time from a unit's first byte to its last caption.
_UNIT_USEC = "inference_batch_latency_micro_secs"


class StageCounters:
    """Beam's distributions of the time of each stage, in microseconds a unit."""

    def __init__(self) -> None:
        self._of = {stage: Metrics.distribution(NAMESPACE, stage + _SUFFIX) for stage in STAGES}

    def update(self, seconds: Mapping[str, float]) -> None:
        """Adds the seconds that a unit spent in each stage."""
        for stage, spent in seconds.items():
            self._of[stage].update(round(spent * 1e6))


def stage_seconds(result: Any) -> dict[str, float]:
    """Seconds of each stage in all threads of all workers, of the result of a pipeline.

    Empty if its runner does not tell.
    """
    times = _distributions(result)
    names = [stage for stage in STAGES if times.get(stage + _SUFFIX) is not None]
    return {stage: times[stage + _SUFFIX].sum / 1e6 for stage in names}


def busy_seconds(result: Any) -> float:
    """Seconds of all workers at work on units, of the result of a pipeline of a local runner.

    A worker reads and decodes while it captions: it is less than what the stages took together.
    """
    times = _distributions(result)
    return (times[_UNIT_USEC].sum + times[WRITE + _SUFFIX].sum) / 1e6


def _distributions(result: Any) -> dict[str, Any]:
    """Beam's distributions by name; empty if its runner does not tell."""
    try:
        found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    except NotImplementedError:
        return {}
    except Exception as error:  # each runner has its own; all the work is done by now
        logging.getLogger(__name__).warning("no times of stages: %s", one_line(error))
        return {}
    return {of.key.metric.name: of.result for of in found[MetricResults.DISTRIBUTIONS]}


def stage_lines(seconds: Mapping[str, float], images: int) -> Iterator[str]:
    """What a person is told of the stages, line by line."""
    for stage, spent in seconds.items():
        rate = f"{images / spent:.1f}" if spent else "-"
        yield f"  {stage:<8} {1000 * spent / images:8.2f} ms an image {rate:>10} images/s a thread"
