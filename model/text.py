"""Captions to tokens and back, as TensorFlow ops: one definition for TFT, training and export.

Rules:

1. Unicode NFKC: full-width letters, ligatures and composed accents have one form each. A fraction
   after a number is none of its digits.
2. Lower case, unless asked otherwise.
3. Typographic apostrophes and hyphens are made plain; a possessive ``'s`` is a token of its own.
4. All but letters, marks, digits, apostrophes, hyphens and the joiners of Arabic, Persian and
   Hebrew writing separates tokens; soft hyphens and invisible marks of writing direction vanish.
5. Digits stay as they are; a point or comma between digits belongs to the number (``3.5``).
6. An apostrophe, hyphen or joiner counts only inside a word (save in ``'s``), a mark only after a
   letter.
7. Han and Hiragana: every character is a token. Katakana: a run of them is one. Hangul, and every
   script whose writers put spaces between words: what stands between spaces is one.
"""

import unicodedata
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Zero-width (non-)joiner; geresh and gershayim: inside words of right-to-left scripts.
_JOINERS = "\u200c\u200d\u05f3\u05f4"
# Choose the look of an emoji, say whether a line may break within a word (U+200B says it between
# words), or stand in for signs below.
_NO_TEXT = "[\ufe00-\ufe0f\u00ad\u2060\ufeff\x02-\x04]"
_FRACTION = "[\u00bc-\u00be\u2150-\u215f\u2189]"
_DIRECTION_MARKS = "[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]"
# Stand in for a possessive's apostrophe and the signs inside numbers while edges are trimmed.
_APOSTROPHE, _POINT, _COMMA = "\x02", "\x03", "\x04"
_INSIDE = rf"\p{{L}}\p{{M}}\p{{N}}{_JOINERS}"
# The lengthening mark belongs to no script in Unicode, and to Katakana in writing.
_KATAKANA = r"[\p{Katakana}\x{30fc}][\p{Katakana}\x{30fc}\p{M}]*"
_SINGLE = r"[\p{Han}\p{Hiragana}]\p{M}*"


def separate(captions: tf.Tensor) -> tf.Tensor:
    """Captions (`string[...]`, UTF-8) with spaces around what is a token without them by rule 7."""
    return tf.strings.regex_replace(captions, rf"({_SINGLE}|{_KATAKANA})", r" \1 ")


def normalise(captions: tf.Tensor, lower_case: bool = True) -> tf.Tensor:
    """Captions (`string[...]`, UTF-8) as their tokens, separated by single spaces."""
    # Imported here: a bundle has none of its ops, and loads with TensorFlow alone.
    import tensorflow_text

    replace = tf.strings.regex_replace
    text = replace(captions, _NO_TEXT, "")
    text = replace(text, "\u00b4", "'")  # in NFKC it is a space with a mark
    text = replace(text, _FRACTION, r" \0")  # in NFKC the digits of four and a half are 41 and 2
    text = tensorflow_text.normalize_utf8(text, "NFKC")
    if lower_case:
        text = tf.strings.lower(text, encoding="utf-8")
    text = replace(text, "[\u2018\u2019\u02bc`]", "'")
    text = replace(text, "\u2010", "-")  # in NFKC the one that forbids a break is this one, too
    text = replace(text, _DIRECTION_MARKS, "")
    text = separate(text)
    for sign, hidden in ((r"\.", _POINT), (",", _COMMA)):
        for _ in range(2):  # in 1.2.3 the match of 1.2 takes the digit that 2.3 needs
            text = replace(text, rf"(\p{{N}}){sign}(\p{{N}})", rf"\1{hidden}\2")
    # RE2 has no lookahead: a possessive's apostrophe hides while edges are trimmed.
    # Marks that follow the possessive go with it: they are inside no word.
    text = replace(text, rf"'[sS](?:'[sS]|['\-])*($|[^{_INSIDE}'\-])", rf" {_APOSTROPHE}s\1")
    text = replace(text, rf"[^{_INSIDE}'{_APOSTROPHE}{_POINT}{_COMMA}\-]+", " ")
    text = replace(text, rf"(^| )['\-\p{{M}}{_JOINERS}]+", r"\1")
    text = replace(text, r"['\-\x{200c}\x{200d}]+( |$)", r"\1")
    for hidden, sign in ((_APOSTROPHE, "'"), (_POINT, "."), (_COMMA, ",")):
        text = replace(text, hidden, sign)
    return tf.strings.strip(replace(text, " +", " "))


