"""Tests of text normalisation, the tokens of captions and the way back."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from model.text import detokenise, normalise, tokenise

EXAMPLES = {
    "": "",
    "   \t\n": "",
    " . ,!?": "",
    "A dog runs .": "a dog runs",
    "Two  dogs,one brown;play!": "two dogs one brown play",
    "The dog's tail": "the dog 's tail",
    "the dog\u2019s tail, the cat`s": "the dog 's tail the cat 's",
    "a well-known t-shirt": "a well-known t-shirt",
    "dogs - and -- cats-": "dogs and cats",
    "the 'quoted' word": "the quoted word",
    "the 'dog's' bone": "the dog 's bone",
    '"quoted" \u201cwords\u201d': "quoted words",
    "don't can\u2019t": "don't can't",
    "the boys' ball": "the boys ball",
    "player 42 of 3.5": "player 42 of 3 5",
    "Ein M\u00e4dchen \u00dcBER der Stra\u00dfe": "ein m\u00e4dchen \u00fcber der stra\u00dfe",
    "\u0414\u0412\u0415 \u0441\u043e\u0431\u0430\u043a\u0438": (
        "\u0434\u0432\u0435 \u0441\u043e\u0431\u0430\u043a\u0438"
    ),
    "cafe\u0301 a_b": "cafe\u0301 a b",
    "man's.": "man 's",
    "'s": "'s",
    "-'-": "",
    "it's-": "it 's",
    "a's's": "a 's",
}
# Control characters come from no caption, and one of them is used within.
PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)
TRICKY = st.text(st.sampled_from("aBs'\u2019-. 1\u00fc`"), max_size=12)


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
    assert not any(mark in text for mark in '.,;:!?"\x02\u2019')


@given(st.lists(st.one_of(PRINTABLE, TRICKY), max_size=5))
def test_each_caption_of_a_batch_is_normalised_as_if_alone(captions: list[str]) -> None:
    texts = normalise(tf.constant(captions, tf.string)).numpy()
    assert [text.decode() for text in texts] == [one(caption) for caption in captions]


def test_graphs_and_pipelines_normalise_as_eager_code_does() -> None:
    captions = tf.constant(list(EXAMPLES))
    eager = normalise(captions).numpy().tolist()
    assert tf.function(normalise)(captions).numpy().tolist() == eager
    dataset = tf.data.Dataset.from_tensor_slices(captions).map(normalise)
    assert list(dataset.as_numpy_iterator()) == eager


def test_tokens_are_ragged_and_none_for_an_empty_caption() -> None:
    tokens = tokenise(tf.constant(["A dog's bone", "", "Rain."]))
    assert tokens.to_list() == [[b"a", b"dog", b"'s", b"bone"], [], [b"rain"]]


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


def test_detokenising_takes_beams_of_captions() -> None:
    tokens = tf.ragged.constant([[["a"], ["a", "b"]], [[], ["c", "'s"]]], dtype=tf.string)
    assert detokenise(tokens).numpy().tolist() == [[b"a", b"a b"], [b"", b"c's"]]


@given(st.one_of(PRINTABLE, TRICKY))
def test_a_caption_read_back_has_the_same_tokens(caption: str) -> None:
    tokens = tokenise(tf.constant([caption]))
    assert tokenise(detokenise(tokens)).to_list() == tokens.to_list()
