"""`captioner describe`: what is in a dataset, as printed tables and as one HTML page."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from model.artifacts import DATASET_FILE, FREQUENCIES_FILE, DatasetInfo
from model.command import local_path
from model.config_json import read_json
from model.errors import CaptionerError
from pipelines import files
from pipelines.describe.counts import count_duplicates, count_examples, count_rejects, count_words
from pipelines.describe.findings import find
from pipelines.describe.plots import plots
from pipelines.describe.summaries import Description
from pipelines.describe.tables import sections
from pipelines.describe.text import as_text
from pipelines.pages import render_page
from pipelines.readable import plural
from pipelines.schemas import DUPLICATES, EXAMPLES, REJECTS, check_no_nulls
from pipelines.sources import normalise_uri

PAGE_FILE = "description.html"
_AGAIN = "run captioner preprocess again"
# Not read: nothing is told of these.
_UNREAD = ("image_uri", "pixel_sha256", "perceptual_hash")
_BATCH_ROWS = 1 << 16


def read_rows(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields the rows of Parquet files, some thousands at a time, without the columns not counted.

    Raises:
        CaptionerError: if a file is no Parquet, or its rows are not those of `schema`.
    """
    wanted = pa.schema([column for column in schema if column.name not in _UNREAD])
    for path in paths:
        try:
            with pq.ParquetFile(path) as parquet:
                missing = set(wanted.names) - set(parquet.schema_arrow.names)
                if missing:
                    raise ValueError(f"columns missing: {', '.join(sorted(missing))}")
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=wanted.names):
                    rows = pa.Table.from_batches([batch]).select(wanted.names)
                    yield check_no_nulls(rows.cast(wanted))
        except (OSError, ValueError, CaptionerError) as error:
            raise CaptionerError(f"{path}: {error}; {_AGAIN}") from error


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder in the order of their names; none if there is no folder."""
    return sorted(path for path in folder.glob("*.parquet") if path.name[0] not in "._")


def describe(folder: Path) -> Description:
    """Reads the dataset in `folder`, all but its TFRecords.

    Raises:
        CaptionerError: if it holds no dataset, or one of a version that wrote no such tables.
    """
    info = read_json(DatasetInfo, folder / DATASET_FILE, "dataset")
    examples, words = parquet_files(folder / "examples"), folder / FREQUENCIES_FILE
    for what, found in (
        ("examples/*.parquet", bool(examples)),
        (FREQUENCIES_FILE, words.is_file()),
    ):
        if not found:
            raise CaptionerError(
                f"{folder} has no {what}: it was made by another version, or is damaged; {_AGAIN}"
            )
    pairs = folder / "duplicates.parquet"
    try:
        # Not the usual line ends: a word may hold a character that Unicode counts as one.
        with words.open(encoding="utf-8", newline="\n") as lines:
            word_summary = count_words(lines)
    except (ValueError, CaptionerError) as error:
        raise CaptionerError(f"{words}: {error}; {_AGAIN}") from error
    return Description(
        name=folder.name,
        info=info,
        examples=count_examples(read_rows(examples, EXAMPLES)),
        words=word_summary,
        rejects=count_rejects(read_rows(parquet_files(folder / "rejects"), REJECTS)),
        duplicates=count_duplicates(read_rows([pairs] if pairs.exists() else [], DUPLICATES)),
    )


def render(description: Description) -> str:
    """The page as HTML."""
    return render_page(
        "describe.html",
        description=description,
        findings=find(description),
        sections=sections(description),
        plots=plots(description),
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    folder = local_path("dataset", normalise_uri(options.dataset))
    output = normalise_uri(options.output or str(folder / PAGE_FILE))
    description = describe(folder)
    try:
        files.write_text(output, render(description))
    except (OSError, ValueError) as error:
        raise CaptionerError(f"--output {output}: {error}; choose another file") from error
    print(as_text(description), end="\n\n")
    print(f"{plural(len(find(description)), 'finding')}; page in {output}")
    return 0
