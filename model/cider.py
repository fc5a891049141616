"""CIDEr-D over token ids: the reward of self-critical training, and what chooses checkpoints.

The measure is that of Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation",
in the variant D that pycocoevalcap computes: n-grams of 1 to 4 tokens, counts clipped to the
reference's, a Gaussian penalty on the difference in length, times 10. `model.metrics` scores texts
with the published program; this scores ids, thousands a second, and gives the same figures.

Dimensions: C captions, N images, G distinct n-grams.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

Caption = Sequence[int]

_ORDERS: Final = 4
_SIGMA: Final = 6.0
_SCALE: Final = 10.0


class _NGrams:
    """Distinct n-grams; an n-gram's id is its place in order of length, then key.

    Attributes:
        keys: for each length the sorted keys: of one token the token itself, of n tokens
            `place of the first n - 1 * distinct tokens + place of the last`.
        order: `int64[G]`, length of each n-gram, less 1.
    """

    def __init__(self, keys: Sequence[np.ndarray]) -> None:
        self.keys = keys
        sizes = [len(level) for level in keys]
        self.starts = np.cumsum([0, *sizes])
        self.order = np.repeat(np.arange(_ORDERS), sizes)

    def find(self, others: _NGrams) -> np.ndarray:
        """The ids here `int64[G of others]` of the n-grams of `others`, -1 for one not here."""
        tokens = places = _search(self.keys[0], others.keys[0])
        found = [places]
        for keys, sought in zip(self.keys[1:], others.keys[1:], strict=True):
            first, last = np.divmod(sought, max(len(others.keys[0]), 1))
            first, last = places[first], tokens[last]
            known = (first >= 0) & (last >= 0)
            places = _search(keys, np.where(known, first * len(self.keys[0]) + last, -1))
            found.append(places)
        ids = [
            np.where(level >= 0, level + start, -1)
            for level, start in zip(found, self.starts[:-1], strict=True)
        ]
        return np.concatenate(ids)


class _Counted(NamedTuple):
    """The n-grams of captions: one row for each n-gram of a caption, in order of the captions."""

    ngrams: _NGrams
    caption: np.ndarray
    ngram: np.ndarray
    times: np.ndarray


class CiderD:
    """Scores candidates against the references of their images.

    Whether END is a token like any other is for the caller to say, by passing it or not, in the
    references and the candidates alike: published scores are of words alone, while a reward that
    counts END teaches captions to end well (without it they break off, as in "a man on a").

    Args:
        references: token ids of each image's captions; their n-grams' weights follow from how many
            of these images have them.
        document_frequencies_of: take the weights of this one's images instead; for few images,
            whose own frequencies say little.

    Raises:
        ValueError: if there is no image, or one without a reference.

    Example::

        reward = CiderD([[[5, 6, 7, 8], [5, 9]], [[10, 11]]])
        reward.score([0, 0, 1], [[5, 6, 7, 8], [9], [5]])  # [5.42, 0.87, 0.0]
    """

    def __init__(
        self,
        references: Sequence[Sequence[Caption]],
        document_frequencies_of: CiderD | None = None,
    ) -> None:
        self.references = np.array([len(captions) for captions in references], np.int64)
        if not len(references) or not self.references.all():
            bare = np.flatnonzero(self.references == 0).tolist()
            raise ValueError(
                f"got {len(references)} images, without references those at {bare[:5]}; expected "
                "at least one image and one reference of each"
            )
        captions = list(itertools.chain.from_iterable(references))
        counted = _count(captions)
        self._ngrams, distinct = counted.ngrams, len(counted.ngrams.order)
        image = np.repeat(np.arange(len(references)), self.references)[counted.caption]
        # N-grams by image, and for each the references that hold it.
        key = image * distinct + counted.ngram
        order = np.argsort(key, kind="stable")
        self._keys, self._starts = np.unique(key[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(key))
        in_images = np.bincount(self._keys % max(distinct, 1), minlength=distinct)
        self._unseen = float(np.log(len(references)))
        self._weights = self._unseen - np.log(in_images)
        other = document_frequencies_of
        self._frequencies: CiderD = other._frequencies if other else self
        weights = self._weights_of(counted.ngrams)[counted.ngram] * counted.times
        self._caption, self._caption_weights = counted.caption[order], weights[order]
        self._norms = _norms(counted, weights, len(captions))
        self._lengths = _lengths(captions)

    def score(self, images: Sequence[int], candidates: Sequence[Caption]) -> np.ndarray:
        """Scores `float32[C]` from 0 to 10 of `candidates`, each of the image at its index.

        Raises:
            ValueError: if there are not as many images as candidates, or an index is out of range.
        """
        image = np.asarray(images, np.int64)
        last = len(self.references) - 1
        if len(image) != len(candidates) or ((image < 0) | (image > last)).any():
            raise ValueError(
                f"got {len(image)} images from {image.min(initial=0)} to {image.max(initial=0)} of "
                f"{len(candidates)} candidates; expected one a candidate, from 0 to {last}"
            )
        counted = _count(candidates)
        weights = self._weights_of(counted.ngrams)[counted.ngram] * counted.times
        norms = _norms(counted, weights, len(candidates))
        place = self._places(image[counted.caption], counted)
        hit = np.flatnonzero(place >= 0)
        # A row for each reference that holds a candidate's n-gram.
        starts, ends = self._starts[place[hit]], self._ends[place[hit]]
        row = np.repeat(hit, ends - starts)
        held = _ranges(starts, ends)
        candidate, reference = counted.caption[row], self._caption[held]
        order = counted.ngrams.order[counted.ngram[row]]
        products = np.minimum(weights[row], self._caption_weights[held])
        products *= self._caption_weights[held]
        cosines = products / (norms[candidate, order] * self._norms[reference, order])
        apart = _lengths(candidates)[candidate] - self._lengths[reference]
        similarity = cosines * np.exp(-(apart**2) / (2 * _SIGMA**2))
        totals = np.bincount(candidate, similarity, minlength=len(candidates))
        return (_SCALE * totals / (_ORDERS * self.references[image])).astype("float32")

    def _weights_of(self, ngrams: _NGrams) -> np.ndarray:
        """Inverse document frequencies `float64[G]`: of one unseen as if a single image had it."""
        frequencies = self._frequencies
        ids = frequencies._ngrams.find(ngrams)
        weights = np.full(len(ids), frequencies._unseen)
        weights[ids >= 0] = frequencies._weights[ids[ids >= 0]]
        return weights

    def _places(self, image: np.ndarray, counted: _Counted) -> np.ndarray:
        """Where each n-gram is among those of its image's references; -1 if it is not there."""
        ids = self._ngrams.find(counted.ngrams)[counted.ngram]
        key = image * len(self._ngrams.order) + ids
        return _search(self._keys, np.where(ids >= 0, key, -1))


