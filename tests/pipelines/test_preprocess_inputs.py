"""Tests of datasets made from what people really have: other formats, archive files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from pipeline_builders import captioner
from preprocess_builders import (
    PICTURES,
    caption_of,
    name_of,
    pictures,
    preprocess,
    split_of,
    table_of,
    write_parquet,
    write_table,
    write_tar,
    write_zip,
)

from model.dataset import read_dataset_vocabulary

__all__ = ["pictures"]


def test_pictures_may_lie_in_any_containers(pictures: Path, tmp_path: Path) -> None:
    third = PICTURES // 3
    in_zip, in_list, in_table = (range(n * third, (n + 1) * third) for n in range(3))
    write_zip(tmp_path / "a.zip", pictures, "of which captions know nothing/", in_zip)
    (pictures / "list.txt").write_text("\n".join(map(name_of, in_list)), encoding="utf-8")
    lines = [f"absent.png,{name_of(seed)}" for seed in in_table]
    (pictures / "table.csv").write_text("\n".join(["file,where", *lines]), encoding="utf-8")
    sources = (tmp_path / "a.zip", pictures / "list.txt", pictures / "table.csv")
    images = [part for source in sources for part in ("--images", source)]
    captions = write_table(tmp_path / "captions.csv")
    folder = tmp_path / "dataset"
    info = preprocess(folder, *captions, *images, "--images-column", "where")
    assert info.examples == {"train": 6, "validation": 3, "test": 3}
    assert info.rejects == {}
    rows = {row["image_id"]: row for row in table_of(folder, "examples")}
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
