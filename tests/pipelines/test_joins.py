"""Tests of the join: every image id comes out once, as an example or as a reject."""

from __future__ import annotations

import itertools
from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from pipelines.joins import check_sums, drop_empty_captions, join_image
from pipelines.records import Caption, CaptionedImage, ImageFile, Reject, SplitEntry, TokenisedImage
from pipelines.splits import SplitRatios, split_by_hash
from pipelines.transforms import JoinImages

NAME = "a.jpg"
CAPTIONS = [Caption(NAME, 9, "a last"), Caption(NAME, 2, "first"), Caption(NAME, 5, "first")]
FILE = [ImageFile("/archive/a.jpg", NAME, 10)]
LISTED = [SplitEntry(NAME, "test")]
HASHED = split_by_hash(NAME, SplitRatios())

# (captions, file, listed, by hash) -> what comes of it
OUTCOMES = {
    (True, True, True, True): HASHED,
    (True, True, True, False): "test",
    (True, True, False, True): HASHED,
    (True, True, False, False): "no_split",
    (True, False, True, True): "missing",
    (True, False, True, False): "missing",
    (True, False, False, True): "missing",
    (True, False, False, False): "missing",
    (False, True, True, True): "no_caption",
    (False, True, True, False): "no_caption",
    (False, True, False, True): "no_caption",
    (False, True, False, False): "no_caption",
    (False, False, True, True): None,
    (False, False, True, False): None,
    (False, False, False, True): None,
    (False, False, False, False): None,
}


def join(captions: bool, file: bool, listed: bool, by_hash: bool) -> object:
    return join_image(
        NAME,
        CAPTIONS if captions else [],
        FILE if file else [],
        LISTED if listed else [],
        SplitRatios() if by_hash else None,
    )


@pytest.mark.parametrize("known", itertools.product([True, False], repeat=4))
def test_every_combination_has_its_outcome(known: tuple[bool, bool, bool, bool]) -> None:
    joined, outcome = join(*known), OUTCOMES[known]
    if isinstance(joined, CaptionedImage):
        assert joined.split == outcome
        assert (joined.image_id, joined.uri) == (NAME, FILE[0].uri)
    elif isinstance(joined, Reject):
        assert (joined.stage, joined.reason, joined.image_id) == ("join", outcome, NAME)
        assert joined.image_uri == (FILE[0].uri if known[1] else None)
        assert joined.error
        assert joined.caption is None
    else:
        assert joined is outcome is None


def test_captions_keep_the_order_of_their_file_and_their_repeats() -> None:
    joined = join_image(NAME, CAPTIONS, FILE, [], SplitRatios())
    assert isinstance(joined, CaptionedImage)
    assert joined.captions == ("first", "first", "a last")


names = st.sampled_from([f"{i}.jpg" for i in range(8)])


@given(st.lists(names), st.sets(names), st.dictionaries(names, st.sampled_from(["train", "test"])))
def test_every_id_with_captions_or_file_has_exactly_one_outcome(
    captioned: list[str], listed_files: set[str], lists: dict[str, str]
) -> None:
    ids = {*captioned, *listed_files, *lists}
    for ratios in (SplitRatios(), None):
        outcomes = [
            join_image(
                image_id,
                [Caption(name, i, "text") for i, name in enumerate(captioned) if name == image_id],
                [ImageFile(f"/{image_id}", image_id, 1)] if image_id in listed_files else [],
                [SplitEntry(image_id, lists[image_id])] if image_id in lists else [],
                ratios,
            )
            for image_id in sorted(ids)
        ]
        named = Counter(outcome.image_id for outcome in outcomes if outcome is not None)
        assert named == Counter(dict.fromkeys({*captioned, *listed_files}, 1))


def test_the_pipeline_joins_by_image_id() -> None:
    rows = {
        "captions": [*CAPTIONS, Caption("absent.jpg", 3, "text")],
        "images": [*FILE, ImageFile("/archive/silent.jpg", "silent.jpg", 1)],
        "splits": [*LISTED, SplitEntry("listed-only.jpg", "train")],
    }
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        inputs = {name: pipeline | name >> beam.Create(some) for name, some in rows.items()}
        images, rejects = inputs | JoinImages(None)
        expected = CaptionedImage(NAME, FILE[0].uri, "test", ("first", "first", "a last"))
        assert_that(images, equal_to([expected]), "images")
        reasons = rejects | beam.Map(lambda reject: (reject.image_id, reject.reason))
        found = [("absent.jpg", "missing"), ("silent.jpg", "no_caption")]
        assert_that(reasons, equal_to(found), "rejects")


def tokenised(*captions: tuple[str, tuple[int, ...]]) -> TokenisedImage:
    texts, token_ids = zip(*captions, strict=True)
    return TokenisedImage(CaptionedImage(NAME, FILE[0].uri, "train", texts), token_ids)


def test_captions_with_words_pass_untouched() -> None:
    image = tokenised(("a dog", (4, 5)), ("a cat", (4, 3)))
    assert list(drop_empty_captions(image)) == [image]


def test_a_caption_without_words_is_rejected_alone() -> None:
    dropped = list(drop_empty_captions(tokenised(("!", ()), ("a dog", (4, 5)), ("", ()))))
    *rejects, kept = dropped
    assert kept == tokenised(("a dog", (4, 5)))
    assert [(r.reason, r.stage, r.caption) for r in rejects if isinstance(r, Reject)] == [
        ("empty_caption", "text", "!"),
        ("empty_caption", "text", ""),
    ]


def test_an_image_without_any_word_is_rejected_itself() -> None:
    (reject,) = drop_empty_captions(tokenised(("!", ()), ("", ())))
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.caption) == ("empty_caption", None)
    assert "2 captions" in reject.error


def test_sums_that_hold_pass() -> None:
    check_sums({"train": 5, "test": 2}, rejects=3, inputs=10)
    check_sums({}, rejects=0, inputs=0)


@pytest.mark.parametrize("inputs", [9, 11])
def test_a_lost_or_made_up_image_is_a_defect(inputs: int) -> None:
    with pytest.raises(RuntimeError, match=f"got {inputs} images.*10 examples and rejects"):
        check_sums({"train": 5, "test": 2}, rejects=3, inputs=inputs)