def _count(captions: Sequence[Caption]) -> _Counted:
    """The n-grams of `captions`, and how often each caption has them."""
    lengths = np.array([len(caption) for caption in captions], np.int64)
    tokens = np.fromiter(itertools.chain.from_iterable(captions), np.int64, lengths.sum())
    caption = np.repeat(np.arange(len(captions)), lengths)
    left = np.cumsum(lengths)[caption] - np.arange(len(tokens))
    distinct, tokens = np.unique(tokens, return_inverse=True)
    keys, places, captions_of = [distinct], [tokens], [caption]
    places_here = tokens
    for order in range(1, _ORDERS):
        # Where n-grams begin: n tokens are left of the caption. An n-gram one token shorter begins
        # at all of these, so that `begins` of the shorter ones picks them out.
        begins = left > order
        shorter = left > order - 1
        key = places_here[begins[shorter]] * len(distinct) + tokens[np.flatnonzero(begins) + order]
        level, places_here = np.unique(key, return_inverse=True)
        keys.append(level)
        places.append(places_here)
        captions_of.append(caption[begins])
    ngrams = _NGrams(keys)
    ids = np.concatenate([p + start for p, start in zip(places, ngrams.starts[:-1], strict=True)])
    total = max(len(ngrams.order), 1)
    pair, count = np.unique(np.concatenate(captions_of) * total + ids, return_counts=True)
    return _Counted(ngrams, pair // total, pair % total, count)


def _norms(counted: _Counted, weights: np.ndarray, captions: int) -> np.ndarray:
    """Euclidean norms `float64[C, 4]` of the captions' n-grams of each length, 1 in place of 0."""
    place = counted.caption * _ORDERS + counted.ngrams.order[counted.ngram]
    norms = np.sqrt(np.bincount(place, weights**2, minlength=captions * _ORDERS))
    return np.where(norms > 0, norms, 1.0).reshape(captions, _ORDERS)


def _lengths(captions: Sequence[Caption]) -> np.ndarray:
    """Lengths `float64[C]` as the published program counts them: in pairs of tokens."""
    return np.array([max(len(caption) - 1, 0) for caption in captions], np.float64)


def _search(keys: np.ndarray, sought: np.ndarray) -> np.ndarray:
    """Places of `sought` among the sorted `keys`, -1 where there is none."""
    if not len(keys):
        return np.full(len(sought), -1)
    places = np.minimum(np.searchsorted(keys, sought), len(keys) - 1)
    return np.where(keys[places] == sought, places, -1)


def _ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The numbers from each start up to its end, one range after the other."""
    sizes = ends - starts
    return np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
