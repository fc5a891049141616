"""A preprocessing run that the kernel kills: the next run ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

from pipeline_builders import (
    assert_same_dataset,
    captioner,
    kill_when,
    preprocess_arguments,
    start,
)


def test_a_killed_preprocess_run_is_made_again_from_the_start(
    captioned: Path, preprocessed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    arguments = preprocess_arguments(captioned, output)[1:]
    staging = output / "_incomplete"
    process = start("preprocess", *arguments)
    assert kill_when(process, lambda: any(staging.glob("*/listings/splits.arrow")))
    process.communicate()
    assert [path.name for path in output.iterdir()] == ["_incomplete"]
    # Killed later, it would have left shards too: those of other options, say.
    (run,) = staging.iterdir()
    (run / "train-00008-of-00009.tfrecord").write_bytes(b"stale")

    assert captioner("preprocess", *arguments) == 0
    assert not staging.exists()
    assert_same_dataset(output, preprocessed)
