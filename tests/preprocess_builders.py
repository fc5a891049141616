"""What tests of preprocessing share: pictures, captions, and the ways to bring them together."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import builders
import pipeline_builders
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from pipeline_builders import captioner

from model.artifacts import DatasetInfo
from model.dataset import read_dataset_info

PICTURES = 12
SMALL = ["--image-size-px", "16", "--min-count", "1"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, each with its own seed."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(PICTURES):
        pipeline_builders.write_picture(folder / name_of(seed), seed)
    return folder


def name_of(seed: int) -> str:
    return f"{seed:02d}.png"


def caption_of(seed: int) -> str:
    return f"a {builders.colour_of(seed)} square, number {seed}"


def preprocess(output: Path, *arguments: str | Path) -> DatasetInfo:
    assert captioner("preprocess", *arguments, *SMALL, "--output", output) == 0
    return read_dataset_info(output)


def table_of(dataset: Path, name: str) -> list[dict[str, Any]]:
    return pads.dataset(str(dataset / name), format="parquet").to_table().to_pylist()


def write_table(path: Path) -> list[str | Path]:
    """A table of captions, and the options to read it."""
    rows = [[name_of(seed), caption_of(seed), split_of(seed)] for seed in range(PICTURES)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "text", "part"], *rows])
    columns = ["--image-column", "file", "--caption-column", "text", "--split-column", "part"]
    return ["--captions", path, *columns]


def split_of(seed: int) -> str:
    return ("train", "train", "val", "test")[seed % 4]


def write_tar(path: Path, pictures: Path, seeds: range = range(PICTURES)) -> None:
    """A WebDataset: each picture with its caption beside it; its names start at 00."""
    with tarfile.open(path, "w") as tar:
        for number, seed in enumerate(seeds):
            tar.add(pictures / name_of(seed), name_of(number))
            data = json.dumps({"caption": caption_of(seed)}).encode()
            member = tarfile.TarInfo(name_of(number).replace(".png", ".json"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_zip(path: Path, pictures: Path, folder: str, seeds: range) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for seed in seeds:
            archive.write(pictures / name_of(seed), folder + name_of(seed))


def write_parquet(path: Path, pictures: Path) -> None:
    """What dataset hubs serve: bytes and path in one column, captions as lists."""
    images = [
        {"bytes": (pictures / name_of(seed)).read_bytes(), "path": name_of(seed)}
        for seed in range(PICTURES)
    ]
    captions = [[caption_of(seed), f"again {seed}"] for seed in range(PICTURES)]
    pq.write_table(pa.table({"image": images, "captions": captions}), path, row_group_size=5)
