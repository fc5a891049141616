"""Tests of CIDEr-D over ids: the published program's figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

from model.cider import CiderD

captions = st.lists(st.integers(0, 5), max_size=9)
references = st.lists(captions, min_size=1, max_size=4)
# The published program stumbles where no reference has a word.
images = st.lists(st.tuples(captions, references), min_size=1, max_size=8).filter(
    lambda pairs: any(caption for _, refs in pairs for caption in refs)
)


def words(caption: list[int]) -> str:
    return " ".join(f"w{token_id}" for token_id in caption)


def published(candidates: list, references: list) -> np.ndarray:
    truth = {i: [words(caption) for caption in refs] for i, refs in enumerate(references)}
    guess = {i: [words(caption)] for i, caption in enumerate(candidates)}
    return Cider().compute_score(truth, guess)[1]


def made_up(seed: int, count: int, vocabulary: int) -> tuple[list, list]:
    """Candidates, like one of their 5 references each; ids as far apart as Zipf's law has them."""
    rng = np.random.default_rng(seed)
    drawn = [
        np.minimum(rng.zipf(1.3, rng.integers(1, 20)), vocabulary).tolist()
        for _ in range(6 * count)
    ]
    references = [drawn[count + 5 * i :][:5] for i in range(count)]
    halves = zip(drawn[:count], references, strict=True)
    return [own[:5] + refs[0][: len(own)] for own, refs in halves], references


@given(images)
def test_scores_are_the_published_programs(pairs: list[tuple[list, list]]) -> None:
    candidates, references = [list(part) for part in zip(*pairs, strict=True)]
    scores = CiderD(references).score(range(len(pairs)), candidates)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, published(candidates, references), atol=1e-5)


@pytest.mark.parametrize("vocabulary", [30, 10**6])
def test_scores_of_many_images_are_the_published_programs(vocabulary: int) -> None:
    candidates, references = made_up(1, 300, vocabulary)
    candidates[::50] = [[]] * 6
    expected = published(candidates, references)
    scores = CiderD(references).score(range(300), candidates)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (scores[::50] == 0).all()
    assert scores.max() > 0.5


def test_an_image_may_have_many_candidates_in_any_order() -> None:
    candidates, references = made_up(2, 40, 50)
    measure = CiderD(references)
    rng = np.random.default_rng(3)
    chosen, guessed = rng.integers(0, 40, 200), rng.integers(0, 40, 200)
    together = measure.score(chosen, [candidates[i] for i in guessed])
    for image, guess, score in zip(chosen, guessed, together, strict=True):
        alone = measure.score([image], [candidates[guess]])
        assert alone == pytest.approx([score], abs=1e-5)


@given(images, st.lists(references, min_size=1, max_size=8))
def test_frequencies_may_be_of_other_images(pairs: list[tuple[list, list]], other: list) -> None:
    candidates, references = [list(part) for part in zip(*pairs, strict=True)]
    count = len(pairs)
    # A measure over both has the frequencies of both.
    both = CiderD(references + other)
    some = CiderD(references, document_frequencies_of=both)
    expected = both.score(range(count), candidates)
    np.testing.assert_allclose(some.score(range(count), candidates), expected, atol=1e-5)
    again = CiderD(references, document_frequencies_of=some)
    np.testing.assert_allclose(again.score(range(count), candidates), expected, atol=1e-5)


def test_frequencies_of_images_that_lack_the_words() -> None:
    many = CiderD([[[token, token + 1]] for token in range(100, 140)])
    references = [[[1, 2, 3, 4]], [[1, 2, 3, 4]]]
    # Weighed by their own images, words that all of these have say nothing.
    assert CiderD(references).score([0], [[1, 2, 3, 4]]) == pytest.approx([0])
    measure = CiderD(references, document_frequencies_of=many)
    assert measure.score([0], [[1, 2, 3, 4]]) == pytest.approx([10])


def test_a_reference_itself_scores_ten_and_tokens_never_seen_nothing() -> None:
    measure = CiderD([[[5, 6, 7, 8]], [[9, 10, 11, 12]]])
    assert measure.score([0, 1], [[5, 6, 7, 8], [-3, 10**12]]) == pytest.approx([10, 0])


def test_an_end_counts_where_the_caller_passes_it() -> None:
    references = [[[5, 6, 7]], [[8, 9, 10]]]
    ended = [[[*caption, 2] for caption in captions] for captions in references]
    without, with_end = CiderD(references), CiderD([*ended, [[11]]])
    assert without.score([0], [[5, 6, 7]]) == pytest.approx([7.5])
    broken, whole = with_end.score([0, 0], [[5, 6, 7], [5, 6, 7, 2]])
    assert broken < whole == pytest.approx(10)


def test_no_candidates_have_no_scores() -> None:
    assert CiderD([[[4]], [[5]]]).score([], []).shape == (0,)


def test_references_without_a_word_score_nothing() -> None:
    assert CiderD([[[]], [[], []]]).score([0, 1], [[], [4, 5]]).tolist() == [0, 0]


@pytest.mark.parametrize("references", [[], [[[4]], []]])
def test_images_without_references_are_refused(references: list) -> None:
    with pytest.raises(ValueError, match=r"got \d images, without references those at \["):
        CiderD(references)


@pytest.mark.parametrize("indices", [[0], [0, 1, 1], [0, 2], [-1, 0]])
def test_images_that_do_not_fit_are_refused(indices: list[int]) -> None:
    measure = CiderD([[[4]], [[5]]])
    with pytest.raises(ValueError, match=r"of 2 candidates; expected one a candidate, from 0 to 1"):
        measure.score(indices, [[4], [5]])
