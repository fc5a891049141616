"""A decoder that is a table, what samplers draw from it, and the same in plain Python.

The table has the logits of the next token by picture, position and the two tokens before, the
earlier of which is kept by the state. Many pictures at once cost no more than one, so that tests
need few examples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from model.constraints import UNCONSTRAINED, Constraints
from model.decoding import Sampler, State
from model.vocabulary import END, PAD, START

WORDS = (4, 5, 6)
V, L = 7, 4
# The number of captions of at most L tokens, so that such a beam drops none.
ALL = 40


def make_table(seed: int, pictures: int = 12, length: int = L) -> np.ndarray:
    """Logits `[B, L, V, V, V]` of each token by picture, position and the two tokens before."""
    return np.random.default_rng(seed).normal(0, 2, (pictures, length, V, V, V)).astype("float32")


def first_state(pictures: int | tf.Tensor) -> State:
    zeros = tf.zeros([pictures], tf.int32)
    # One word of each picture is kept, of no number that a graph knows: there will be more.
    words = tf.fill([pictures, pictures * 0 + 1], PAD)
    return State(
        {"position": zeros, "last": zeros, "picture": tf.range(pictures)}, {"words": words}
    )


def step(token_ids: tf.Tensor, state: State, memory: dict) -> tuple[tf.Tensor, State]:
    rows, pictures = tf.shape(token_ids)[0], tf.shape(memory["table"])[0]
    captions = rows // pictures
    picture = tf.range(rows) // captions
    # All words of a picture's captions stay where they were written; a row knows where its last is.
    words, last = state.kept["words"], state.rows["last"]
    before = tf.gather_nd(words, tf.stack([picture, last], axis=-1))
    where = tf.stack([picture, state.rows["position"], before, token_ids], axis=-1)
    # A row that is given the state of another picture knows nothing.
    right = tf.cast(state.rows["picture"] == picture, tf.float32)[:, None]
    told = {
        "position": state.rows["position"] + 1,
        "last": tf.shape(words)[1] + tf.range(rows) % captions,
        "picture": state.rows["picture"],
    }
    words = tf.concat([words, tf.reshape(token_ids, [pictures, captions])], axis=1)
    return right * tf.gather_nd(memory["table"], where), State(told, {"words": words})


def sample(sampler: Sampler, table: np.ndarray | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Tokens `[B, K, L]` and scores `[B, K]` that `sampler` draws."""
    table = tf.convert_to_tensor(table)
    return tuple(sampler(step, first_state(tf.shape(table)[0]), {"table": table}))


def draw(sampler: Sampler, table: np.ndarray) -> list[list[tuple[list[int], float]]]:
    """The captions of each picture, best first, as `(tokens with END, score)`; all padding cut."""
    tokens, scores = (np.asarray(part) for part in sample(sampler, table))
    # A beam may have more places than there are captions; these are empty.
    assert ((tokens == PAD).all(-1) == (scores < -1e5)).all()
    rows = zip(tokens, scores, strict=True)
    return [[(trim(t), float(s)) for t, s in zip(*row, strict=True) if s > -1e5] for row in rows]


def trim(tokens: np.ndarray) -> list[int]:
    """The tokens before the padding, of which there is none in between."""
    count = int((tokens != PAD).sum())
    assert (tokens[count:] == PAD).all()
    return tokens[:count].tolist()


def log_probs_after(table: np.ndarray, tokens: list[int]) -> np.ndarray:
    """Log-probabilities `float64[V]` of the token that follows one picture's `tokens`."""
    before, last = [PAD, START, *tokens][-2:]
    logits = table[len(tokens), before, last].astype("float64")
    return logits - np.log(np.exp(logits).sum())


def log_prob(table: np.ndarray, tokens: list[int]) -> float:
    """Total log-probability of one picture's caption `tokens`, END counted."""
    return sum(log_probs_after(table, tokens[:t])[token] for t, token in enumerate(tokens))


def score(table: np.ndarray, tokens: list[int]) -> float:
    return log_prob(table, tokens) / len(tokens)


def repeats(tokens: list[int], n: int) -> bool:
    """Whether the last `n` tokens were there before."""
    return tokens[-n:] in [tokens[i : i + n] for i in range(len(tokens) - n)]


def choices(tokens: list[int], length: int, constraints: Constraints = UNCONSTRAINED) -> list[int]:
    """The tokens that may follow `tokens` in a caption of at most `length`, END counted."""
    n = constraints.no_repeat_ngram
    words = [
        word
        for word in WORDS
        if len(tokens) < length - 1
        and word not in constraints.banned
        and not (n and repeats([*tokens, word], n))
    ]
    return words if words and len(tokens) < constraints.min_length else [END, *words]


def all_captions(length: int, constraints: Constraints = UNCONSTRAINED) -> list[list[int]]:
    """Every caption of at most `length` tokens, END counted."""

    def grown(tokens: list[int]) -> Iterator[list[int]]:
        for token in choices(tokens, length, constraints):
            longer = [*tokens, token]
            yield from [longer] if token == END else grown(longer)

    return list(grown([]))
