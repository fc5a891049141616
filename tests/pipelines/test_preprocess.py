"""Tests of a dataset made from captioned pictures: nothing lost, nothing leaked, nothing skewed."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pipeline_builders
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pipeline_builders import LISTS, captioner, files_of, preprocess_arguments

from model.artifacts import SPLITS, DatasetInfo
from model.dataset import read_dataset_info, read_dataset_vocabulary, read_split
from model.image import decode_image
from model.vocabulary import SPECIAL_TOKENS
from pipelines import preprocess, shards
from pipelines.describe.run import describe
from pipelines.schemas import EXAMPLES, REJECTS
from pipelines.splits import SplitRatios, split_by_hash

TRAINED_ON = [f"{seed:02d}.png" for seed in range(12)]
REJECTED = {
    ("03.png", "text", "empty_caption", "!!"),
    ("19.png", "join", "no_split", None),
    ("absent.png", "join", "missing", None),
    ("broken.png", "decode", "unreadable", None),
    ("silent.png", "join", "no_caption", None),
}


@pytest.fixture(scope="module")
def info(preprocessed: Path) -> DatasetInfo:
    return read_dataset_info(preprocessed)


@pytest.fixture(scope="module")
def examples(preprocessed: Path, info: DatasetInfo) -> dict[str, list[dict[str, Any]]]:
    """The Examples of each split as training reads them."""
    return {split: [*read_split(preprocessed, split, info)] for split in SPLITS}


def ids(examples: list[dict[str, Any]]) -> list[str]:
    return sorted(example["image_id"].numpy().decode() for example in examples)


def test_every_picture_is_an_example_or_a_reject(info: DatasetInfo) -> None:
    assert info.inputs == 23
    assert info.examples == {"train": 12, "validation": 4, "test": 3}
    assert info.captions == {"train": 25, "validation": 9, "test": 6}
    single = dict.fromkeys(("missing", "no_caption", "no_split", "unreadable"), 1)
    assert info.rejects == {**single, "empty_caption (caption)": 1}
    assert sum(info.examples.values()) + sum(single.values()) == info.inputs


def test_rejects_are_rows_with_stage_reason_and_error(preprocessed: Path, captioned: Path) -> None:
    table = pads.dataset(str(preprocessed / "rejects"), format="parquet").to_table()
    assert table.schema.equals(REJECTS)
    rows = table.to_pylist()
    columns = ("image_id", "stage", "reason", "caption")
    assert {tuple(row[name] for name in columns) for row in rows} == REJECTED
    assert len(rows) == len(REJECTED)
    assert all(row["error"] for row in rows)
    uris = {row["image_id"]: row["image_uri"] for row in rows}
    assert uris["absent.png"] is None
    assert uris["broken.png"] == str(captioned / "images" / "broken.png")


def test_every_picture_is_in_the_split_that_lists_it(examples: dict[str, list]) -> None:
    assert ids(examples["train"]) == TRAINED_ON
    assert ids(examples["validation"]) == LISTS["validation"][:4]
    assert ids(examples["test"]) == LISTS["test"]


def test_pixels_are_those_of_the_one_decoder(
    examples: dict[str, list], captioned: Path, info: DatasetInfo
) -> None:
    for split in SPLITS:
        for example in examples[split]:
            name = example["image_id"].numpy().decode()
            data = (captioned / "images" / name).read_bytes()
            pixels = decode_image(data, info.image).pixels
            np.testing.assert_array_equal(example["image"].numpy(), pixels, name)


def test_captions_are_as_given_and_ids_are_their_words(
    examples: dict[str, list], preprocessed: Path, info: DatasetInfo
) -> None:
    vocabulary = read_dataset_vocabulary(preprocessed, info)
    (third,) = [e for e in examples["train"] if e["image_id"].numpy() == b"03.png"]
    captions = [caption.decode() for caption in third["captions"].numpy()]
    colour = builders.colour_of(3)
    assert captions == [*builders.captions_of(colour), "a third caption"]
    said = [" ".join(vocabulary.words(ids)) for ids in third["token_ids"].to_list()]
    first = f"a {colour} square on grey"
    assert said == [first, f"{first} a dark grey", "a third caption"]


def test_no_word_of_another_split_is_in_the_vocabulary(preprocessed: Path) -> None:
    words = (preprocessed / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(words[:4]) == SPECIAL_TOKENS
    assert {"a", "square", "third", "red"} <= set(words)
    assert not {"zebra", "nobody"} & set(words)
    assert len(words) == len(set(words))


def test_the_table_of_examples_tells_each_picture(
    preprocessed: Path, examples: dict[str, list], captioned: Path
) -> None:
    table = pads.dataset(str(preprocessed / "examples"), format="parquet").to_table()
    assert table.schema.equals(EXAMPLES)
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert sorted(rows) == sorted(name for split in SPLITS for name in ids(examples[split]))
    third = rows["03.png"]
    assert third["image_uri"] == str(captioned / "images" / "03.png")
    assert (third["split"], third["token_counts"], third["unknown_counts"]) == (
        "train",
        [5, 8, 3],
        [0, 0, 0],
    )
    assert rows["13.png"]["unknown_counts"][-1] == 1  # the zebra


def test_the_frequencies_are_those_of_the_vocabulary(preprocessed: Path) -> None:
    words = (preprocessed / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    lines = (preprocessed / "vocabulary_frequencies.tsv").read_text(encoding="utf-8").splitlines()
    counted = {token: counts for token, *counts in (line.split("\t") for line in lines)}
    assert list(counted) == words[4:]
    assert counted["third"] == ["1", "1"]
    occurrences, pictures = map(int, counted["a"])
    train = pq.read_table(preprocessed / "examples", filters=[("split", "==", "train")])
    captions = train["captions"].to_pylist()
    assert occurrences == sum(text.lower().split().count("a") for of in captions for text in of)
    assert pictures == sum(any("a" in text.lower().split() for text in of) for of in captions)
    assert occurrences > pictures > 0


def test_what_was_made_is_described(preprocessed: Path) -> None:
    words = describe(preprocessed).words
    assert words.words == len((preprocessed / "vocabulary.txt").read_text().splitlines()) - 4
    assert words.frequent[0][0] == "a"


def test_nothing_else_is_left_in_the_folder(preprocessed: Path) -> None:
    names = {path.name for path in preprocessed.iterdir() if path.suffix != ".tfrecord"}
    folders = {"examples", "rejects", "transform_fn", "transformed_metadata"}
    texts = {"vocabulary.txt", "vocabulary_frequencies.tsv"}
    assert names == {"dataset.json", *texts, *folders}


def test_a_second_run_does_nothing_and_says_so(
    captioned: Path,
    preprocessed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preprocess, "build", lambda *_: pytest.fail("a pipeline was built"))
    before = files_of(preprocessed)
    assert captioner(*preprocess_arguments(captioned, preprocessed)) == 0
    told = capsys.readouterr().out
    assert "nothing to do" in told
    # A disk that was away would look the same.
    assert "rejected when it was made: unreadable 1; if a disk" in told
    assert files_of(preprocessed) == before


@pytest.mark.parametrize("change", [["--min-count", "2"], ["--image-size-px", "64"]])
def test_another_dataset_into_the_same_folder_is_refused(
    captioned: Path, preprocessed: Path, change: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(preprocessed)
    assert captioner(*preprocess_arguments(captioned, preprocessed, *change)) == 2
    assert f"{preprocessed} already holds another dataset" in capsys.readouterr().err
    assert files_of(preprocessed) == before


def test_captions_that_changed_are_another_dataset(
    captioned: Path, preprocessed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = captioned / pipeline_builders.CAPTIONS_NAME
    text = file.read_text(encoding="utf-8")
    try:
        file.write_text(text + "01.png#9\tOne more\n", encoding="utf-8")
        assert captioner(*preprocess_arguments(captioned, preprocessed)) == 2
    finally:
        file.write_text(text, encoding="utf-8")
    assert "another dataset" in capsys.readouterr().err


def coco(captioned: Path) -> str:
    """The token file and one picture more as COCO captions JSON."""
    lines = (captioned / pipeline_builders.CAPTIONS_NAME).read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in [*lines, "copy.png#0\tA copy"]]
    annotations = [{"image_id": key.split("#")[0], "caption": text} for key, text in rows]
    names = dict.fromkeys(row["image_id"] for row in annotations)
    images = [{"id": name, "file_name": name} for name in names]
    return json.dumps({"images": images, "annotations": annotations})


def test_splits_by_ratio_of_coco_captions(
    captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "coco.json").write_text(coco(captioned), encoding="utf-8")
    shutil.copyfile(captioned / "images" / "01.png", tmp_path / "copy.png")
    arguments = ["--captions", tmp_path / "coco.json", "--images", captioned / "images" / "*.png"]
    arguments += ["--images", tmp_path / "*.png", "--image-size-px", "16"]
    arguments += ["--split-ratios", "0.5,0.3,0.2"]
    assert captioner("preprocess", *arguments, "--output", tmp_path / "dataset") == 0
    info = read_dataset_info(tmp_path / "dataset")
    ratios = SplitRatios(0.5, 0.3, 0.2)
    expected = {f"{i:02d}.png": split_by_hash(f"{i:02d}.png", ratios) for i in range(20)}
    # By its pixels and not by its name, nor where pictures are evaluated.
    expected["copy.png"] = expected["01.png"] = "train"
    assert split_by_hash("copy.png", ratios) == "test"
    for split in SPLITS:
        found = ids([*read_split(tmp_path / "dataset", split, info)])
        assert found == [name for name, its_split in expected.items() if its_split == split]
    assert "24 images = 21 examples + 3 rejected" in capsys.readouterr().out
    # The default least count is 5: a word seen less often is none.
    words = (tmp_path / "dataset" / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert "third" not in words


def test_accents_are_found_however_they_are_spelled(
    captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["café.png", "Übersee.png"]
    for number, name in enumerate(names):
        source = captioned / "images" / f"0{number}.png"
        # As macOS stores names, and as most else writes them.
        shutil.copyfile(source, tmp_path / unicodedata.normalize("NFD", name))
    rows = [f"{unicodedata.normalize('NFC', name)},a red square" for name in names]
    (tmp_path / "c.csv").write_text("\n".join(["image,caption", *rows]), encoding="utf-8")
    (tmp_path / "more.zip").touch()
    arguments = ["--captions", tmp_path / "c.csv", "--images", tmp_path, "--min-count", "1"]
    arguments += ["--image-size-px", "16", "--split-ratios", "1,0,0"]
    assert captioner("preprocess", *arguments, "--output", tmp_path / "dataset") == 0
    told = capsys.readouterr().out
    assert "2 images = 2 examples + 0 rejected" in told
    assert "archives in the folders, which were not opened: 1 (.zip: 1); give" in told


def test_captions_of_other_pictures_leave_nothing_to_train_on(
    captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dataset"
    arguments = preprocess_arguments(captioned, output)
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(captioned / "images" / "silent.png", images / "other.png")
    arguments[arguments.index("--images") + 1] = images
    assert captioner(*arguments) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("captioner preprocess: error: no image is left")
    assert "call their images e.g. '00.png'" in said
    assert "are called e.g. 'other.png'" in said
    assert not output.exists()


def test_it_is_told_what_is_wrong_with_pictures_where_it_is_not_their_names(
    captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["image,caption", "00.png,a red square", "01.png,a green square"]
    (tmp_path / "c.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "train.txt").write_text("x.png", encoding="utf-8")
    arguments = ["--captions", tmp_path / "c.csv", "--images", captioned / "images" / "0[01].png"]
    arguments += ["--train-list", tmp_path / "train.txt", "--image-size-px", "16"]
    assert captioner("preprocess", *arguments, "--output", tmp_path / "dataset") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"no_split': 2}; e\.g\. 0[01]\.png: it is in none of the split lists", said)
    assert "--images" not in said
    assert "split lists must use these names" in said
    assert not (tmp_path / "dataset").exists()


def test_a_run_that_fails_leaves_no_output(
    captioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(shards, "encode_example", full_disk)
    with pytest.raises(Exception, match="disk full"):
        captioner(*preprocess_arguments(captioned, tmp_path / "dataset"))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_no_example_moves_and_drops_no_other(tmp_path: Path) -> None:
    """Copies of the train split's pictures, listed for test, whose captions have no word."""
    images, lines = tmp_path / "images", ["image,caption,split"]
    images.mkdir()
    for seed in range(6):
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(images / f"{seed}.png")
        lines.append(f"{seed}.png,a square,{'train' if seed < 4 else 'validation'}")
        shutil.copy(images / f"{seed}.png", images / f"copy-{seed}.png")
        lines.append(f"copy-{seed}.png,...,test")
    (tmp_path / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    inputs = ["--captions", tmp_path / "captions.csv", "--images", images]
    options = ["--image-size-px", "32", "--min-count", "1", "--near-duplicates", "drop"]
    assert captioner("preprocess", *inputs, *options, "--output", tmp_path / "dataset") == 0
    info = read_dataset_info(tmp_path / "dataset")
    assert info.examples == {"train": 4, "validation": 2, "test": 0}
    assert info.rejects == {"empty_caption": 6}
