"""`captioner report`: a folder of captions as one HTML page for people to look at.

The rows are streamed once: counts do not grow with their number, and only those shown are held.
"""

import argparse
import base64
import dataclasses
import datetime
import hashlib
import io
import operator
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from model.config import DEFAULT_MAX_PIXELS, ImageConfig
from model.errors import CaptionerError
from model.image import DecodedImage
from pipelines import files
from pipelines.archives.containers import close_containers
from pipelines.beam_options import give_no_options
from pipelines.captions_table import read_captions
from pipelines.images import read_image, threads_for
from pipelines.located import locate_pictures
from pipelines.pages import render_page
from pipelines.records import ImageFile
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED
from pipelines.sources import normalise_uri
from pipelines.threads import map_ahead

THUMBNAIL_PX = 224
MAX_BINS = 24
# Scores are counted in thousandths of a nat within bounds, so that a count of them stays small.
MILLINATS = 1000
_BOUND_NATS = 100
_STEPS = [digit * 10**power for power in range(1, 6) for digit in (2, 5, 10)]
# Column added while reading: a hash of the URI, whose smallest values are spread over an archive.
_SPREAD = "_spread"
Row = dict[str, Any]
_NAME = operator.itemgetter("image_uri", "model_fingerprint")


class Histogram(NamedTuple):
    """Bins of width `step` from `low`, open below and closed above; in thousandths of a nat."""

    low: int
    step: int
    counts: list[int]


def histogram(scores: Mapping[int, int]) -> Histogram:
    """At most `MAX_BINS` bins of a round width; 0, the best score, is always an edge of them.

    Args:
        scores: rows by score in thousandths of a nat; not empty.
    """
    bottom, top = min(0, *scores), max(0, *scores)
    for step in _STEPS:
        low, high = (bottom - 1) // step * step, -(-top // step) * step
        if high - low <= MAX_BINS * step:
            break
    counts = [0] * ((high - low) // step)
    for score, count in scores.items():
        counts[(score - low - 1) // step] += count
    return Histogram(low, step, counts)


def median(scores: Mapping[int, int]) -> float | None:
    """The median in nats of rows by score in thousandths of a nat; None without rows."""
    if not scores:
        return None
    values = np.array(sorted(scores))
    ends = np.cumsum([scores[value] for value in values.tolist()])
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], "right")
    return float(values[middle].mean()) / MILLINATS


@dataclass
class Summary:
    """Counts over all rows; `scores` is in thousandths of a nat."""

    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)
    times: tuple[datetime.datetime, ...] = ()

    def add(self, rows: pa.Table) -> None:
        """Adds rows of `schemas.CAPTIONS`."""
        models, statuses = (rows[name].to_pylist() for name in ("model_fingerprint", "status"))
        self.models.update(zip(models, statuses, strict=True))
        self.reasons.update(
            reason or "unknown" for reason in _of(rows, REJECTED)["reason"].to_pylist()
        )
        self.flags.update(pc.list_flatten(rows["flags"]).to_pylist())
        scores = np.clip(_scored(rows)["score"].to_numpy(), -_BOUND_NATS, _BOUND_NATS)
        self.scores.update(np.rint(scores * MILLINATS).astype(int).tolist())
        if rows.num_rows:
            times = (*self.times, *pc.min_max(rows["captioned_at"]).as_py().values())
            self.times = (min(times), max(times))

    def count(self, status: str) -> int:
        """Rows of a status, of all models."""
        return sum(count for (_, of), count in self.models.items() if of == status)


def _of(rows: pa.Table, status: str) -> pa.Table:
    return rows.filter(pc.field("status") == status)


def _scored(rows: pa.Table) -> pa.Table:
    return _of(rows, CAPTIONED).filter(pc.is_finite(pc.field("score")))


def smallest(rows: pa.Table, column: str, count: int) -> pa.Table:
    """The `count` rows with the smallest values in `column`, whatever the order of the rows."""
    keys = dict.fromkeys([column, _SPREAD, "image_uri", "model_fingerprint"])
    if not count or not rows.num_rows:
        return rows.slice(0, 0)
    return rows.take(pc.select_k_unstable(rows, count, [(key, "ascending") for key in keys]))


def with_spread(rows: pa.Table) -> pa.Table:
    """`rows` and a column of evenly spread hashes of their URIs."""
    digests = (hashlib.sha256(uri.encode()).digest()[:8] for uri in rows["image_uri"].to_pylist())
    return rows.append_column(_SPREAD, pa.array(map(int.from_bytes, digests), pa.uint64()))


class Shown(NamedTuple):
    """The rows that the page shows, each once."""

    lowest: list[Row]
    others: list[Row]
    rejects: list[Row]


