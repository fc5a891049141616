"""Tests of the join: every image id comes out once, as an example or as a reject."""

from __future__ import annotations

from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from builders import calls_of
from hypothesis import given
from hypothesis import strategies as st
from pipeline_builders import captioned_image, prepared_image

from pipelines.joins import (
    check_sums,
    drop_empty_captions,
    join_image,
    main_reason,
    separate_doubled,
)
from pipelines.records import (
    Caption,
    CaptionedImage,
    Reject,
    SplitEntry,
)
from pipelines.splits import SplitRatios, split_by_hash
from pipelines.transforms import JoinImages

NAME = "a.jpg"
CAPTIONS = [Caption(NAME, 9, "a last"), Caption(NAME, 2, "first"), Caption(NAME, 5, "first")]
FILE = [prepared_image(NAME)]
BROKEN = Reject(NAME, "/archive/a.jpg", "decode", "truncated", "half of it is gone")
LISTED = [SplitEntry(NAME, "test")]
HASHED = split_by_hash(NAME, SplitRatios())

# (captions, file, listed, by hash) -> what comes of it; a file without captions never comes here
OUTCOMES = {
    (True, True, True, True): HASHED,
    (True, True, True, False): "test",
    (True, True, False, True): HASHED,
    (True, True, False, False): "no_split",
    (True, False, True, True): "missing",
    (True, False, True, False): "missing",
    (True, False, False, True): "missing",
    (True, False, False, False): "missing",
    (False, False, True, True): None,
    (False, False, True, False): None,
    (False, False, False, True): None,
    (False, False, False, False): None,
}


def join(captions: bool, file: bool, listed: bool, by_hash: bool) -> list[object]:
    inputs = (CAPTIONS if captions else [], FILE if file else [], LISTED if listed else [])
    return list(join_image(NAME, *inputs, SplitRatios() if by_hash else None))


@pytest.mark.parametrize("known", OUTCOMES)
def test_every_combination_has_its_outcome(known: tuple[bool, bool, bool, bool]) -> None:
    joined, outcome = join(*known), OUTCOMES[known]
    if outcome is None:
        assert joined == []
        return
    (only,) = joined
    if isinstance(only, CaptionedImage):
        assert (only.split, only.image) == (outcome, FILE[0])
    else:
        assert isinstance(only, Reject)
        assert (only.stage, only.reason, only.image_id) == ("join", outcome, NAME)
        assert only.image_uri == (FILE[0].uri if known[1] else None)
        assert only.error
        assert only.caption is None


def test_a_picture_that_was_not_decoded_stays_rejected() -> None:
    for captions in (CAPTIONS, []):
        assert list(join_image(NAME, captions, [BROKEN], LISTED, None)) == [BROKEN]


def test_two_pictures_of_one_name_are_both_rejected() -> None:
    images = [prepared_image(NAME, uri=f"/{tar}.tar!/a.jpg", pixel_sha256=tar) for tar in "ba"]
    rejects = list(join_image(NAME, CAPTIONS, images, LISTED, None))
    assert [(r.reason, r.image_uri) for r in rejects if isinstance(r, Reject)] == [
        ("ambiguous", "/a.tar!/a.jpg"),
        ("ambiguous", "/b.tar!/a.jpg"),
    ]
    told = "2 pictures have this name: /a.tar!/a.jpg, /b.tar!/a.jpg"
    assert {r.error for r in rejects if isinstance(r, Reject)} == {told}


def test_copies_and_later_members_of_one_name_cost_only_themselves() -> None:
    copies = [prepared_image(NAME, uri=f"/a.parquet!/{row}") for row in (2, 0, 1)]
    later = Reject(NAME, "/a.tar!/a.jpg@3", "decode", "duplicate_name", "an earlier one")
    *rejects, image = join_image(NAME, CAPTIONS, [*copies, later], LISTED, None)
    assert isinstance(image, CaptionedImage)
    assert image.image.uri == "/a.parquet!/0"
    assert {r.image_uri for r in rejects if isinstance(r, Reject)} == {
        "/a.parquet!/1",
        "/a.parquet!/2",
        later.image_uri,
    }
    assert {r.reason for r in rejects if isinstance(r, Reject)} == {"duplicate_name"}


def test_very_many_members_of_one_name_are_not_compared_with_each_other() -> None:
    def cost(count: int) -> int:
        uris = [f"/a.tar!/a.jpg@{number}" for number in range(count)]
        later = [Reject(NAME, uri, "decode", "duplicate_name", "an earlier one") for uri in uris]
        return calls_of(lambda: separate_doubled(later))

    assert cost(400) < 3 * cost(200)


