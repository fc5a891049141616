"""Tests of preprocessing's progress: it is counted from the files in the staging folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline_builders import captioner, preprocess_arguments

from model.dataset import read_dataset_info
from pipelines import preprocess, progress
from pipelines.preprocess_progress import Prepared
from pipelines.progress import Progress


def write(path: Path, rows: int = 0) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"a": list(range(rows))}), path)


def test_pictures_are_decoded_and_then_written(tmp_path: Path) -> None:
    prepared = Prepared(str(tmp_path), listed=600, per_store=256, captioned=500)
    assert prepared.look() == Progress(0, 600, step="decoding")
    for name in ("pixels-000001-ab12.bin", "pixels-000001-cd34.bin", ".pixels-000000-ab.bin.tmp"):
        write(tmp_path / "pixels" / name)
    assert prepared.look() == Progress(256, 600, step="decoding")
    for number in (0, 2):
        write(tmp_path / "pixels" / f"pixels-{number:06d}-ef56.bin")
    # A step of its own: nothing is left to decode, and yet it takes minutes of a million pictures.
    assert prepared.look() == Progress(600, 600, step="decoded, being joined with captions")
    write(tmp_path / "examples" / "train-00000.parquet", 300)
    write(tmp_path / "examples" / ".train-00001.parquet.tmp", 30)
    assert prepared.look() == Progress(300, 500, step="writing")
    write(tmp_path / "examples" / "validation-00000.parquet", 100)
    for _ in range(2):
        assert prepared.look() == Progress(400, 500, step="writing")


def test_far_staging_folders_are_looked_at_too(memory: dict[str, bytes], tmp_path: Path) -> None:
    memory["memory://bucket/staging/pixels/pixels-000000-ab.bin"] = b""
    prepared = Prepared("memory://bucket/staging", listed=300, per_store=256, captioned=1)
    assert prepared.look() == Progress(256, 300, step="decoding")
    write(tmp_path / "part", 7)
    memory["memory://bucket/staging/examples/test-00000.parquet"] = (tmp_path / "part").read_bytes()
    assert prepared.look() == Progress(7, 1, step="writing")


def test_a_preprocessing_tells_all_that_it_did(
    captioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Watched(Prepared):
        """Looked at once more, before the staging folder goes."""

        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            seen.append(self)

    looked = []
    finish = preprocess.finish

    def look_and_finish(*arguments: object) -> object:
        looked.append(seen[0].look())
        return finish(*arguments)

    monkeypatch.setattr(preprocess, "Prepared", Watched)
    monkeypatch.setattr(preprocess, "finish", look_and_finish)
    monkeypatch.setattr(progress, "_LIVE_SEC", 0.01)
    assert captioner(*preprocess_arguments(captioned, tmp_path / "dataset")) == 0
    (last,) = looked
    info = read_dataset_info(tmp_path / "dataset")
    assert last.step == "writing"
    assert last.done == sum(info.examples.values()) <= last.total < info.inputs
