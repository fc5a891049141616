"""Tests of splits: by image id and nothing else, in the shares that were asked for."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifacts import SPLITS
from model.errors import CaptionerError
from pipelines.splits import SplitRatios, hash_fraction, parse_split_ratios, shard_of, split_by_hash

IDS = [f"folder/{number:05d}.jpg" for number in range(5000)]
image_ids = st.text()


@st.composite
def ratios(draw: st.DrawFn) -> SplitRatios:
    train, validation, test = draw(st.tuples(*[st.integers(1, 100)] * 3))
    total = train + validation + test
    return SplitRatios(train / total, validation / total, test / total)


def test_the_split_of_an_id_never_changes() -> None:
    """Fixed values: a change would move images between the splits of existing data sets."""
    splits = {name: split_by_hash(name, SplitRatios()) for name in ("ü/b.jpg", "f.jpg", "i.jpg")}
    assert splits == {"ü/b.jpg": "train", "f.jpg": "test", "i.jpg": "validation"}
    assert round(hash_fraction("a.jpg"), 6) == 0.314866


@given(image_ids, ratios())
def test_every_id_has_one_split_and_the_same_again(image_id: str, shares: SplitRatios) -> None:
    split = split_by_hash(image_id, shares)
    assert split in SPLITS
    assert split_by_hash(image_id, shares) == split


@given(image_ids)
def test_fractions_are_shares(image_id: str) -> None:
    assert 0 <= hash_fraction(image_id) < 1


def test_an_id_that_is_no_utf8_has_a_split() -> None:
    assert split_by_hash("bad\udcff.jpg", SplitRatios()) in SPLITS
    assert hash_fraction("bad\udcff.jpg") != hash_fraction("bad\udcfe.jpg")


@pytest.mark.parametrize(
    "shares", [SplitRatios(), SplitRatios(0.5, 0.3, 0.2), SplitRatios(0.98, 0.0, 0.02)]
)
def test_shares_of_many_ids_are_as_asked(shares: SplitRatios) -> None:
    counts = Counter(split_by_hash(image_id, shares) for image_id in IDS)
    for split in SPLITS:
        share = getattr(shares, split)
        four_sigma = 4 * math.sqrt(len(IDS) * share * (1 - share))
        assert abs(counts[split] - share * len(IDS)) <= four_sigma


def test_a_larger_train_share_takes_and_gives_none_back() -> None:
    smaller, larger = SplitRatios(0.8, 0.1, 0.1), SplitRatios(0.9, 0.05, 0.05)
    moves = Counter((split_by_hash(i, smaller), split_by_hash(i, larger)) for i in IDS)
    assert {after for before, after in moves if before == "train"} == {"train"}
    # Only towards train: from test to validation too, which lies between them.
    order = {split: position for position, split in enumerate(SPLITS)}
    assert all(order[after] <= order[before] for before, after in moves)
    assert moves["validation", "train"] > 0


@given(image_ids, st.integers(1, 1000))
def test_shards_are_in_range(image_id: str, shards: int) -> None:
    assert 0 <= shard_of(image_id, shards) < shards


def test_shards_do_not_depend_on_the_split() -> None:
    """Ids of one split fill all shards evenly: the shard is no function of the same hash."""
    validation = [i for i in IDS if split_by_hash(i, SplitRatios()) == "validation"]
    counts = Counter(shard_of(image_id, 4) for image_id in validation)
    expected = len(validation) / 4
    assert len(counts) == 4
    assert all(abs(count - expected) < 4 * math.sqrt(expected) for count in counts.values())


@given(ratios())
def test_ratios_are_read_as_they_are_written(shares: SplitRatios) -> None:
    assert parse_split_ratios(f"{shares.train},{shares.validation}, {shares.test}") == shares


@pytest.mark.parametrize(
    "text",
    [
        *("", "0.8", "0.8,0.2", "0.8,0.1,0.05,0.05", "a,b,c", "0.8,0.1,"),
        *("0.8,0.1,0.2", "0.8,0.1,0.09", "0,0.5,0.5", "1.2,-0.1,-0.1"),
        *("nan,0.5,0.5", "0.5,nan,0.5", "inf,0,0"),
    ],
)
def test_wrong_ratios_are_errors_that_name_them(text: str) -> None:
    with pytest.raises(CaptionerError, match="--split-ratios: got") as error:
        parse_split_ratios(text)
    assert text.split(",")[0] in str(error.value)
    assert "0.8,0.1,0.1" in str(error.value)
