"""Tests of runs that the kernel kills: the next run ends as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline_builders import (
    FINGERPRINT,
    assert_same_rows,
    caption_arguments,
    captioner,
    files_of,
    kill_once,
    preprocess_arguments,
    read_rows,
    start,
    write_archive,
)

# So many units of one picture each that some are always left when the first is there.
SOUND = 100


def test_a_killed_caption_run_is_finished_by_the_next(tiny_bundle: Path, tmp_path: Path) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    expected = write_archive(archive, SOUND)
    arguments = caption_arguments(tiny_bundle, archive, output, "--unit-size", "1")[1:]
    parts = output / f"model={FINGERPRINT}"

    def some_are_committed() -> bool:
        return sum(1 for _ in parts.glob("part-*.parquet")) >= 3

    kill_once(start("caption", *arguments), some_are_committed)
    (output / "_runs" / "_killed.json.0.tmp").write_bytes(b"half")
    (parts / "_part-half.parquet.0.tmp").write_bytes(b"half")
    done = {row["image_uri"] for row in read_rows(output)}
    assert 3 <= len(done) < len(expected)
    before = files_of(parts)

    assert captioner("caption", *arguments) == 0
    rows = read_rows(output)
    assert {row["image_uri"]: row["reason"] for row in rows} == expected
    assert len(rows) == len(expected), "a picture has two rows"
    after = files_of(output)
    committed = {f"{parts.name}/{name}": data for name, data in before.items() if name[0] != "_"}
    assert {name: after[name] for name in committed} == committed, "done units were done again"
    (record,) = [name for name in after if not name.endswith(".parquet")]
    account = json.loads(after[record])["account"]
    assert account["already_done"] == len(done)
    assert account["inputs"] == len(expected)

    undisturbed = tmp_path / "undisturbed"
    assert captioner(*caption_arguments(tiny_bundle, archive, undisturbed)) == 0
    assert_same_rows(rows, read_rows(undisturbed))


def test_a_killed_preprocess_run_is_made_again_from_the_start(
    captioned: Path, preprocessed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    arguments = preprocess_arguments(captioned, output)[1:]
    staging = output / "_incomplete"

    def work_has_started() -> bool:
        return any(staging.glob("*/listings/splits.arrow"))

    kill_once(start("preprocess", *arguments), work_has_started)
    assert [path.name for path in output.iterdir()] == ["_incomplete"]
    # Killed later, it would have left shards too: those of other options, say.
    (run,) = staging.iterdir()
    (run / "train-00008-of-00009.tfrecord").write_bytes(b"stale")

    assert captioner("preprocess", *arguments) == 0
    assert not staging.exists()
    found, expected = files_of(output), files_of(preprocessed)
    assert sorted(found) == sorted(expected)
    # The SavedModel of the transform function is the one thing that differs between runs.
    same = [name for name in expected if not name.startswith("transform")]
    assert len(same) > 8
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}