def has_word(caption: str) -> bool:
    """Whether `tokenise` finds a token in `caption`, told in its stead: a letter or digit."""
    normal = unicodedata.normalize("NFKC", caption).replace("\u02bc", "'")
    kinds = {unicodedata.category(character) for character in normal}
    if any(kind[0] in "LN" for kind in kinds):
        return True
    # TensorFlow knows of letters that came after this Python, as some rare Han characters.
    return "Cn" in kinds and bool(tf.size(tokenise(tf.constant([caption])).values))


def tokenise(captions: tf.Tensor, lower_case: bool = True) -> tf.RaggedTensor:
    """Captions `string[N]` to tokens `string[N, (tokens)]`; an empty caption has no tokens."""
    return tf.strings.split(normalise(captions, lower_case))


def detokenise(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Tokens `string[..., (tokens)]` to captions `string[...]`.

    Words are joined by spaces, but for ``'s`` and around the characters that rule 7 takes singly.
    """
    joined = tf.strings.reduce_join(tokens, axis=-1, separator=" ")
    single_first = rf"({_SINGLE}) ({_SINGLE}|{_KATAKANA})"
    # Twice the first: a match takes the character that the next one needs.
    for pattern in (single_first, single_first, rf"({_KATAKANA}) ({_SINGLE})"):
        joined = tf.strings.regex_replace(joined, pattern, r"\1\2")
    return tf.strings.regex_replace(joined, r" ('s)(\s|$)", r"\1\2")


class Joints(NamedTuple):
    """Which tokens `detokenise` joins without a space, of each token of a vocabulary, `bool[V]`.

    It looks at the end of one token and the beginning of the next alone (save that it leaves a
    space between two possessives), so that their kinds tell, without strings.

    Attributes:
        always: joined to any token before.
        after_single: joined to one that ends with a character of rule 7 that is taken singly.
        after_katakana: joined to one that ends with Katakana.
        single_last: ends with a character that is taken singly.
        either_last: ends with such a one, or with Katakana.
    """

    always: np.ndarray
    after_single: np.ndarray
    after_katakana: np.ndarray
    single_last: np.ndarray
    either_last: np.ndarray

    @classmethod
    def of(cls, tokens: tf.Tensor) -> "Joints":
        """The joints of tokens `string[V]`; not in a graph, which then needs no strings."""

        def are_joined(left: tf.Tensor | str, right: tf.Tensor | str) -> np.ndarray:
            pairs = tf.stack([tf.broadcast_to(part, tf.shape(tokens)) for part in (left, right)], 1)
            whole = detokenise(tf.RaggedTensor.from_tensor(pairs))
            return (whole == pairs[:, 0] + pairs[:, 1]).numpy()

        latin, single, katakana = "a", "\u72ac", "\u30ab"
        with tf.init_scope():
            return cls(
                are_joined(latin, tokens),
                are_joined(single, tokens),
                are_joined(katakana, tokens),
                are_joined(tokens, katakana),
                are_joined(tokens, single),
            )

    def joined(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Which tokens `int[..., L]` follow the one before without a space, `bool[..., L]`."""
        before = tf.roll(token_ids, 1, axis=-1)  # before the first: any, for nothing is there
        singly = tf.gather(self.single_last, before) & tf.gather(self.after_single, token_ids)
        run = tf.gather(self.either_last, before) & tf.gather(self.after_katakana, token_ids)
        return tf.gather(self.always, token_ids) | singly | run
