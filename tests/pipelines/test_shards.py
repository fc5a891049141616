"""Tests of the dataset's files: the same pictures are the same bytes, whatever their order."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pipeline_builders
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from model.config import ImageConfig
from model.features import parse_example
from pipelines.records import CaptionedImage, Reject, Tally, TokenisedImage
from pipelines.shards import WriteShard, shard_key, write_rejects

KEY = ("train", 2, 5)
NAME = "train-00002-of-00005.tfrecord"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[TokenisedImage]:
    """Eight pictures, one of them broken and one absent."""
    folder, images = tmp_path_factory.mktemp("pictures"), []
    for seed in range(8):
        path = folder / f"{seed}.png"
        pipeline_builders.write_picture(path, seed)
        captions = ("a dog", "a small dog")
        image = CaptionedImage(path.name, str(path), "train", captions)
        images.append(TokenisedImage(image, ((4, 5), (4, 6, 5))))
    (folder / "3.png").write_bytes(b"")
    (folder / "5.png").unlink()
    return images


def write(folder: Path, images: list[TokenisedImage]) -> tuple[list[Tally], list[Reject]]:
    """The tallies and the rejects of writing one shard."""
    outputs: list[Any] = list(WriteShard(str(folder), ImageConfig(16)).process((KEY, images)))
    rejects = [out.value for out in outputs if isinstance(out, beam.pvalue.TaggedOutput)]
    return [out for out in outputs if isinstance(out, Tally)], rejects


def test_a_shard_holds_the_sound_pictures_and_tells_of_the_others(
    images: list[TokenisedImage], tmp_path: Path
) -> None:
    tallies, rejects = write(tmp_path, images)
    records = tf.data.TFRecordDataset(str(tmp_path / NAME))
    examples = [parse_example(record, 16) for record in records]
    ids = [example["image_id"].numpy().decode() for example in examples]
    assert ids == [f"{seed}.png" for seed in (0, 1, 2, 4, 6, 7)]
    assert [(reject.image_id, reject.stage, reject.reason) for reject in rejects] == [
        ("3.png", "decode", "empty"),
        ("5.png", "decode", "missing"),
    ]
    digest = hashlib.sha256((tmp_path / NAME).read_bytes()).hexdigest()
    assert tallies == [
        Tally("examples", "train", 6),
        Tally("captions", "train", 12),
        Tally("shards", f"{NAME} {digest}", 1),
    ]


def test_a_shard_does_not_depend_on_the_order_in_which_pictures_come(
    images: list[TokenisedImage], tmp_path: Path
) -> None:
    shuffled = random.Random(1).sample(images, len(images))
    assert shuffled != images
    assert write(tmp_path / "first", images)[0] == write(tmp_path / "again", shuffled)[0]


def test_a_failing_shard_leaves_no_file(images: list[TokenisedImage], tmp_path: Path) -> None:
    wrong = TokenisedImage(images[0].image, ((4, 5),))
    with pytest.raises(ValueError, match="got 2 captions, 1 id lists"):
        write(tmp_path / "folder", [*images, wrong])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "shards"), [(1, 1), (10, 1), (11, 2), (1000, 100)])
def test_there_are_shards_of_about_the_size_asked_for(
    images: list[TokenisedImage], count: int, shards: int
) -> None:
    split, shard, total = shard_key(images[0], {"train": count, "test": 7}, 10)
    assert (split, total) == ("train", shards)
    assert 0 <= shard < shards


def test_pictures_are_spread_over_all_shards(images: list[TokenisedImage]) -> None:
    def named(number: int) -> TokenisedImage:
        image = CaptionedImage(f"{number}.jpg", "/", "train", ("a",))
        return TokenisedImage(image, ((4,),))

    counts = Counter(shard_key(named(i), {"train": 1000}, 250)[1] for i in range(1000))
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 180


def test_rejects_are_written_in_one_order_and_counted_by_reason(tmp_path: Path) -> None:
    rejects = [
        Reject("b.jpg", "/b.jpg", "decode", "empty", "got a file of 0 bytes"),
        Reject("a.jpg", "/a.jpg", "text", "empty_caption", "no word", "??"),
        Reject("a.jpg", "/a.jpg", "text", "empty_caption", "no word", "!"),
        Reject("c.jpg", None, "join", "missing", "no file"),
    ]
    counts = Counter(write_rejects((3, rejects), str(tmp_path / "one")))
    assert counts == {
        Tally("rejects", "empty", 1): 1,
        Tally("rejects", "missing", 1): 1,
        Tally("rejected captions", "empty_caption", 1): 2,
    }
    list(write_rejects((3, rejects[::-1]), str(tmp_path / "other")))
    one, other = (tmp_path / name / "part-00003.parquet" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    captions = [row["caption"] for row in pq.read_table(one).to_pylist()]
    assert captions == ["!", "??", None, None]
