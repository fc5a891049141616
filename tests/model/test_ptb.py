"""Tests of the Penn Treebank tokeniser, some against the Java program it stands in for."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import ptb
from model.tokenisers import tokenise_in_java

# Written for this test; the tokens are what the Java program gives.
GOLDEN = {
    "A dog runs.": "a dog runs",
    "Two dogs , one brown , play .": "two dogs one brown play",
    "The dog doesn't see the cat's tail.": "the dog does n't see the cat 's tail",
    "They're sure he'll say I'm late; we've left": "they 're sure he 'll say i 'm late we 've left",
    "He can\u2019t see it\u2019s raining": "he ca n't see it 's raining",
    "He cannot jump and CAN'T swim": "he can not jump and ca n't swim",
    "She's gonna jump, gotta run, wanna play": "she 's gon na jump got ta run wan na play",
    "'Tis the season, y'all": "'t is the season y' all",
    "the boys' ball and James' bat": "the boys ball and james bat",
    "rock 'n' roll at ten o'clock, ma'am": "rock 'n' roll at ten o'clock ma'am",
    "Mr. O'Brien from the '80s and the 1990's": "mr. o'brien from the '80s and the 1990 's",
    "Dr. Smith of St. Louis, U.S.A.": "dr. smith of st. louis u.s.a.",
    "at 5 p.m. on Main Ave. by a bus stop, etc.": "at 5 p.m. on main ave. by a bus stop etc.",
    "A bottle of vitamin C. The man drinks": "a bottle of vitamin c the man drinks",
    "No. 7 runs; there is no. He stops": "no. 7 runs there is no he stops",
    "a twin-hulled boat - a t-shirt -- red": "a twin-hulled boat a t-shirt red",
    "a U.S.-based 3-year-old and well--known pre- owner": (
        "a u.s.-based 3-year-old and well known pre owner"
    ),
    "red/white/blue and/or he / she w/ hat": "red/white/blue and/or he / she w / hat",
    "1,000 people, 3.5 miles, 10% at 5:30pm, 24/7": "1,000 people 3.5 miles 10 % at 5:30 pm 24/7",
    "1 1/2 cups, 3/4 full, \u00bd empty": "1\xa01/2 cups 3/4 full 1/2 empty",
    "sold for $5.00, \u00a35, \u20ac10, 50\u00a2 or US$9": (
        "sold for $ 5.00 # 5 $ 10 50 cents or us$ 9"
    ),
    "wait... what?! wow!!! really?": "wait what ?! wow !!! really",
    "a sign \"stop\" and 'go' and \u201cslow\u201d": "a sign stop and go and slow",
    "a man (on the left) [sic] {x}": "a man -lrb- on the left -rrb- -lsb- sic -rsb- -lcb- x -rcb-",
    "an AT&T van, R&B, rock & roll, salt&pepper": "an at&t van r&b rock & roll salt & pepper",
    "player #42 and #sunset by @someone": "player # 42 and #sunset by @someone",
    "see www.example.com or a.b@example.org.": "see www.example.com or a.b@example.org",
    "a dog.A cat sits.": "a dog.a cat sits",
    "ready to bat., yes": "ready to bat. yes",
    "a caf\u00e9 in S\u00e3o-Paulo, 90\u00b0F": "a caf\u00e9 in s\u00e3o-paulo 90 \u00b0 f",
    # Marks of Hindi, Arabic and a decomposed umlaut; Persian's non-joiner.
    "\u0915\u0941\u0924\u094d\u0924\u093e \u0643\u064e\u0644\u0652\u0628 Ma\u0308dchen": (
        "\u0915\u0941\u0924\u094d\u0924\u093e \u0643\u064e\u0644\u0652\u0628 ma\u0308dchen"
    ),
    "\u0645\u06cc\u200c\u062f\u0648\u062f": "\u0645\u06cc \u062f\u0648\u062f",
    "man * with_hat = good + fun": "man * with_hat = good + fun",
    "black &amp; white :)": "black & white :-rrb-",
    "": "",
    " . ": "",
}


@pytest.mark.parametrize(("caption", "tokens"), GOLDEN.items())
def test_golden_tokens(caption: str, tokens: str) -> None:
    assert " ".join(ptb.tokenise(caption)) == tokens


def test_agrees_with_java_on_tricky_captions() -> None:
    if shutil.which("java") is None:
        pytest.skip("no java to compare with")
    # The Java program looks past a line's end: a neutral line keeps the captions apart.
    lines = [line for caption in GOLDEN for line in (caption, "zebra")]
    expected = tokenise_in_java(lines)[::2]
    assert [" ".join(ptb.tokenise(caption)) for caption in GOLDEN] == expected


def test_agrees_with_published_tokens(development_data: Path) -> None:
    folder = development_data / "metrics"
    raw = json.loads((folder / "fakecap_refs_1000.json").read_text())
    expected = json.loads((folder / "fakecap_ptb_tokenized.json").read_text())["gts"]
    pairs = [
        (" ".join(ptb.tokenise(caption)), tokens)
        for image, captions in raw.items()
        for caption, tokens in zip(captions, expected[image], strict=True)
    ]
    assert sum(ours == theirs for ours, theirs in pairs) >= 0.999 * len(pairs)


@given(st.text())
def test_tokens_are_lower_case_words(caption: str) -> None:
    for token in ptb.tokenise(caption):
        assert token
        assert token == token.lower()
        assert not any(blank in token for blank in " \n\r\t")
        assert token not in {".", ",", "?", "!", ":", ";", "-", "--", "...", "'", "''", '"', "`"}


@given(st.lists(st.text(alphabet="bdfghkpqz", min_size=2), max_size=8), st.sampled_from("\n\t "))
def test_plain_words_pass_through(words: list[str], blank: str) -> None:
    assert ptb.tokenise(blank.join(words)) == words
    assert ptb.tokenise(blank.join(words).upper() + "!") == words


@pytest.mark.parametrize("unit", ["a.a-", "a@", "a/", "1,", "<a", "a_b.", "n't", "( 1 "])
def test_long_odd_input_takes_linear_time(unit: str) -> None:
    start = time.process_time()
    ptb.tokenise(unit * 20_000)
    # Matching in quadratic time takes the better part of a minute, in linear time under a second.
    assert time.process_time() - start < 10
