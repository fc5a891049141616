"""Tests of text normalisation, the tokens of captions and the way back."""

from __future__ import annotations

import re

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from model.text import Joints, detokenise, has_word, normalise, tokenise

EXAMPLES = {
    "": "",
    "   \t\n": "",
    " . ,!?": "",
    "A dog runs .": "a dog runs",
    "Two  dogs,one brown;play!": "two dogs one brown play",
    "The dog's tail": "the dog 's tail",
    "the dog\u2019s tail, the cat`s": "the dog 's tail the cat 's",
    "the dog\u2018s tail, a cat\u00b4s": "the dog 's tail a cat 's",
    "a well-known t-shirt": "a well-known t-shirt",
    "dogs - and -- cats-": "dogs and cats",
    "the 'quoted' word": "the quoted word",
    "the 'dog's' bone": "the dog 's bone",
    '"quoted" \u201cwords\u201d': "quoted words",
    "don't can\u2019t": "don't can't",
    "the boys' ball": "the boys ball",
    "player 42 of 3.5, or 1,000.25. 7, 8": "player 42 of 3.5 or 1,000.25 7 8",
    "version 1.2.3": "version 1.2.3",
    "Ein M\u00e4dchen \u00dcBER der Stra\u00dfe": "ein m\u00e4dchen \u00fcber der stra\u00dfe",
    "\u0414\u0412\u0415 \u0441\u043e\u0431\u0430\u043a\u0438": (
        "\u0434\u0432\u0435 \u0441\u043e\u0431\u0430\u043a\u0438"
    ),
    "cafe\u0301 a_b": "caf\u00e9 a b",
    "\uff21 \ufb01re \u2460": "a fire 1",
    "I \u2764\ufe0f dogs, \U0001f468\u200d\U0001f469\u200d\U0001f467 too": "i dogs too",
    "\u2764\ufe0f": "",
    "a \u0301b \u200cc\u200d": "a b c",
    # Chinese: two dogs running on the grass, 3 of them.
    "\u4e24\u53ea\u72d7\u5728\u8349\u5730\u4e0a\u8dd1\u30023 \u53ea": (
        "\u4e24 \u53ea \u72d7 \u5728 \u8349 \u5730 \u4e0a \u8dd1 3 \u53ea"
    ),
    # Japanese: a dog plays with a ball (half-width Katakana, with the lengthening mark).
    "\u72ac\u304c\uff8e\uff9e\uff70\uff99\u3067\u904a\u3076": (
        "\u72ac \u304c \u30dc\u30fc\u30eb \u3067 \u904a \u3076"
    ),
    # Korean, as decomposed syllables: spaces make the words.
    "\u1100\u1162\u1100\u1161 \u1104\u1171\u11ab\u1103\u1161.": "\uac1c\uac00 \ub6f4\ub2e4",
    # Arabic with vowel marks and a direction mark; Persian with its non-joiner; Hebrew geresh and
    # gershayim; marks of direction within words.
    "\u200f\u0643\u064e\u0644\u0652\u0628\u060c \u064a\u062c\u0631\u064a": (
        "\u0643\u064e\u0644\u0652\u0628 \u064a\u062c\u0631\u064a"
    ),
    "\u0645\u06cc\u200c\u062f\u0648\u062f": "\u0645\u06cc\u200c\u062f\u0648\u062f",
    "\u05e6\u05f3\u05d9\u05e4\u05e1": "\u05e6\u05f3\u05d9\u05e4\u05e1",
    "\u05e6\u05d4\u05f4\u05dc": "\u05e6\u05d4\u05f4\u05dc",
    # As word processors and web pages have long words of German, and hyphens that keep a line.
    "Donau\u00addampf\u00adschiff zu\u2060sam\ufeffmen": "donaudampfschiff zusammen",
    "K\u00f6ln\u2011M\u00fclheim, well\u2010known": "k\u00f6ln-m\u00fclheim well-known",
    "4\u00bd in. by \u215e": "4 1 2 in by 7 8",
    "4\u00bc 4\u2150 4\u215f8 4\u2189": "4 1 4 4 1 7 4 1 8 4 0 3",
    "wo\u200erd\u061cs \u2066one\u2069": "words one",
    "man's.": "man 's",
    "'s": "'s",
    "-'-": "",
    "it's-": "it 's",
    "a's's": "a 's",
}
# Control characters come from no caption, and one of them is used within.
PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)
TRICKY = st.text(
    st.sampled_from("aBs'\u2019-., 12\u00fc`\u72ac\u304c\u30dc\u30fc\u30eb\uac1c"), max_size=14
)


def one(caption: str) -> str:
    return normalise([caption])[0].numpy().decode()


@pytest.mark.parametrize("caption", EXAMPLES)
def test_normalised_examples(caption: str) -> None:
    assert one(caption) == EXAMPLES[caption]


@settings(max_examples=150)
@given(st.one_of(PRINTABLE, TRICKY))
def test_normalising_again_changes_nothing(caption: str) -> None:
    assert one(one(caption)) == one(caption)


