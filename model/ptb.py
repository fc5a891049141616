"""A Penn Treebank tokeniser for captions, in pure Python.

The usual caption measures are computed over the tokens of Stanford CoreNLP 3.4.1's ``PTBTokenizer``
(``-preserveLines -lowerCase``) less a list of punctuation marks. That program needs Java. This
module follows the same rules, as far as captions use them, on machines that have none: the rules
are those of the Penn Treebank (Marcus et al., "Building a Large Annotated Corpus of English",
Computational Linguistics 19(2), 1993), and its agreement with the Java program was measured rather
than assumed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Round brackets and the like are written by name and, being lower-cased, escape the published
# punctuation list ("-LRB-"). The published figures hold them, so they are kept here too.
_RENAMED: Final = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    " ": "\xa0",  # a token with a blank inside ("1 1/2") holds a no-break space
    "\N{CENT SIGN}": "cents",
    "\N{POUND SIGN}": "#",
    "\N{EURO SIGN}": "$",
    "\u00bd": "1/2",
    "\u00bc": "1/4",
    "\u00be": "3/4",
    "\u2153": "1/3",
    "\u2154": "2/3",
}
_PUNCTUATION: Final = frozenset(
    ["'", "''", "\u2019", '"', "`", "``", ".", "?", "!", ",", ":", ";", "-"]
)

# Typeset marks become their plain forms; the ' of a contraction is plain only once recognised.
_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2018\u201b\u2039", "`"),
        **dict.fromkeys("\u2013\u2014\u2015", " -- "),
        "\u203a": "'",
        "\u2026": " ... ",
        "\u00ad": "",
        **dict.fromkeys("\u200b\u200c\u200d", " "),
        "\xa0": " ",
    }
)
_ENTITIES: Final = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&nbsp;": " ",
    "&amp;": "&",  # last, so that "&amp;lt;" is decoded once
}

_TITLES = "dr mr mrs ms messrs mme mlle prof rev hon pres gov sen rep gen lt col cpl sgt capt maj"
_PLACES = "st ste mt ft ave blvd rd ct sq bldg wash calif tex fla"
_STATES = "ala ariz ark colo conn ga ill ind la mass mich minn okla ore pa penn tenn va vt wis"
_DATES = "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri"
_OTHERS = r"jr sr bros co corp inc ltd dept univ assn est etc vs al cf ph\.d"
_ABBREVIATION: Final = "|".join(f"{_TITLES} {_PLACES} {_STATES} {_DATES} {_OTHERS}".split())
# After one letter and a full stop, these words show that a sentence ended: "vitamin C. The ..."
_STARTER: Final = (
    "A|About|After|An|As|At|But|He|Her|Here|If|In|It|Last|Many|More|Now|Once|One|Other|Our|She|"
    "Since|So|Some|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)

# Superscripts and vulgar fractions count as word characters for `re`, but not for the Treebank.
_NOT_WORD: Final = r"\W_\u00b2\u00b3\u00bc-\u00be\u2153\u2154"
# Accents and vowel signs belong to the letter before them; `re` counts them as no word characters.
_MARKS: Final = "".join(
    character
    for character in map(chr, range(0x300, 0xFE00))
    if unicodedata.category(character)[0] == "M"
)
_LETTER: Final = rf"(?:[^\d{_NOT_WORD}][{_MARKS}]*)"
_ALNUM: Final = rf"(?:\d|{_LETTER})+"
_WORD: Final = rf"{_LETTER}(?:{_ALNUM})?(?:[.!?]{_LETTER}(?:{_ALNUM})?)*"
_ACRONYM: Final = r"(?:[a-z]\.){2,}(?![a-z])"
_HEAD: Final = rf"(?:{_ACRONYM}|{_WORD}|\d+(?:[.,]\d+)*(?=[-_.])|{_ALNUM})"
_PLAIN_COMPOUND: Final = r"[a-z0-9]+(?:[-_][a-z0-9]+)*"
_CLITIC: Final = r"['\u2019](?:s|m|d|ll|re|ve)(?![^\W_])"

# Tried in this order at each place; where two match, the first wins, so the longer come first.
_RULES: Final = (
    # Mark-up, addresses, handles, smileys.
    r"</?[a-z!][^<>]*>",
    r"&(?:\#\d+|[a-z]+);",
    r"https?://[\w.-]*\w(?:[/?=&%\w.-]*\w)?",
    r"[\w.+-]{0,63}\w@\w+(?:[.-]\w+)*",
    r"(?:[\w-]+\.){1,4}(?:com|net|org|edu)(?:/[\w/.-]*\w)?(?!\w)",
    r"@[a-z_]\w*|\#[a-z]+",
    r">?[:;=]['-]?[()dp](?!\w)",
    # Contractions: do n't, can not, gon na, got ta, wan na, lem me, gim me, 't is, y' all.
    rf"(?:{_ALNUM})?[^\W\d_n](?=n['\u2019`]t)|n['\u2019`]t[a-z]*",
    r"can(?=not(?![\w-]))",
    r"(?:gon|wan)(?=na(?![\w'-]))|got(?=ta(?![\w'-]))|(?:lem|gim)(?=me(?![\w'-]))",
    r"'t(?=(?:is|was)\b)|y['\u2019](?=all\b)",
    # Words with an apostrophe of their own: o'clock, O'Brien, ma'am, 'em, rock 'n' roll, '90s.
    rf"[dlno](?!{_CLITIC})['\u2019]{_LETTER}{{2,}}|[djl](?!{_CLITIC})'",
    r"(?:ma['\u2019]am|li['\u2019]l|nat['\u2019]l|cap['\u2019]n|c'mon|s'mores|n?e'er|qu'il)\b",
    r"(?:hallowe'en|hawai['\u2019`]i)\b|\bol['\u2019](?!\w)",
    r"['\u2019]n['\u2019]|['\u2019](?:n|em|til|cause)(?!\w)",
    r"['\u2019]\d\ds?(?![\w\"-]|'['\w])",
    rf"(?P<clitic>{_CLITIC})",
    # Telephone numbers and mixed fractions, which hold a blank.
    r"\(\d{3}\)[ ]?\d{3}[- ]\d{4}|\d+[ ]\d{1,3}/\d{1,3}(?![\w/])",
    # A stop before a comma did not end the sentence, so it belongs to the word.
    rf"(?:{_WORD}|{_ALNUM})(?:[-_]{_ALNUM})*\.(?=[,;:])",
    # Slashed, then hyphenated words.
    rf"{_PLAIN_COMPOUND}(?:/{_PLAIN_COMPOUND}){{1,2}}(?![^\W_])",
    rf"{_HEAD}(?:\.?[-_](?:{_ACRONYM}|{_ALNUM}))+",
    # Full stops that belong to the word.
    rf"[a-z](?=\.\s+(?-i:{_STARTER})\b)",
    rf"(?:[a-z]\.)+(?!{_LETTER})|(?:{_ABBREVIATION})\.(?!{_LETTER})",
    r"(?:nos?|figs?|pp|art|ext|rt|ph|ca)\.(?=\s?\d)",
    # Money, numbers, words.
    r"(?-i:[A-Z]{1,2}\$|[A-Z]+&[A-Z]+)|c\+\+|[cf]\#",
    r"[-+]?[.,:]?\d+(?:[.,:]\d+)+|[-+.,:]\d+",
    rf"{_WORD}|{_ALNUM}",
    # Runs of a mark, then any mark alone.
    r"-{2,}|\.{3,}",
    r"[?!]+|\*+|_+|\#+|<<|>>|''|``",
    r"\S",
)
_TOKEN: Final = re.compile("|".join(_RULES), re.IGNORECASE)
_BRACKET_OR_BLANK: Final = re.compile("|".join(map(re.escape, _RENAMED)))


def tokenise(caption: str) -> list[str]:
    """Split a caption into lower-case Penn Treebank tokens, without its punctuation.

    Args:
        caption: One caption; line breaks in it count as blanks.

    Returns:
        The tokens in order; none for a caption of blanks or punctuation alone.
    """
    text = caption.translate(_PLAIN)
    for entity, mark in _ENTITIES.items():
        text = text.replace(entity, mark)
    tokens = []
    for match in _TOKEN.finditer(" ".join(text.split())):
        token = match.group()
        # Runs of dots and dashes are punctuation whatever their length; signs outside the Basic
        # Multilingual Plane (most emoji) are unknown to the Java program, which drops them.
        if token in _PUNCTUATION or not token.strip("-") or not token.strip("."):
            continue
        if len(token) == 1 and ord(token) > 0xFFFF:
            continue
        if match.lastgroup == "clitic" or token[:2].lower() == "n\u2019":
            token = token.replace("\u2019", "'")
        tokens.append(_BRACKET_OR_BLANK.sub(lambda m: _RENAMED[m.group()], token).lower())
    return tokens
