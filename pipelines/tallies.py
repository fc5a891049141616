"""Counts of what a pipeline wrote, added up over its workers."""

import json
from collections import defaultdict
from typing import Any

import apache_beam as beam

from model.errors import CaptionerError
from pipelines import files
from pipelines.beam_options import NOTHING_DONE


class WriteTallies(beam.PTransform):
    """Adds tallies up and writes the sums as JSON.

    Args:
        uri: the file to write.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri

    def expand(self, tallies: Any) -> beam.PCollection:
        return (
            tallies
            | beam.Flatten()
            | beam.Map(lambda tally: ((tally.what, tally.of), tally.number))
            | beam.CombinePerKey(sum)
            | beam.combiners.ToList()
            | beam.Map(lambda pairs, uri: files.write_text(uri, json.dumps(pairs)), self.uri)
        )


def read_tallies(uri: str) -> defaultdict[str, dict[str, int]]:
    """What `WriteTallies` wrote: by what was counted, how many there are of each.

    Raises:
        CaptionerError: if it wrote nothing, as the pipeline did not run.
    """
    if not files.exists(uri):
        raise CaptionerError(f"no pictures were prepared, {NOTHING_DONE}")
    tallies: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (what, of), count in json.loads(files.read_bytes(uri)):
        tallies[what][of] = count
    return tallies