@given(st.one_of(PRINTABLE, TRICKY))
def test_normalised_text_has_single_inner_spaces_only(caption: str) -> None:
    text = one(caption)
    assert text == text.strip(" ")
    assert "  " not in text
    assert not any(mark in text for mark in ';:!?"\x02\x03\x04\u2019')
    assert not re.search(r"[.,](?!\w)|(?<!\w)[.,]", text)


@given(st.lists(st.one_of(PRINTABLE, TRICKY), max_size=5))
def test_each_caption_of_a_batch_is_normalised_as_if_alone(captions: list[str]) -> None:
    texts = normalise(tf.constant(captions, tf.string)).numpy()
    assert [text.decode() for text in texts] == [one(caption) for caption in captions]


def test_case_is_kept_when_asked() -> None:
    text = normalise(["The Dog'S Tail in M\u00dcNCHEN"], lower_case=False)
    assert text[0].numpy().decode() == "The Dog 's Tail in M\u00dcNCHEN"


def test_graphs_and_pipelines_normalise_as_eager_code_does() -> None:
    captions = tf.constant(list(EXAMPLES))
    eager = normalise(captions).numpy().tolist()
    assert tf.function(normalise)(captions).numpy().tolist() == eager
    dataset = tf.data.Dataset.from_tensor_slices(captions).map(normalise)
    assert list(dataset.as_numpy_iterator()) == eager


def test_tokens_are_ragged_and_none_for_an_empty_caption() -> None:
    tokens = tokenise(tf.constant(["A dog's bone", "", "Rain."]))
    assert tokens.to_list() == [[b"a", b"dog", b"'s", b"bone"], [], [b"rain"]]


# Captions files hold no NUL.
_LETTERS = st.characters(codec="utf-8", exclude_characters="\0")


@given(st.lists(st.text(_LETTERS, max_size=8), max_size=30))
@settings(deadline=None)
def test_a_caption_has_a_word_if_it_has_a_token(captions: list[str]) -> None:
    captions += [
        "",
        "'s",
        "- '",
        "\u0301",
        "\u2122",
        "\uff9e",
        "\u30fc",
        "3.5",
        "...",
        "\u05f3",
        "\u02bc",
        "\U00031350",  # a Han character of Unicode 15
        "\u0378",  # no character at all
    ]
    tokens = tokenise(tf.constant(captions)).row_lengths().numpy()
    assert [has_word(caption) for caption in captions] == (tokens > 0).tolist()


def test_detokenising_joins_words_and_closes_the_possessive_up() -> None:
    tokens = tf.ragged.constant(
        [["the", "dog", "'s", "bone"], ["a", "man", "'s"], []], dtype="string"
    )
    assert detokenise(tokens).numpy().tolist() == [b"the dog's bone", b"a man's", b""]


def test_detokenising_leaves_other_apostrophes_alone() -> None:
    assert detokenise(tf.constant([["a", "'sit"], ["it's", "so"]])).numpy().tolist() == [
        b"a 'sit",
        b"it's so",
    ]


def test_detokenising_puts_no_space_where_the_script_has_none() -> None:
    for caption in (
        "\u4e24\u53ea\u72d7\u8dd1",
        "\u72ac\u304c\u30dc\u30fc\u30eb\u3067\u904a\u3076",
        "\uac1c\uac00 \ub6f4\ub2e4",
    ):
        assert detokenise(tokenise([caption]))[0].numpy().decode() == caption


def test_detokenising_takes_beams_of_captions() -> None:
    tokens = tf.ragged.constant([[["a"], ["a", "b"]], [[], ["c", "'s"]]], dtype=tf.string)
    assert detokenise(tokens).numpy().tolist() == [[b"a", b"a b"], [b"", b"c's"]]


@given(st.one_of(PRINTABLE, TRICKY))
def test_a_caption_read_back_has_the_same_tokens(caption: str) -> None:
    tokens = tokenise(tf.constant([caption]))
    assert tokenise(detokenise(tokens)).to_list() == tokens.to_list()


TOKENS = [
    "dog",
    "'s",
    "犬",
    "走る",
    "カタカナ",
    "ー",
    "が\u3099",
    "3.5",
    "Tシャツ",
    "犬カ",
    "カ犬",
    "개가",
]


@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8))
def test_joints_tell_where_captions_have_no_space(tokens: list[str]) -> None:
    # Of two possessives the second keeps its space, which no caption ever needs.
    tokens = [token for i, token in enumerate(tokens) if tokens[i - 1 : i + 1] != ["'s", "'s"]]
    token_ids = [TOKENS.index(token) for token in tokens]
    joined = Joints.of(tf.constant(TOKENS)).joined(tf.constant(token_ids)).numpy()
    text = tokens[0]
    for token, is_joined in zip(tokens[1:], joined[1:], strict=True):
        text += token if is_joined else f" {token}"
    assert text == detokenise(tf.ragged.constant([tokens]))[0].numpy().decode()
