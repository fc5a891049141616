"""Captions to tokens and back, as TensorFlow ops: one definition for TFT, training and export.

Rules, in order: lower case; typographic apostrophes made plain; a possessive ``'s`` is a token of
its own; all but letters, marks, digits, apostrophes and hyphens separates tokens; an apostrophe or
hyphen counts only inside a word (save in ``'s``).
"""

import tensorflow as tf


def normalise(captions: tf.Tensor) -> tf.Tensor:
    """Captions (`string[...]`, UTF-8) as their tokens, separated by single spaces."""
    text = tf.strings.lower(captions, encoding="utf-8")
    text = tf.strings.regex_replace(text, "[\u2018\u2019\u02bc`\u00b4]", "'")
    # RE2 has no lookahead: a possessive's apostrophe hides behind \x02 while edges are trimmed.
    # Marks that follow the possessive go with it: they are inside no word.
    text = tf.strings.regex_replace(text, r"'s(?:'s|['\-])*($|[^\p{L}\p{M}\p{N}'\-])", " \x02s\\1")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}'\x02\-]+", " ")
    text = tf.strings.regex_replace(text, r"(^| )['\-]+", r"\1")
    text = tf.strings.regex_replace(text, r"['\-]+( |$)", r"\1")
    text = tf.strings.regex_replace(text, "\x02", "'")
    return tf.strings.strip(tf.strings.regex_replace(text, " +", " "))


def tokenise(captions: tf.Tensor) -> tf.RaggedTensor:
    """Captions `string[N]` to tokens `string[N, (tokens)]`; an empty caption has no tokens."""
    return tf.strings.split(normalise(captions))


def detokenise(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Tokens `string[..., (tokens)]` to captions `string[...]`: words joined, ``'s`` closed up."""
    joined = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
    return tf.strings.regex_replace(joined, r" ('s)(\s|$)", r"\1\2")
