"""Tests of the search for the same picture in two splits, against brute force."""

from __future__ import annotations

from collections import Counter

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from builders import calls_of
from hypothesis import given
from hypothesis import strategies as st
from pipeline_builders import captioned_image

from pipelines.duplicates import (
    NEAR_BITS,
    Hashed,
    banded,
    drop_near_copy,
    near_pairs,
    nearest,
    unite_copies,
)
from pipelines.records import CaptionedImage, DuplicatePair, Reject
from pipelines.splits import SplitRatios, split_by_hash
from pipelines.transforms import DropNearCopies, FindNearCopies, UniteCopies

SPLITS = ("train", "validation", "test")


def test_copies_go_where_pictures_are_evaluated() -> None:
    images = [captioned_image(f"{split}.jpg", split) for split in SPLITS]
    outcomes = list(unite_copies(images))
    kept = [image for image in outcomes if isinstance(image, CaptionedImage)]
    assert {image.image_id: image.split for image in kept} == dict.fromkeys(
        ("train.jpg", "validation.jpg", "test.jpg"), "test"
    )
    assert [pair for pair in outcomes if isinstance(pair, DuplicatePair)] == [
        DuplicatePair("validation.jpg", "validation", "test.jpg", "test", 0, "moved"),
        DuplicatePair("train.jpg", "train", "test.jpg", "test", 0, "moved"),
    ]


def test_a_table_with_a_row_for_each_caption_keeps_the_shares_of_its_splits() -> None:
    """Its rows, if they have no names, are so many pictures of the same pixels."""
    ratios, found = SplitRatios(), Counter[str]()
    for number in range(2000):
        ids = [f"{number}-{copy}" for copy in range(5)]
        copies = [
            captioned_image(name, split_by_hash(name, ratios), pixel_sha256=str(number))
            for name in ids
        ]
        outcomes = list(unite_copies(copies, ratios))
        united = [image for image in outcomes if isinstance(image, CaptionedImage)]
        assert sorted(image.image_id for image in united) == ids
        (split,) = {image.split for image in united}
        found[split] += 1
        pairs = [pair for pair in outcomes if isinstance(pair, DuplicatePair)]
        assert {p.image_id for p in pairs} == {i.image_id for i in copies if i.split != split}
        assert all(pair.image_id != pair.other_image_id for pair in pairs)
    assert 0.77 < found["train"] / 2000 < 0.83
    assert 0.08 < found["test"] / 2000 < 0.12


def test_a_picture_without_copies_keeps_the_split_of_its_name() -> None:
    image = captioned_image("a", "test")
    assert list(unite_copies([image], SplitRatios(1, 0, 0))) == [image]


def test_copies_within_a_split_stay_as_they_are() -> None:
    images = [captioned_image(name) for name in ("a", "b")]
    assert list(unite_copies(images)) == images


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(SPLITS)), max_size=12))
def test_no_content_is_in_two_splits_and_no_picture_is_lost(
    contents: list[tuple[str, str]],
) -> None:
    images = [
        captioned_image(str(number), split, pixel_sha256=content)
        for number, (content, split) in enumerate(contents)
    ]
    for content in {content for content, _ in contents}:
        copies = [image for image in images if image.image.pixel_sha256 == content]
        outcomes = list(unite_copies(copies))
        assert list(unite_copies(copies[::-1])) == outcomes
        united = [image for image in outcomes if isinstance(image, CaptionedImage)]
        assert sorted(i.image_id for i in united) == sorted(i.image_id for i in copies)
        (split,) = {image.split for image in united}
        assert split == max((image.split for image in copies), key=SPLITS.index)
        moved = {pair.image_id for pair in outcomes if isinstance(pair, DuplicatePair)}
        assert moved == {image.image_id for image in copies if image.split != split}


def test_the_pipeline_unites_copies_by_their_pixels() -> None:
    images = [
        captioned_image("a", "train", pixel_sha256="1"),
        captioned_image("b", "validation", pixel_sha256="1"),
        captioned_image("c", "train", pixel_sha256="2"),
    ]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        united, pairs = pipeline | beam.Create(images) | UniteCopies()
        splits = united | beam.Map(lambda image: (image.image_id, image.split))
        expected = [("a", "validation"), ("b", "validation"), ("c", "train")]
        assert_that(splits, equal_to(expected), "united")
        moved = pairs | beam.Map(lambda pair: (pair.image_id, pair.action))
        assert_that(moved, equal_to([("a", "moved")]), "moved")


def test_the_pipeline_unites_copies_in_the_shares_of_a_split_by_hash() -> None:
    images = [
        captioned_image(name, split, pixel_sha256="1")
        for name, split in zip("abc", SPLITS, strict=True)
    ]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        united, pairs = pipeline | beam.Create(images) | UniteCopies(SplitRatios(1, 0, 0))
        splits = united | beam.Map(lambda image: image.split)
        assert_that(splits, equal_to(["train"] * 3), "united")
        moved = pairs | beam.Map(lambda pair: pair.image_id)
        assert_that(moved, equal_to(["b", "c"]), "moved")


def flip(value: int, bits: set[int]) -> int:
    return value ^ sum(1 << bit for bit in bits)


hashes = st.integers(0, 2**64 - 1)
bits = st.sets(st.integers(0, 63), max_size=8)


