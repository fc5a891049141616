"""Tests of a dataset's last step: sums that hold, splits with pictures, a true fingerprint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.artifacts import SPLITS, DatasetInfo
from model.config import ImageConfig
from model.errors import CaptionerError
from model.vocabulary import SPECIAL_TOKENS
from pipelines import preprocess, preprocess_finish
from pipelines.captions.formats import CaptionColumns
from pipelines.preprocess_config import PreprocessConfig
from pipelines.preprocess_inputs import Listings
from pipelines.preprocessing_fn import FREQUENCIES_NAME, VOCABULARY_NAME, TextConfig
from pipelines.records import Reject
from pipelines.shards import write_rejects
from pipelines.sources import SkippedFiles

CONFIG = PreprocessConfig(
    captions=(),
    columns=CaptionColumns(),
    min_score=None,
    images=(),
    images_column=None,
    read_timeout_sec=60.0,
    split_lists={},
    split_ratios=None,
    image=ImageConfig(16),
    text=TextConfig(),
    drop_near_copies=False,
    shard_bytes=1,
    encoder=None,
)
LISTINGS = Listings(("", 0), ("", 0), ("", 0), None, 5, 4, 0, "a.jpg", "b.jpg", "d1")
SHARDS = ("train-0 a1", "test-0 b2")


def finished(
    staging: Path,
    listed: int = 6,
    request: str = "r1",
    shards: Sequence[str] = SHARDS,
    words: Sequence[str] = ("dog", "a\u2028b"),
) -> DatasetInfo:
    """What is told of three examples, two rejects that a listing names and one that none does."""
    assets = staging / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    vocabulary = "".join(f"{token}\n" for token in (*SPECIAL_TOKENS, *words))
    (assets / VOCABULARY_NAME).write_text(vocabulary, encoding="utf-8")
    counted = "".join(f"{9 - number} {word}\n" for number, word in enumerate(words))
    (assets / FREQUENCIES_NAME).write_text(counted, encoding="utf-8")
    tallies = {
        "examples": {"train": 2, "test": 1},
        "captions": {"train": 5, "test": 2},
        "rejects": {"missing": 1, "truncated": 2},
        "rejected captions": {"empty_caption": 4},
        "unlisted": {"": 1},
        "duplicates": {"moved": 1},
        "pictures of tokens": {str(len(SPECIAL_TOKENS)): 2, str(len(SPECIAL_TOKENS) + 1): 1},
        "shards": dict.fromkeys(shards, 1),
    }
    pairs = [((what, of), number) for what, some in tallies.items() for of, number in some.items()]
    (staging / "tallies.json").write_text(json.dumps(pairs), encoding="utf-8")
    listings = dataclasses.replace(LISTINGS, listed=listed - 1)
    return preprocess_finish.finish(str(staging), CONFIG, listings, None, request)


def test_all_that_was_counted_is_told(tmp_path: Path) -> None:
    info = finished(tmp_path)
    assert info.examples == {"train": 2, "validation": 0, "test": 1}
    assert info.captions == {"train": 5, "validation": 0, "test": 2}
    assert info.rejects == {"missing": 1, "truncated": 2, "empty_caption (caption)": 4}
    assert info.duplicates == {"moved": 1}
    assert info.inputs == 6
    assert info.vocabulary_size == len(SPECIAL_TOKENS) + 2
    frequencies = (tmp_path / "vocabulary_frequencies.tsv").read_text(encoding="utf-8")
    assert frequencies == "dog\t9\t2\na\u2028b\t8\t1\n"


def test_a_person_is_told_pictures_and_captions_apart(tmp_path: Path) -> None:
    lines = list(preprocess._summary(finished(tmp_path), "/data", SkippedFiles()))
    assert [" ".join(line.split()) for line in lines[:-2]] == [
        "6 images = 3 examples + 3 rejected",
        "train 2 images 5 captions",
        "validation 0 images 0 captions",
        "test 1 images 2 captions",
        "rejected: empty_caption (caption) 4",
        "rejected: missing 1",
        "rejected: truncated 2",
        "the same or nearly the same in two splits: 1 moved",
        f"vocabulary {len(SPECIAL_TOKENS) + 2} tokens",
    ]
    assert lines[-1].endswith(" in /data")


def test_a_name_like_that_of_an_empty_vocabulary_may_be_a_word(tmp_path: Path) -> None:
    name = "01234567-89ab-cdef-0123-456789abcdef"
    for number, words in enumerate([(name, "dog"), (f"{name}0",)]):
        info = finished(tmp_path / str(number), words=words)
        assert info.vocabulary_size == len(SPECIAL_TOKENS) + len(words)
    with pytest.raises(CaptionerError, match="no word of the train split occurs --min-count"):
        finished(tmp_path / "empty", words=(name,))


@pytest.mark.parametrize("listed", [5, 7])
def test_a_lost_or_made_up_image_is_a_defect(tmp_path: Path, listed: int) -> None:
    with pytest.raises(RuntimeError, match=f"got {listed} images, but 6"):
        finished(tmp_path, listed=listed)
    assert not (tmp_path / "dataset.json").exists()


def test_the_fingerprint_is_of_the_request_the_shards_and_the_vocabulary(tmp_path: Path) -> None:
    first = finished(tmp_path / "first").fingerprint
    assert finished(tmp_path / "in-another-order", shards=SHARDS[::-1]).fingerprint == first
    others = [
        finished(tmp_path / "request", request="r2"),
        finished(tmp_path / "shards", shards=("train-0 c3", SHARDS[1])),
        finished(tmp_path / "words", words=("dog", "cat")),
    ]
    assert len({first, *(info.fingerprint for info in others)}) == 4


def refused(
    examples: dict[str, int], lists: Sequence[str], rejects: dict[str, int], staging: Path
) -> str:
    """What is told of examples and rejects that make no dataset."""
    config = dataclasses.replace(CONFIG, split_lists={split: f"{split}.txt" for split in lists})
    with pytest.raises(CaptionerError) as error:
        preprocess_finish._check_splits(examples, config, LISTINGS, rejects, str(staging))
    return str(error.value)


@pytest.mark.parametrize("split", SPLITS)
def test_a_list_of_which_nothing_is_left_is_told(tmp_path: Path, split: str) -> None:
    examples = {name: int(name != split) for name in SPLITS}
    told = refused(examples, SPLITS, {}, tmp_path)
    assert told.startswith(f"--{split}-list {split}.txt names none of the pictures")


def test_nothing_to_train_on_is_told(tmp_path: Path) -> None:
    told = refused({"train": 0, "validation": 1, "test": 0}, [], {}, tmp_path)
    assert "all went to other splits" in told


@pytest.mark.parametrize(
    ("lists", "rejects", "named", "of_lists"),
    [
        ([], {"missing": 5, "no_caption": 9}, "are called e.g. 'b.jpg'", False),
        (["train"], {"missing": 5, "no_caption": 9}, "are called e.g. 'b.jpg'", True),
        (["train"], {"bomb": 1, "truncated": 2}, "e.g. c.jpg: half of it is gone", False),
        ([], {"empty_caption": 2, "no_caption": 9}, "e.g. c.jpg: not a word", False),
    ],
)
def test_names_are_told_where_they_cost_all_pictures(
    tmp_path: Path, lists: list[str], rejects: dict[str, int], named: str, of_lists: bool
) -> None:
    errors = {"bomb": "too large", "truncated": "half of it is gone", "empty_caption": "not a word"}
    rows = [Reject("c.jpg", "/c.jpg", "decode", reason, error) for reason, error in errors.items()]
    list(write_rejects((0, rows), str(tmp_path / "rejects")))
    told = refused(dict.fromkeys(SPLITS, 0), lists, rejects, tmp_path)
    assert named in told
    assert ("split lists must use these names too" in told) == of_lists
