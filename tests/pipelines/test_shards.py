"""Tests of the dataset's files: the same pictures are the same bytes, whatever their order."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import random
from collections import Counter
from pathlib import Path

import apache_beam as beam
import numpy as np
import pipeline_builders
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from pipeline_builders import captioned_image

from model.artifacts import FeatureConfig
from model.config import ImageConfig
from model.features import encode_example, parse_example
from model.vocabulary import OOV
from pipelines.pixel_store import store_pixels
from pipelines.records import (
    CaptionedImage,
    DuplicatePair,
    ImageFile,
    PreparedImage,
    Reject,
    Tally,
    TokenisedImage,
)
from pipelines.schemas import DUPLICATES, EXAMPLES
from pipelines.shards import (
    WriteShard,
    example_bytes,
    pictures_of_tokens,
    shard_key,
    write_duplicates,
    write_records,
    write_rejects,
)
from pipelines.transforms import WriteShards

KEY = ("train", 2, 5)
NAME = "train-00002-of-00005.tfrecord"
CAPTIONS = ("a dog", "a small dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("staging")


@pytest.fixture(scope="module")
def images(folder: Path) -> list[TokenisedImage]:
    """Eight pictures in a pixel store."""
    files = []
    for seed in range(8):
        path = folder / "pictures" / f"{seed}.png"
        pipeline_builders.write_picture(path, seed)
        files.append(ImageFile(str(path), path.name, path.stat().st_size))
    (folder / "pixels").mkdir()
    path = folder / "pixels" / "pixels.bin"
    stored = list(store_pixels(files, ImageConfig(16), 60.0, str(path), path.name))
    return [
        TokenisedImage(CaptionedImage(image, "train", CAPTIONS), ((4, OOV), (4, 6, 5)))
        for image in stored
        if isinstance(image, PreparedImage)
    ]


def write(folder: Path, output: Path, images: list[TokenisedImage]) -> list[Tally]:
    """The tallies of writing one shard to `output`."""
    output.mkdir()
    (output / "pixels").symlink_to(folder / "pixels")
    return list(WriteShard(str(output), ImageConfig(16), None, 1 << 20).process((KEY, images)))


def test_a_shard_holds_its_pictures_and_its_part_of_the_table(
    folder: Path, images: list[TokenisedImage], tmp_path: Path
) -> None:
    tallies = write(folder, tmp_path / "out", images)
    records = tf.data.TFRecordDataset(str(tmp_path / "out" / NAME))
    examples = [parse_example(record, 16) for record in records]
    ids = [example["image_id"].numpy().decode() for example in examples]
    assert ids == [f"{seed}.png" for seed in range(8)]
    digest = hashlib.sha256((tmp_path / "out" / NAME).read_bytes()).hexdigest()
    assert tallies == [
        Tally("examples", "train", 8),
        Tally("captions", "train", 16),
        *(Tally("pictures of tokens", str(token_id), 8) for token_id in (OOV, 4, 5, 6)),
        Tally("shards", f"{NAME} {digest}", 1),
    ]
    table = pq.read_table(tmp_path / "out" / "examples" / "train-00002.parquet")
    assert table.schema.equals(EXAMPLES)
    row = table.to_pylist()[3]
    source = images[3].image.image
    assert (row["image_id"], row["image_uri"]) == ("3.png", source.uri)
    assert (row["captions"], row["token_counts"], row["unknown_counts"]) == (
        list(CAPTIONS),
        [2, 3],
        [1, 0],
    )
    assert (row["width_px"], row["mode"], row["format"]) == (48, "RGB", "PNG")
    assert row["pixel_sha256"] == source.pixel_sha256


def test_the_pipeline_plans_the_shards_of_a_split_by_all_its_bytes(
    folder: Path, images: list[TokenisedImage], tmp_path: Path
) -> None:
    (tmp_path / "pixels").symlink_to(folder / "pixels")
    shard_bytes = sum(example_bytes(image, None) for image in images) // 3
    alone = dataclasses.replace(images[0], image=dataclasses.replace(images[0].image, split="test"))
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create([*images, alone])
            | WriteShards(str(tmp_path), ImageConfig(16), None, shard_bytes)
        )
    written = [path.stem.split("-") for path in tmp_path.glob("*.tfrecord")]
    assert {(split, shards) for split, _, _, shards, *_ in written} == {
        ("train", "00004"),  # a little less than the bound is planned
        ("test", "00001"),
    }


def test_threads_of_a_worker_share_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoder:
        def __init__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("pipelines.shards.FeatureExtractor", Encoder)
    features = FeatureConfig("MobileNetV2", "", 1, patches=49, channels=64)
    sent = pickle.dumps(WriteShard("unused", ImageConfig(16), features, 1 << 20))
    one, other = pickle.loads(sent), pickle.loads(sent)  # as each thread has its own
    one.setup()
    other.setup()
    assert isinstance(one.extract, Encoder)
    assert one.extract is other.extract


def test_pictures_are_counted_once_for_each_token(images: list[TokenisedImage]) -> None:
    other = dataclasses.replace(images[0], token_ids=((6, 6), (7,), ()))
    assert pictures_of_tokens([images[0], other]) == {OOV: 1, 4: 1, 5: 1, 6: 2, 7: 1}
    assert pictures_of_tokens([]) == {}


def test_a_shard_does_not_depend_on_the_order_in_which_pictures_come(
    folder: Path, images: list[TokenisedImage], tmp_path: Path
) -> None:
    shuffled = random.Random(1).sample(images, len(images))
    assert shuffled != images
    first = write(folder, tmp_path / "first", images)
    assert first == write(folder, tmp_path / "again", shuffled)


def test_a_failing_shard_leaves_no_file(
    folder: Path, images: list[TokenisedImage], tmp_path: Path
) -> None:
    wrong = TokenisedImage(images[0].image, ((4, 5),))
    with pytest.raises(ValueError, match="got 2 captions, 1 id lists"):
        write(folder, tmp_path / "out", [*images, wrong])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pixels"]


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 200), st.randoms())
def test_records_fill_files_of_bounded_size_in_order(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], most: int, rng: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("records")
    written = write_records(iter(records), lambda part: f"{folder}/{part:03d}", most)
    found = []
    for name, digest in written:
        data = (folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        inside = [r.numpy() for r in tf.data.TFRecordDataset(str(folder / name))]
        assert len(data) <= most + 16 or len(inside) == 1
        found += inside
    assert found == records
    assert len(list(folder.iterdir())) == len(written)


@pytest.mark.parametrize(("split", "views"), [("train", 3), ("validation", 1), ("test", 1)])
def test_examples_are_about_as_large_as_is_planned(split: str, views: int) -> None:
    features = FeatureConfig("MobileNetV2", "", 3, patches=49, channels=64)
    captions = ["a dog runs through deep snow"] * 5
    image = TokenisedImage(captioned_image("a.jpg", split, captions), ((4,) * 6,) * 5)
    grids = np.zeros((views, features.patches, features.channels), np.float16)
    written = encode_example("a.jpg", bytes(100), captions, image.token_ids, grids)
    assert example_bytes(image, features) == pytest.approx(len(written), rel=0.1)


@pytest.mark.parametrize(("size", "shards"), [(1, 1), (90, 1), (91, 2), (9000, 100)])
def test_there_are_shards_of_about_the_size_asked_for(
    images: list[TokenisedImage], size: int, shards: int
) -> None:
    split, shard, total = shard_key(images[0], {"train": size, "test": 7}, 100)
    assert (split, total) == ("train", shards)
    assert 0 <= shard < shards


def test_pictures_are_spread_over_all_shards() -> None:
    def named(number: int) -> TokenisedImage:
        return TokenisedImage(captioned_image(f"{number}.jpg"), ((4,),))

    counts = Counter(shard_key(named(i), {"train": 3600}, 1000)[1] for i in range(1000))
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 180


def test_rejects_are_written_in_one_order_and_counted_by_reason(tmp_path: Path) -> None:
    rejects = [
        Reject("b.jpg", "/b.jpg", "decode", "empty", "got no bytes"),
        Reject("a.jpg", "/a.jpg", "text", "empty_caption", "no word", "??"),
        Reject("a.jpg", "/a.jpg", "text", "empty_caption", "no word", "!"),
        Reject("c.jpg", None, "join", "missing", "no file"),
    ]
    counts = Counter(write_rejects((3, rejects), str(tmp_path / "one")))
    assert counts == {
        Tally("rejects", "empty", 1): 1,
        Tally("rejects", "missing", 1): 1,
        Tally("rejected captions", "empty_caption", 1): 2,
        Tally("unlisted", "", 1): 1,
    }
    list(write_rejects((3, rejects[::-1]), str(tmp_path / "other")))
    one, other = (tmp_path / name / "part-00003.parquet" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    captions = [row["caption"] for row in pq.read_table(one).to_pylist()]
    assert captions == ["!", "??", None, None]


def test_duplicates_are_a_table_only_if_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "duplicates.parquet"
    assert list(write_duplicates([], str(path))) == []
    assert not path.exists()
    pairs = [
        DuplicatePair("b", "train", "c", "test", 2, "reported"),
        DuplicatePair("a", "train", "c", "test", 0, "moved"),
    ]
    tallies = list(write_duplicates([*pairs, pairs[0]], str(path)))
    assert tallies == [Tally("duplicates", "moved", 1), Tally("duplicates", "reported", 1)]
    table = pq.read_table(path)
    assert table.schema.equals(DUPLICATES)
    assert table.column("image_id").to_pylist() == ["a", "b"]
