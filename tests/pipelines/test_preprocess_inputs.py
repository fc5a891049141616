"""Tests of datasets made from what people really have: other formats, archive files, duplicates."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import builders
import pipeline_builders
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from pipeline_builders import FINGERPRINT, captioner

from model.config import DatasetInfo
from model.dataset import read_dataset_info, read_dataset_vocabulary

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


def write_zip(path: Path, pictures: Path, folder: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for seed in range(PICTURES):
            archive.write(pictures / name_of(seed), folder + name_of(seed))


def write_parquet(path: Path, pictures: Path) -> None:
    """What dataset hubs serve: bytes and path in one column, captions as lists."""
    images = [
        {"bytes": (pictures / name_of(seed)).read_bytes(), "path": name_of(seed)}
        for seed in range(PICTURES)
    ]
    captions = [[caption_of(seed), f"again {seed}"] for seed in range(PICTURES)]
    pq.write_table(pa.table({"image": images, "captions": captions}), path, row_group_size=5)


@pytest.mark.parametrize("images", ["zip", "manifest", "table"])
def test_pictures_may_lie_in_any_container(pictures: Path, tmp_path: Path, images: str) -> None:
    captions = write_table(tmp_path / "captions.csv")
    sources = {
        "zip": tmp_path / "pictures.zip",
        "manifest": pictures / "list.txt",
        "table": pictures / "table.csv",
    }
    write_zip(sources["zip"], pictures, "of which captions know nothing/")
    sources["manifest"].write_text("\n".join(map(name_of, range(PICTURES))), encoding="utf-8")
    lines = [f"absent.png,{name_of(seed)}" for seed in range(PICTURES)]
    sources["table"].write_text("\n".join(["file,where", *lines]), encoding="utf-8")
    column = ["--images-column", "where"] if images == "table" else []
    info = preprocess(tmp_path / images, *captions, "--images", sources[images], *column)
    assert info.examples == {"train": 6, "validation": 3, "test": 3}
    assert info.rejects == {}
    rows = {row["image_id"]: row for row in table_of(tmp_path / images, "examples")}
    for seed in range(PICTURES):
        row = rows[name_of(seed)]
        assert row["captions"] == [caption_of(seed)]
        assert row["byte_size"] == (pictures / name_of(seed)).stat().st_size
        expected = split_of(seed).replace("val", "validation")
        assert row["split"] == expected


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_captions_may_bring_their_pictures(pictures: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"both.{kind}"
    {"tar": write_tar, "parquet": write_parquet}[kind](source, pictures)
    info = preprocess(tmp_path / "dataset", "--captions", source)
    assert sum(info.examples.values()) == info.inputs == PICTURES
    rows = {row["image_id"]: row for row in table_of(tmp_path / "dataset", "examples")}
    assert {rows[name_of(seed)]["captions"][0] for seed in range(PICTURES)} == set(
        map(caption_of, range(PICTURES))
    )
    assert all(row["image_uri"].startswith(f"{source}!/") for row in rows.values())


def test_shards_may_start_their_names_over(pictures: Path, tmp_path: Path) -> None:
    half = PICTURES // 2
    write_tar(tmp_path / "0.tar", pictures, range(half))
    write_tar(tmp_path / "1.tar", pictures, range(half, PICTURES - 1))
    names = [f"{i}.tar!/{name_of(n)}" for i in range(2) for n in range(half - 1)]
    names.insert(half - 1, name_of(half - 1))  # which the second lacks
    lists = {"train": names[:half], "test": names[half:]}
    for split, of_split in lists.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(of_split), encoding="utf-8")
    given = [part for split in lists for part in (f"--{split}-list", tmp_path / f"{split}.txt")]
    info = preprocess(tmp_path / "dataset", "--captions", tmp_path / "*.tar", *given)
    assert info.rejects == {}
    rows = {row["image_id"]: row for row in table_of(tmp_path / "dataset", "examples")}
    assert {name: rows[name]["captions"] for name in rows} == {
        name: [caption_of(seed)] for seed, name in enumerate(names)
    }
    assert {name for name, row in rows.items() if row["split"] == "test"} == set(lists["test"])


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
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(PICTURES):
        (folder / name_of(seed)).write_bytes((pictures / name_of(seed)).read_bytes())
    (folder / "copy.png").write_bytes((pictures / name_of(0)).read_bytes())
    lines = [f"{name_of(seed)}\t{caption_of(seed)}\ttrain" for seed in range(PICTURES)]
    lines += ["copy.png\ta copy in test\ttest"]
    (tmp_path / "captions.tsv").write_text(
        "\n".join(["image\tcaption\tsplit", *lines]), encoding="utf-8"
    )
    inputs = ["--captions", tmp_path / "captions.tsv", "--images", folder]
    info = preprocess(tmp_path / "dataset", *inputs)
    assert info.duplicates["moved"] == 1
    rows = table_of(tmp_path / "dataset", "examples")
    assert {row["image_id"] for row in rows if row["split"] == "test"} == {
        "copy.png",
        name_of(0),
    }
    (pair,) = [r for r in table_of(tmp_path / "dataset", "duplicates.parquet") if not r["distance"]]
    assert (pair["image_id"], pair["other_image_id"]) == (name_of(0), "copy.png")
    # Squares on grey are like each other: some near copies are there, and are gone if asked.
    near = info.duplicates.get("reported", 0)
    dropped = preprocess(tmp_path / "strict", *inputs, "--near-duplicates", "drop")
    rejected = dropped.rejects.get("duplicate_across_splits", 0)
    assert bool(near) == bool(rejected)
    assert sum(dropped.examples.values()) == PICTURES + 1 - rejected


def test_a_broken_tar_costs_only_what_is_missing(pictures: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "whole.tar", pictures)
    with tarfile.open(tmp_path / "whole.tar") as tar:
        member = tar.getmembers()[10]
    data = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[: member.offset_data + 9])
    write_table(tmp_path / "captions.csv")
    captions = ["--captions", tmp_path / "captions.csv", "--caption-column", "text"]
    info = preprocess(tmp_path / "dataset", *captions, "--images", tmp_path / "cut.tar")
    found = sum(info.examples.values())
    assert 2 <= found < PICTURES
    rejects = table_of(tmp_path / "dataset", "rejects")
    assert {row["reason"] for row in rejects} == {"truncated", "missing"}
    assert info.inputs == found + len(rejects)


def test_listed_pictures_that_are_gone_are_rejects(pictures: Path, tmp_path: Path) -> None:
    names = [*map(name_of, range(PICTURES)), "gone.png"]
    (tmp_path / "list.txt").write_text(
        "\n".join(str(pictures / name) for name in names), encoding="utf-8"
    )
    lines = [f"{pictures / name}\ta caption" for name in [*names, "never.png"]]
    (tmp_path / "captions.tsv").write_text("\n".join(["image\tcaption", *lines]), encoding="utf-8")
    inputs = ["--captions", tmp_path / "captions.tsv", "--images", tmp_path / "list.txt"]
    info = preprocess(tmp_path / "dataset", *inputs, "--split-ratios", "1,0,0")
    assert (info.inputs, sum(info.examples.values())) == (PICTURES + 2, PICTURES)
    assert info.rejects == {"missing": 2}
    stages = {row["image_id"]: row["stage"] for row in table_of(tmp_path / "dataset", "rejects")}
    assert stages == {str(pictures / "gone.png"): "decode", str(pictures / "never.png"): "join"}


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


def test_a_vocabulary_without_words_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "captions.csv")
    inputs = ["--captions", tmp_path / "captions.csv", "--caption-column", "text"]
    asked = ["preprocess", *inputs, "--images", pictures, "--min-count", "100"]
    assert captioner(*asked, "--output", tmp_path / "dataset") == 2
    assert "no word of the train split occurs --min-count times" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()


def test_text_options_reach_the_graph(pictures: Path, tmp_path: Path) -> None:
    lines = [f"{name_of(seed)}\tEin Hund AUF Gras {seed}" for seed in range(PICTURES)]
    (tmp_path / "captions.tsv").write_text("\n".join(["image\tcaption", *lines]), encoding="utf-8")
    inputs = ["--captions", tmp_path / "captions.tsv", "--images", pictures, "--keep-case"]
    folder = tmp_path / "dataset"
    info = preprocess(folder, *inputs, "--vocabulary-size", "8", "--split-ratios", "1,0,0")
    words = read_dataset_vocabulary(folder, info).tokens[4:]
    assert sorted(words) == ["AUF", "Ein", "Gras", "Hund"]


def test_pictures_are_missing_from_a_table_without_images(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "captions.csv")
    asked = ["--captions", tmp_path / "captions.csv", "--caption-column", "text"]
    assert captioner("preprocess", *asked, "--output", tmp_path / "dataset") == 2
    assert "--images is missing" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()
