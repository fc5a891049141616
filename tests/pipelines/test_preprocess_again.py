"""Tests of datasets of pictures that are copies, changed since, or were captioned before."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pipeline_builders
import pytest
from PIL import Image
from pipeline_builders import FINGERPRINT, captioner
from preprocess_builders import (
    PICTURES,
    SMALL,
    caption_of,
    name_of,
    pictures,
    preprocess,
    table_of,
    write_table,
)

__all__ = ["pictures"]


def test_confident_captions_of_an_archive_become_training_data(
    archive: Path, captions: Path, tmp_path: Path
) -> None:
    written = table_of(captions, f"model={FINGERPRINT}")
    scores = sorted(row["score"] for row in written if row["score"] is not None)
    least = scores[len(scores) // 2]
    info = preprocess(tmp_path / "dataset", "--captions", captions, "--min-score", str(least))
    confident = {r["image_uri"]: r["caption"] for r in written if (r["score"] or -99) >= least}
    rows = table_of(tmp_path / "dataset", "examples")
    assert {row["image_uri"]: row["captions"] for row in rows} == {
        uri: [caption] for uri, caption in confident.items()
    }
    assert info.inputs == len(confident)


def test_a_picture_that_is_not_the_captioned_one_any_more_is_no_training_data(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, written = tmp_path / "images", tmp_path / "written"
    images.mkdir()
    for seed in range(4):
        pipeline_builders.write_picture(images / name_of(seed), seed)
    caption = ["--bundle", tiny_bundle, "--input", images, "--output", written]
    assert captioner("caption", *caption) == 0
    arguments = ["--captions", written, "--split-ratios", "1,0,0"]
    assert preprocess(tmp_path / "before", *arguments).rejects == {}
    pipeline_builders.write_picture(images / name_of(0), 9)
    capsys.readouterr()
    again = ["preprocess", *arguments, *SMALL, "--output", tmp_path / "before"]
    assert captioner(*again) == 2
    assert "another dataset" in capsys.readouterr().err
    info = preprocess(tmp_path / "after", *arguments)
    assert info.rejects == {"changed": 1}
    assert info.examples == {"train": 3, "validation": 0, "test": 0}


def test_copies_are_moved_together_and_near_copies_reported_or_dropped(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, copied = tmp_path / "images", {f"copy-{name_of(seed)}": seed for seed in (0, 4)}
    shutil.copytree(pictures, folder, ignore=shutil.ignore_patterns("*.txt", "*.csv"))
    for name, seed in copied.items():
        shutil.copy(pictures / name_of(seed), folder / name)
    with Image.open(pictures / name_of(1)) as picture:
        picture.putpixel((0, 0), (0, 0, 0))
        picture.save(folder / "near.png")
    lines = [f"{name_of(seed)}\t{caption_of(seed)}\ttrain" for seed in range(PICTURES)]
    lines += [f"{name}\tin test\ttest" for name in (*copied, "near.png")]
    (tmp_path / "captions.tsv").write_text(
        "\n".join(["image\tcaption\tsplit", *lines]), encoding="utf-8"
    )
    inputs = ["--captions", tmp_path / "captions.tsv", "--images", folder]
    info = preprocess(tmp_path / "dataset", *inputs)
    assert info.duplicates == {"moved": 2, "reported": 1}
    rows = table_of(tmp_path / "dataset", "examples")
    moved = set(map(name_of, copied.values()))
    assert {row["image_id"] for row in rows if row["split"] == "test"} == {
        *copied,
        *moved,
        "near.png",
    }
    near = (name_of(1), "near.png", "reported")
    assert pairs_of(tmp_path / "dataset") == {
        near,
        *((name_of(seed), name, "moved") for name, seed in copied.items()),
    }
    dropped = preprocess(tmp_path / "strict", *inputs, "--near-duplicates", "drop")
    assert dropped.duplicates == {"moved": 2, "dropped": 1}
    assert dropped.rejects == {"duplicate_across_splits": 1}
    assert sum(dropped.examples.values()) == PICTURES + 2
    (reject,) = table_of(tmp_path / "strict", "rejects")
    assert reject["image_id"] == name_of(1)
    assert (*near[:2], "dropped") in pairs_of(tmp_path / "strict")
    assert "2 moved" in capsys.readouterr().out


def pairs_of(dataset: Path) -> set[tuple[str, str, str]]:
    rows = table_of(dataset, "duplicates.parquet")
    return {(row["image_id"], row["other_image_id"], row["action"]) for row in rows}


def test_pictures_that_changed_or_came_since_make_another_dataset(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, last = tmp_path / "images", name_of(PICTURES - 1)
    shutil.copytree(pictures, folder, ignore=shutil.ignore_patterns(last, "*.txt", "*.csv"))
    write_table(tmp_path / "captions.csv")
    inputs = ["--captions", tmp_path / "captions.csv", "--caption-column", "text"]
    preprocess(tmp_path / "dataset", *inputs, "--images", folder)
    made = (tmp_path / "dataset" / "dataset.json").stat().st_mtime
    os.utime(folder / name_of(0), (made, made + 1e6))  # a clock that went wrong
    preprocess(tmp_path / "dataset", *inputs, "--images", folder)
    assert "nothing to do" in capsys.readouterr().out
    time.sleep(0.01)
    again = ["preprocess", *inputs, "--images", folder, *SMALL, "--output", tmp_path / "dataset"]
    (folder / name_of(0)).touch()  # of the same size
    assert captioner(*again) == 2
    assert "already holds another dataset" in capsys.readouterr().err
    os.utime(folder / name_of(0), (made, made - 9))
    assert captioner(*again) == 0
    shutil.copy(pictures / last, folder)
    os.utime(folder / last, (made, made - 9))
    assert captioner(*again) == 2
    assert "already holds another dataset" in capsys.readouterr().err