def found_pairs(
    images: list[CaptionedImage], dropped_split: str | None = None
) -> list[DuplicatePair]:
    """All pairs, as the pipeline finds them: band by band."""
    bands: dict[tuple[int, int], list[Hashed]] = {}
    for image in images:
        for band, hashed in banded(image):
            bands.setdefault(band, []).append(hashed)
    return [
        pair for band, members in bands.items() for pair in near_pairs(band, members, dropped_split)
    ]


@given(hashes, st.lists(st.tuples(bits, st.sampled_from(SPLITS)), max_size=8))
def test_near_pairs_are_those_of_brute_force(base: int, given_: list) -> None:
    images = [
        captioned_image(str(n), split, perceptual_hash=f"{flip(base, changed):016x}")
        for n, (changed, split) in enumerate(given_)
    ]
    found = found_pairs(images)
    expected = set()
    for one in range(len(images)):
        for two in range(one):
            distance = len(given_[one][0] ^ given_[two][0])
            if distance <= NEAR_BITS and given_[one][1] != given_[two][1]:
                expected.add((frozenset((str(one), str(two))), distance))
    assert Counter((frozenset((p.image_id, p.other_image_id)), p.distance) for p in found) == (
        Counter(dict.fromkeys(expected, 1))
    )
    order = {split: place for place, split in enumerate(SPLITS)}
    assert all(order[pair.split] < order[pair.other_split] for pair in found)


def test_a_blank_page_is_told_ten_times_and_dropped_once() -> None:
    blank = [captioned_image(f"{n:02d}", perceptual_hash="0" * 16) for n in range(30)]
    seen = [captioned_image(f"seen {n:02d}", "test", perceptual_hash="0" * 16) for n in range(30)]
    assert Counter(pair.image_id for pair in found_pairs([*blank, *seen])) == Counter(
        {image.image_id: 10 for image in blank}
    )
    dropped = found_pairs([*blank, *seen], "train")
    assert [pair.image_id for pair in dropped] == [image.image_id for image in blank]
    assert {pair.other_image_id for pair in dropped} == {"seen 00"}
    assert found_pairs([*seen[::-1], *blank[::-1]], "train") == dropped
    assert found_pairs([*blank, *seen], "validation") == []


def test_very_many_blank_pages_are_not_compared_with_each_other() -> None:
    def cost(count: int) -> int:
        pages = [Hashed(f"{n:03d}", SPLITS[n % 2], (1 << 20) * (n % 3)) for n in range(count)]
        return calls_of(lambda: list(near_pairs((0, 0), pages)))

    assert cost(800) < 3 * cost(400)


def test_a_dropped_picture_is_told_with_its_nearest_whichever_band_they_meet_under() -> None:
    hashes = {"b": "e" + "0" * 15, "c": "0" * 15 + "3", "d": "1" + "0" * 15}
    images = [captioned_image("a", perceptual_hash="0" * 16)]
    images += [captioned_image(name, "test", perceptual_hash=h) for name, h in hashes.items()]
    pairs = found_pairs(images, "train")
    assert [(pair.other_image_id, pair.distance) for pair in pairs] == [("d", 1), ("c", 2)]
    assert nearest(pairs) == nearest(pairs[::-1]) == pairs[0]
    equal = [DuplicatePair("a", "train", name, "test", 1, "dropped") for name in "cb"]
    assert nearest(equal).other_image_id == "b"


NEAR = {
    "a": ("train", "00000000000000ff"),
    "b": ("validation", "000000000000000f"),
    "c": ("test", "0000000000000000"),
    "d": ("train", "ffff000000000000"),
    "e": ("train", "0000000000000001"),
}


def near_images() -> list[CaptionedImage]:
    return [captioned_image(name, split, perceptual_hash=h) for name, (split, h) in NEAR.items()]


def test_the_pipeline_reports_near_copies() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        pairs = pipeline | beam.Create(near_images()) | FindNearCopies()
        found = pairs | beam.Map(lambda p: (p.image_id, p.other_image_id, p.distance, p.action))
        expected = [("a", "b", 4), ("b", "c", 4), ("e", "b", 3), ("e", "c", 1)]
        assert_that(found, equal_to([(*pair, "reported") for pair in expected]))


def test_the_pipeline_drops_near_copies_of_what_is_kept() -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        kept, rejects, told = pipeline | beam.Create(near_images()) | DropNearCopies()
        ids = kept | beam.Map(lambda image: image.image_id)
        assert_that(ids, equal_to(["a", "c", "d"]), "what b was near to stays when b goes")
        rejected = rejects | beam.Flatten() | beam.Map(lambda r: (r.image_id, r.reason))
        reason = "duplicate_across_splits"
        assert_that(rejected, equal_to([("b", reason), ("e", reason)]), "rejects")
        pairs = told | "All" >> beam.Flatten() | "Names" >> beam.Map(lambda p: p.other_image_id)
        assert_that(pairs, equal_to(["c", "c"]), "pairs")


def test_a_dropped_picture_says_what_it_is_like() -> None:
    image = captioned_image("a")
    pair = DuplicatePair("a", "train", "b", "test", 3, "dropped")
    reject = drop_near_copy(image, {"a": pair})
    assert isinstance(reject, Reject)
    assert (reject.image_id, reject.image_uri) == ("a", image.image.uri)
    assert "nearly the same as b of test (3 of 64 bits differ)" in reject.error
    assert drop_near_copy(image, {}) == image
