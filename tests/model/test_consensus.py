"""Tests of agreement with what was said of similar pictures: against plain Python, and CIDEr."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cider import CiderD
from model.consensus import Consensus, ngram_buckets
from model.neighbours import FACTOR, PRIME, Neighbours, make_neighbours
from model.vocabulary import END, PAD

PICTURES, CHANNELS, LENGTH = 60, 8, 7
# Half of the pictures are bright and half are dark; what is said of them differs.
LIGHT = np.arange(PICTURES) % 2


def make(seed: int) -> tuple[Neighbours, np.ndarray, list[list[list[int]]]]:
    rng = np.random.default_rng(seed)
    pooled = rng.normal(size=(PICTURES, CHANNELS)).astype(np.float32)
    pooled[:, 0] += 20 * LIGHT
    words = [[4, 5, 6, 7, 8, 9], [4, 10, 11, 12, 13, 14]]
    captions = [
        [rng.choice(words[light], rng.integers(1, LENGTH)).tolist() for _ in range(3)]
        for light in LIGHT
    ]
    return make_neighbours(pooled, captions), pooled, captions


def padded(captions: list[list[int]]) -> np.ndarray:
    rows = [[*caption, END, *[PAD] * LENGTH][:LENGTH] for caption in captions]
    return np.array(rows, np.int32)


@given(st.lists(st.integers(END + 1, 2**24), max_size=LENGTH - 1))
def test_buckets_are_the_hashes_of_the_ngrams(words: list[int]) -> None:
    buckets, orders = ngram_buckets(tf.constant(padded([words])))
    expected = Counter(
        (order, bucket_of(words[start : start + order + 1]))
        for order in range(4)
        for start in range(len(words) - order)
    )
    found = zip(orders.tolist(), buckets[0].numpy().tolist(), strict=True)
    assert Counter(pair for pair in found if pair[1]) == expected
    assert len(orders) == 4 * LENGTH - 6


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_agreement_is_the_cosine_with_the_nearest_pictures_captions(seed: int) -> None:
    known, _, captions = make(seed)
    rng = np.random.default_rng(seed + 1)
    grid = rng.normal(size=(3, 2, CHANNELS)).astype(np.float32)
    told = [[rng.permutation(range(4, 15))[:4].tolist() for _ in range(2)] for _ in range(3)]
    found = Consensus(known)(tf.constant([padded(each) for each in told]), tf.constant(grid))

    features = (grid.mean(axis=1) - known.mean) @ known.projection
    for picture in range(3):
        alike = known.features.astype(np.float32) @ features[picture]
        others = [captions[n] for n in np.argsort(-alike)[:20]]
        expected = [agreement(known, caption, others) for caption in told[picture]]
        np.testing.assert_allclose(found[picture], expected, rtol=5e-3, atol=5e-3)


def agreement(known: Neighbours, caption: list[int], others: list[list[list[int]]]) -> float:
    """Ten times the mean over orders, and over all captions of `others`, of the cosine."""
    shares: Counter[int] = Counter()
    for told in others:
        for other in told:
            for vector in vectors(known, other):
                norm = math.sqrt(sum(value**2 for value in vector.values()))
                for bucket, value in vector.items():
                    shares[bucket] += value / norm / len(told) / len(others) if norm else 0.0
    cosines = []
    for vector in vectors(known, caption):
        norm = math.sqrt(sum(value**2 for value in vector.values()))
        dot = sum(value * shares[bucket] for bucket, value in vector.items())
        cosines.append(dot / norm if norm else 0.0)
    return 10 * float(np.mean(cosines))


def vectors(known: Neighbours, caption: list[int]) -> list[dict[int, float]]:
    """Of each order the tf-idf by bucket: n-grams of one hash are one."""
    found = []
    for order in range(4):
        counts = Counter(
            bucket_of(caption[start : start + order + 1]) for start in range(len(caption) - order)
        )
        found.append({bucket: n * float(known.weights[bucket]) for bucket, n in counts.items()})
    return found


def bucket_of(ngram: list[int]) -> int:
    place = 0
    for token in ngram:
        place = (place * FACTOR + token) % PRIME
    return place + 1


def test_it_ranks_captions_much_as_cider_does() -> None:
    known, pooled, captions = make(5)
    told = [[4, 5, 6], [4, 10, 11], [8, 7, 5, 9], [13, 12], [4, 4, 4, 4]]
    ids = tf.constant(np.stack([padded(told)] * 2))
    bright, dark = Consensus(known)(ids, pooled[:2, np.newaxis][::-1].copy()).numpy()
    alike = [captions[n] for n in range(PICTURES) if LIGHT[n]]
    everything = CiderD(captions)
    expected = CiderD([list(itertools.chain(*alike))], everything).score([0] * len(told), told)
    assert np.argsort(bright)[::-1][:2].tolist() == np.argsort(expected)[::-1][:2].tolist()
    for one, other in ((0, 1), (2, 3)):
        assert bright[one] < bright[other]
        assert dark[one] > dark[other]


def test_where_captions_tell_nothing_all_agree_alike() -> None:
    """Of one picture all words are in all captions."""
    known = make_neighbours(np.ones((1, CHANNELS), np.float32), [[[5, 6]]])
    ids = tf.constant([padded([[5], [7, 8]])])
    assert Consensus(known)(ids, tf.ones([1, 3, CHANNELS])).numpy().tolist() == [[0.0, 0.0]]


def test_a_word_said_again_agrees_no_more() -> None:
    known, pooled, _ = make(6)
    ids = tf.constant([padded([[5], [5, 5, 5, 5]])])
    once, again = Consensus(known)(ids, tf.constant(pooled[:1, np.newaxis]))[0].numpy()
    assert once > again > 0


def test_a_graph_of_any_batch_computes_as_eager_code_does() -> None:
    known, pooled, _ = make(7)
    consensus = Consensus(known)
    ids = tf.constant([padded([[5, 6], [11, 12, 13]])] * 4)
    grid = tf.constant(pooled[:4, np.newaxis].astype(np.float16))
    specs = [
        tf.TensorSpec((None, 2, LENGTH), tf.int32),
        tf.TensorSpec((None, 1, CHANNELS), tf.float16),
    ]
    graph = tf.function(consensus.__call__, input_signature=specs, autograph=False)
    expected = consensus(ids, grid)
    for count in (1, 4):
        found = graph(ids[:count], grid[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=1e-4)