def summarise(tables: Iterator[pa.Table], limit: int) -> tuple[Summary, Shown]:
    """Counts all rows and chooses those to show, by what is in them and not by where they lie."""
    summary = Summary()
    empty = with_spread(CAPTIONS.empty_table())
    lowest, spread, rejects = empty, empty, empty
    for table in tables:
        summary.add(table)
        rows = with_spread(table)
        lowest = smallest(pa.concat_tables([lowest, _scored(rows)]), "score", limit // 4)
        spread = smallest(pa.concat_tables([spread, _of(rows, CAPTIONED)]), _SPREAD, limit)
        rejects = smallest(pa.concat_tables([rejects, _of(rows, REJECTED)]), _SPREAD, limit)
    # Of a small archive, too, the lowest scores are a quarter and not all of it.
    low = lowest.to_pylist()[: -(-summary.count(CAPTIONED) // 4)]
    names = set(map(_NAME, low))
    others = [row for row in spread.to_pylist() if _NAME(row) not in names][: limit - len(low)]
    return summary, Shown(low, sorted(others, key=_NAME), sorted(rejects.to_pylist(), key=_NAME))


class Card(NamedTuple):
    """A row with its thumbnail, a data URI, or with the reason why there is none."""

    row: Row
    thumbnail: str | None = None
    width_px: int = 0
    height_px: int = 0
    problem: str = ""


def make_thumbnail(picture: DecodedImage) -> Image.Image:
    """The picture in its own shape again, its longest side at most `THUMBNAIL_PX`."""
    scale = min(1.0, THUMBNAIL_PX / max(picture.width_px, picture.height_px))
    size = [max(1, round(side * scale)) for side in (picture.width_px, picture.height_px)]
    return Image.fromarray(picture.pixels).resize((size[0], size[1]))


def make_card(row: Row, image: ImageFile, config: ImageConfig) -> Card:
    """Reads the picture of a row; one that is gone or not the same any more is not shown."""
    try:
        picture = read_image(image, config, hashed=True)
    except ValueError:  # a URI of a file system that is not installed here, or no path at all
        picture = None
    if picture is None or picture.sha256 is None:
        return Card(row, problem="picture not found")
    if picture.decoded is None or picture.sha256 != row["sha256"]:
        return Card(row, problem="picture not found: the file has changed since")
    thumbnail, buffer = make_thumbnail(picture.decoded), io.BytesIO()
    thumbnail.save(buffer, "JPEG", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Card(row, f"data:image/jpeg;base64,{data}", thumbnail.width, thumbnail.height)


def make_cards(rows: list[Row]) -> list[Card]:
    """The cards of `rows`, in order."""
    # What the captioning run accepted is no bomb, whatever its --max-pixels was.
    areas = [(row["width_px"] or 0) * (row["height_px"] or 0) for row in rows]
    config = ImageConfig(THUMBNAIL_PX, max([DEFAULT_MAX_PIXELS, *areas]))
    # Each row is compared with its picture for itself: those of two models may differ.
    found = (dataclasses.replace(image, sha256=None) for image in locate_pictures(rows))
    images = {image.uri: image for image in found}
    threads = threads_for(images.values())
    try:
        return list(
            map_ahead(lambda row: make_card(row, images[row["image_uri"]], config), rows, threads)
        )
    finally:
        close_containers()


def render(title: str, summary: Summary, shown: Shown) -> str:
    """The page as HTML. `title` is a name of the captions."""
    return render_page(
        "report.html",
        title=title,
        summary=summary,
        lowest=make_cards(shown.lowest),
        others=make_cards(shown.others),
        rejects=shown.rejects,
        median=median(summary.scores),
        histogram=histogram(summary.scores) if summary.scores else None,
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    if options.limit < 1:
        raise CaptionerError(f"--limit: got {options.limit}, expected 1 or more")
    give_no_options()
    folder, output = normalise_uri(options.captions), normalise_uri(options.output)
    summary, shown = summarise(read_captions(folder), options.limit)
    page = render(PurePosixPath(folder).name, summary, shown)
    try:
        files.write_text(output, page)
    except (OSError, ValueError) as error:
        raise CaptionerError(f"--output {output}: {error}; choose another file") from error
    captioned, rejected = summary.count(CAPTIONED), summary.count(REJECTED)
    print(
        f"{captioned + rejected} rows = {captioned} captioned + {rejected} rejected; "
        f"page of {len(shown.lowest) + len(shown.others)} captions in {output}"
    )
    return 0


if __name__ == "__main__":
    from pipelines.cli import leave, main

    leave(main(["report", *sys.argv[1:]]))
