"""Training pictures, kept to look up those most like another picture, and what was said of them.

Dimensions: N pictures, C channels of the image encoder, D of a feature, M n-grams of a picture,
H buckets.
"""

import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.artifacts import DatasetInfo
from model.dataset import read_first_views
from model.errors import CaptionerError
from model.vocabulary import END
from model.whole_files import write_whole

NEIGHBOURS_FILE = "neighbours.npz"
ORDERS = 4
# A prime below 2 ** 15, and a factor with which no product leaves int32. Bucket 0 is of no n-gram.
PRIME, FACTOR = 32_749, 48_271
BUCKETS = PRIME + 1
# More would make a bundle larger by megabytes for each thousand.
_MOST_PICTURES = 20_000
_FEATURE_DIM = 256
# Channels that hardly vary, and directions in which hardly any two pictures differ, tell nothing.
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Training pictures, and what their captions say.

    Attributes:
        mean: of the channels, `float32[C]`.
        projection: from channels to features, `float32[C, D]`.
        features: of length 1, `float16[N, D]`.
        buckets: of the n-grams, of 1 to 4 tokens, in each picture's captions, `uint16[N, M]`; 0
            where it has no more. A bucket holds all n-grams of one hash.
        shares: of each of them in its picture's captions, `float16[N, M]`: its tf-idf in a caption,
            whose n-grams of one length have a vector of length 1, as a mean over its captions.
        weights: idf of each bucket, `float32[H]`, 0 for bucket 0.
    """

    mean: np.ndarray
    projection: np.ndarray
    features: np.ndarray
    buckets: np.ndarray
    shares: np.ndarray
    weights: np.ndarray


def read_neighbours(folder: Path) -> Neighbours:
    """The neighbours of the run or the bundle in `folder`.

    Raises:
        CaptionerError: if the file is missing or damaged.
    """
    path = folder / NEIGHBOURS_FILE
    try:
        with np.load(path) as arrays:
            return Neighbours(**arrays)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CaptionerError(
            f"{path} cannot be read ({error}), which the model was made with; copy {folder} again"
        ) from error


def write_neighbours(run: Path, neighbours: Neighbours) -> None:
    """Writes them into the folder of a run, unless they are there."""
    if (run / NEIGHBOURS_FILE).exists():
        return
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vars(neighbours))
    write_whole(run / NEIGHBOURS_FILE, buffer.getvalue())


def find_neighbours(dataset: Path, info: DatasetInfo) -> Neighbours:
    """The pictures of the train split of a dataset with stored features, or some of very many."""
    pooled, captions = [], []
    # In shards by a hash of their names: the first are as good as any.
    for example in read_first_views(dataset, info).take(_MOST_PICTURES).prefetch(1):
        pooled.append(example["grid"].numpy().mean(axis=0, dtype=np.float32))
        captions.append(example["token_ids"].to_list())
    return make_neighbours(np.stack(pooled), captions)


def make_neighbours(pooled: np.ndarray, captions: Sequence[Sequence[Sequence[int]]]) -> Neighbours:
    """What is kept of pictures.

    Args:
        pooled: the mean of each picture's grid, `float32[N, C]`.
        captions: token ids of each picture's captions.
    """
    mean, projection = pooled.mean(axis=0), _whiten(pooled)
    features = (pooled - mean) @ projection
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _LEAST)
    counts = [[Counter(_ngrams_of(caption)) for caption in told] for told in captions]
    weights = _weigh(counts)
    told = [_share_out(each, weights) for each in counts]
    most = max(1, *map(len, told))
    buckets, shares = (
        np.zeros((len(told), most), np.uint16),
        np.zeros((len(told), most), np.float16),
    )
    for number, of_picture in enumerate(told):
        buckets[number, : len(of_picture)] = list(of_picture)
        shares[number, : len(of_picture)] = list(of_picture.values())
    return Neighbours(mean, projection, features.astype(np.float16), buckets, shares, weights)


def _whiten(pooled: np.ndarray) -> np.ndarray:
    """The projection `float32[C, D]` to where pictures differ as much in one direction as in all.

    Else the few things in which most of them differ would decide which are alike.
    """
    scale = pooled.std(axis=0) + _LEAST
    scaled = (pooled - pooled.mean(axis=0)) / scale
    variances, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    dim = min(_FEATURE_DIM, *pooled.shape)
    variances, directions = variances[::-1][:dim], directions[:, ::-1][:, :dim]
    whitened = directions / np.sqrt(np.maximum(variances, _LEAST))
    return (whitened / scale[:, np.newaxis]).astype(np.float32)


def _ngrams_of(caption: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Order, 0 to 3, and bucket of each n-gram, as `model.consensus` finds them in its graph."""
    words = [token for token in caption if token > END]
    for start in range(len(words)):
        place = 0
        for order, token in enumerate(words[start : start + ORDERS]):
            place = (place * FACTOR + token) % PRIME
            yield order, place + 1


def _weigh(counts: Sequence[Sequence[Counter[tuple[int, int]]]]) -> np.ndarray:
    """The idf of each bucket over pictures, `float32[H]`."""
    held = [{bucket for count in told for _, bucket in count} for told in counts]
    pictures = np.bincount([bucket for each in held for bucket in each], minlength=BUCKETS)
    weights = np.log(len(counts)) - np.log(np.maximum(pictures, 1))
    weights[0] = 0.0
    return weights.astype(np.float32)


def _share_out(counts: Sequence[Counter[tuple[int, int]]], weights: np.ndarray) -> dict[int, float]:
    """The shares of the buckets in a picture's captions; see `Neighbours.shares`."""
    shares: dict[int, float] = defaultdict(float)
    for count in counts:
        squares = [0.0] * ORDERS
        for (order, bucket), times in count.items():
            squares[order] += (times * weights[bucket]) ** 2
        for (order, bucket), times in count.items():
            if weights[bucket]:
                share = times * weights[bucket] / squares[order] ** 0.5
                shares[bucket] += share / len(counts)
    return shares
