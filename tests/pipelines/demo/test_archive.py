"""Tests of the written training set and archive."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pipelines.demo.archive import read_truth, write_archive, write_training_set
from pipelines.demo.language import same_scene


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def loads(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return True


def test_training_set_has_five_captions_of_every_picture(tmp_path: Path) -> None:
    write_training_set(tmp_path, 12, seed=1)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == [f"scene-{index:06d}.jpg" for index in range(12)]
    assert all(loads(tmp_path / "images" / name) for name in names)
    lines = (tmp_path / "captions.token.txt").read_text(encoding="utf-8").splitlines()
    keys, captions = zip(*(line.split("\t") for line in lines), strict=True)
    assert list(keys) == [f"{name}#{number}" for name in names for number in range(5)]
    assert all(captions)


def test_training_set_depends_on_its_seed_only(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        write_training_set(tmp_path / name, 3, seed)
    one, same, other = (files_of(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one != other


@pytest.mark.parametrize("seed", range(5))
def test_archive_has_the_pictures_and_five_broken_files(tmp_path: Path, seed: int) -> None:
    archive, truth = tmp_path / "archive", tmp_path / "truth.jsonl"
    scenes = write_archive(archive, 8, seed, truth)
    files = files_of(archive)
    good = {name for name in files if loads(archive / name)}
    assert good == set(scenes)
    assert len(good) == 8
    broken = sorted(Path(name).name for name in files.keys() - good)
    assert broken == ["corrupt.png", "empty.jpg", "garbage.jpg", "notes.jpg", "truncated.jpg"]
    assert len({Path(name).parent for name in files}) > 1


def test_archive_repeats_no_training_picture(tmp_path: Path) -> None:
    write_training_set(tmp_path / "training", 20, seed=4)
    write_archive(tmp_path / "archive", 20, 4, tmp_path / "truth.jsonl")
    training = set(files_of(tmp_path / "training").values())
    assert not training & set(files_of(tmp_path / "archive").values())


def test_truth_reads_back(tmp_path: Path) -> None:
    truth = tmp_path / "results" / "truth.jsonl"
    scenes = write_archive(tmp_path / "archive", 20, 3, truth)
    assert read_truth(truth) == scenes
    records = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]
    assert all(same_scene(record["caption"], scenes[record["image"]]) for record in records)


def test_truth_stays_out_of_the_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lies in the archive"):
        write_archive(tmp_path / "archive", 1, 0, tmp_path / "archive" / "truth.jsonl")