def test_a_broken_picture_of_the_name_of_copies_is_none_of_them() -> None:
    """Nobody knows of which of them the captions speak."""
    copies = [prepared_image(NAME, uri=f"/{folder}/a.jpg") for folder in "cb"]
    rejects = list(join_image(NAME, CAPTIONS, [*copies, BROKEN], LISTED, None))
    assert [(r.reason, r.image_uri) for r in rejects if isinstance(r, Reject)] == [
        ("ambiguous", "/archive/a.jpg"),
        ("ambiguous", "/b/a.jpg"),
        ("ambiguous", "/c/a.jpg"),
    ]


def test_captions_may_give_the_split_and_lists_go_before_them() -> None:
    captions = [Caption(NAME, 0, "a dog", "validation")]
    for listed, split in (([], "validation"), (LISTED, "test")):
        (image,) = join_image(NAME, captions, FILE, listed, None)
        assert isinstance(image, CaptionedImage)
        assert image.split == split


def test_captions_keep_the_order_of_their_file_and_their_repeats() -> None:
    (joined,) = join_image(NAME, CAPTIONS, FILE, [], SplitRatios())
    assert isinstance(joined, CaptionedImage)
    assert joined.captions == ("first", "first", "a last")


names = st.sampled_from([f"{i}.jpg" for i in range(8)])


@given(st.lists(names), st.sets(names), st.dictionaries(names, st.sampled_from(["train", "test"])))
def test_every_captioned_id_has_exactly_one_outcome(
    captioned: list[str], files: set[str], lists: dict[str, str]
) -> None:
    for ratios in (SplitRatios(), None):
        outcomes = [
            outcome
            for image_id in sorted({*captioned, *lists})
            for outcome in join_image(
                image_id,
                [Caption(name, i, "text") for i, name in enumerate(captioned) if name == image_id],
                [prepared_image(image_id)] if image_id in files & set(captioned) else [],
                [SplitEntry(image_id, lists[image_id])] if image_id in lists else [],
                ratios,
            )
        ]
        named = Counter(outcome.image_id for outcome in outcomes)
        assert named == Counter(dict.fromkeys(captioned, 1))


def test_the_pipeline_joins_by_image_id() -> None:
    silent = Reject("silent.jpg", "/silent.jpg", "join", "no_caption", "no caption")
    rows: dict[str, list] = {
        "captions": [*CAPTIONS, Caption("absent.jpg", 3, "text")],
        "images": [*FILE, silent],
        "splits": [*LISTED, SplitEntry("listed-only.jpg", "train")],
    }
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        inputs = {name: pipeline | name >> beam.Create(some) for name, some in rows.items()}
        images, rejects = inputs | JoinImages(None)
        expected = captioned_image(NAME, "test", ("first", "first", "a last"))
        assert_that(images, equal_to([expected]), "images")
        reasons = rejects | beam.Map(lambda reject: (reject.image_id, reject.reason))
        found = [("absent.jpg", "missing"), ("silent.jpg", "no_caption")]
        assert_that(reasons, equal_to(found), "rejects")


def captioned(*captions: str) -> CaptionedImage:
    return captioned_image(NAME, "train", captions)


def test_captions_with_words_pass_untouched() -> None:
    image = captioned("a dog", "a cat")
    assert list(drop_empty_captions(image)) == [image]


def test_a_caption_without_words_is_rejected_alone() -> None:
    *rejects, kept = drop_empty_captions(captioned("!", "a dog", ""))
    assert kept == captioned("a dog")
    assert [(r.reason, r.stage, r.caption) for r in rejects if isinstance(r, Reject)] == [
        ("empty_caption", "text", "!"),
        ("empty_caption", "text", ""),
    ]
    assert {r.image_uri for r in rejects if isinstance(r, Reject)} == {kept.image.uri}


def test_an_image_without_any_word_is_rejected_itself() -> None:
    image = captioned("!", "")
    (reject,) = drop_empty_captions(image)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.caption) == ("empty_caption", None)
    assert reject.image_uri == image.image.uri
    assert "2 captions" in reject.error


def test_the_main_reason_is_that_of_most_captioned_pictures() -> None:
    assert main_reason({"no_caption": 9, "missing": 1, "unreadable": 3, "no_split": 2}) == (
        "unreadable"
    )


def test_sums_that_hold_pass() -> None:
    # Of the missing one nobody but a caption knew.
    check_sums({"train": 5, "test": 2}, {"missing": 1, "truncated": 2}, listed=9, unlisted=1)
    check_sums({"train": 5, "test": 2}, {"missing": 1, "truncated": 2}, listed=10, unlisted=0)
    check_sums({}, {}, listed=0, unlisted=0)


@pytest.mark.parametrize("listed", [8, 10])
def test_a_lost_or_made_up_image_is_a_defect(listed: int) -> None:
    with pytest.raises(RuntimeError, match=f"got {listed + 1} images.*10 examples and rejects"):
        check_sums({"train": 5, "test": 2}, {"missing": 1, "truncated": 2}, listed, unlisted=1)
