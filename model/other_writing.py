"""References of other languages as `model.text` has them, where tokenisers for English have not.

The Penn Treebank's rules know the marks of English. Of other writing they would count as words, or
leave inside them, what no caption made here has: a full stop of Chinese, a typographic apostrophe
(``l\u2019eau``), accents apart from their letters. What English captions have is left as it is, so
that their figures compare with published ones.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import tensorflow as tf

from model.text import separate

# Marks of writing direction, and what forbids a break within a word.
_INVISIBLE: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\u2060\ufeff]")
_HYPHEN: Final = re.compile("[\u2010\u2011]")
# Of other widths, and in the styles that social media write in: bold, italic, script.
_STYLED: Final = re.compile("[\uff00-\uffef\U0001d400-\U0001d7ff]+")
# The Treebank's rules tell contractions of English ("don\u2019t") themselves.
_APOSTROPHE: Final = re.compile(
    r"(?<=[^\W\d_])(?:[\u02bc\u00b4]|\u2019(?!(?:s|t|m|d|ll|re|ve)(?!\w)))(?=[^\W\d_])",
    re.IGNORECASE,
)
# Geresh and gershayim stand inside words of Hebrew; the rest, the Treebank's rules know.
_KEPT: Final = frozenset("\u05f3\u05f4\u00ab\u00bb") | (
    frozenset(map(chr, range(0x2010, 0x205F))) - frozenset("\u201a\u201e")
)


def adapt(captions: Sequence[str]) -> list[str]:
    """Captions in one Unicode form, with spaces where `model.text` separates words.

    Letters are composed with their accents (NFC) and of usual width; hyphens, and apostrophes
    inside words, are plain; punctuation that English has not is a space; Han and Kana have spaces
    around them.

    Example: ``["\u72ac\u304c\uff8e\uff9e\uff70\uff99\u3067\u904a\u3076\u3002", "l\u2019eau"]``
    gives ``[" \u72ac  \u304c  \u30dc\u30fc\u30eb  \u3067  \u904a  \u3076  ", "l'eau"]``.
    """
    adapted = [text if text.isascii() else _adapt(text) for text in captions]
    return [text.decode() for text in separate(tf.constant(adapted, tf.string)).numpy()]


def _adapt(text: str) -> str:
    text = _HYPHEN.sub("-", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    text = "".join(" " if _separates(character) else character for character in text)
    text = _STYLED.sub(lambda run: unicodedata.normalize("NFKC", run.group()), text)
    return _APOSTROPHE.sub("'", text)


def _separates(character: str) -> bool:
    """Whether it is punctuation, and none of English."""
    if character.isascii() or character in _KEPT:
        return False
    return unicodedata.category(character)[0] == "P"
