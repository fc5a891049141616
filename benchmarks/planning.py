"""Seconds and memory of planning a run, and of a rerun with nothing to do, over many pictures.

    python -m benchmarks.planning --count 1000000

Makes a manifest of `--count` files that are there (links to one file of each folder, a thousand in
each) and the captions of all of them, as the command writes them. Both runs are processes of their
own, imports included: `plan` lists, looks for rows in an empty folder, and writes the plan; `rerun`
is the command itself. Seconds of the processors are what other work on the machine does not change.
"""

import argparse
import datetime
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import peak_memory
from model.artifacts import BundleConfig
from model.config import ImageConfig, ModelConfig, SamplerConfig
from model.config_json import to_json
from model.image import DECODER_VERSION
from pipelines.records import ImageFile, Unit
from pipelines.schemas import CAPTIONED, CAPTIONS
from pipelines.units import unit_id, unit_uri

_PER_FOLDER, _PER_UNIT = 1000, 256
_FINGERPRINT = "0" * 16


def make_archive(folder: Path, count: int) -> list[str]:
    """Makes the files and the manifest `folder/archive.txt`; returns the paths."""
    paths = [
        f"{folder}/archive/photographs-{i // _PER_FOLDER:04d}/picture-{i:07d}.jpg"
        for i in range(count)
    ]
    for start in range(0, count, _PER_FOLDER):
        os.makedirs(os.path.dirname(paths[start]))
        Path(paths[start]).write_bytes(b"1234")
        for path in paths[start + 1 : start + _PER_FOLDER]:
            os.link(paths[start], path)
    (folder / "archive.txt").write_text("\n".join(paths) + "\n", encoding="utf-8")
    return paths


def make_captions(folder: Path, paths: list[str]) -> None:
    """Writes the captions of `paths` as the command does, in files of 256 rows."""
    parts = f"{folder}/captions/model={_FINGERPRINT}"
    os.makedirs(parts)
    for start in range(0, len(paths), _PER_UNIT):
        names = paths[start : start + _PER_UNIT]
        unit = Unit(unit_id(ImageFile(path, path, 4) for path in names), "", 0)
        table = pa.Table.from_pylist(list(map(_row, names)), CAPTIONS)
        pq.write_table(table, unit_uri(parts, unit), compression="zstd")


def _row(path: str) -> dict:
    caption = f"a man in a red shirt rides bicycle {path[-11:-4]} down the street"
    return {
        "image_uri": path,
        "sha256": f"{hash(path) & (1 << 63) - 1:064x}",
        "status": CAPTIONED,
        "caption": caption,
        "score": -1.0,
        "alternatives": [{"caption": f"{caption} {i}", "score": -1.5 - i} for i in range(2)],
        "tags": [],
        "flags": [],
        "width_px": 4000,
        "height_px": 3000,
        "format": "JPEG",
        "byte_size": 4,
        "model_fingerprint": _FINGERPRINT,
        "captioned_at": datetime.datetime.now(datetime.UTC),
    }


def make_bundle(folder: Path) -> None:
    """A bundle without a model: none is loaded where there is nothing to do."""
    config = BundleConfig(
        model_fingerprint=_FINGERPRINT,
        decoder_version=DECODER_VERSION,
        image=ImageConfig(224),
        model=ModelConfig(),
        sampler=SamplerConfig(),
        max_length=20,
        vocabulary_size=100,
        dataset_fingerprint="none",
        low_score=None,
    )
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "variables.index").write_bytes(b"")
    (folder / "bundle.json").write_text(to_json(config), encoding="utf-8")
    (folder / "saved_model.pb").write_bytes(b"")


def arguments(folder: Path, output: str) -> Iterator[str]:
    yield from ("--bundle", f"{folder}/bundle", "--input", f"{folder}/archive.txt")
    yield from ("--output", f"{folder}/{output}")


def plan(folder: Path) -> None:
    """What the command does before the first picture is read; run in a process of its own."""
    from pipelines import caption
    from pipelines.arguments import caption_parser
    from pipelines.caption_config import read_config
    from pipelines.claims import claim
    from pipelines.sources import SkippedFiles

    options = caption_parser().parse_args(list(arguments(folder, "new")))
    config = read_config(options)
    with claim(config.output, "benchmark") as claimed:
        remaining = caption.find_remaining(config, config.output, SkippedFiles())
        units = caption.plan(remaining, config, claimed)
        print(f"{remaining.to_do} pictures to do in {len(units)} units", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        plan(options.inside)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder / "bundle")
        make_captions(folder, make_archive(folder, options.count))
        runs = {
            "plan": ["-m", "benchmarks.planning", "--inside", name],
            "rerun": ["-m", "pipelines.cli", "caption", *arguments(folder, "captions")],
        }
        for what, line in runs.items():
            before = os.times()
            seconds, peak = peak_memory([sys.executable, *line])
            after = os.times()
            used = after.children_user + after.children_system
            used -= before.children_user + before.children_system
            print(
                f"{options.count} pictures, {what}: {seconds:.1f} s ({used:.1f} s of processors), "
                f"{peak / 2**20:.0f} MiB"
            )


if __name__ == "__main__":
    main()
