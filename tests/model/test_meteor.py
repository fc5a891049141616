"""Tests of METEOR: its formula against what the program answered, the program where Java is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pycocoevalcap.meteor.meteor as wrapper
import pytest

from model import meteor as module
from model.java import JavaError
from model.meteor import meteor

TRUTH = {
    "dog": ["a black dog runs through the snow", "the dog is running in deep snow"],
    "cat": ["a cat sleeps on a red sofa"],
    "bus": ["a yellow school bus is parked by the road"],
    "surf": ["a surfer rides a big wave", "", "||| a wave"],
    "boat": ["a boat"],
}
GUESS = {
    "dog": ["a dog is running through the snow"],
    "cat": ["a cat sleeps on a red sofa"],
    "bus": ["coaches waiting near street"],
    "surf": ["nothing |||"],
    "boat": [""],
}
# What METEOR 1.5 answered to SCORE for these, and then to EVAL: of each, and of all together.
STATISTICS = """\
7 7 3 2 3 3 2 2 0 0 0 0 0 0 0 0 0 1 1 0 3 6 6
7 7 3 3 4 4 3 3 0 0 0 0 0 0 0 0 0 0 0 0 1 7 7
4 9 0 4 0 0 0 0 0 0 0 0 1 1 0 0 1 1 0 0 2 2 2
1 6 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
0 2 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""
BY_IMAGE = [0.36108538548556607, 1.0, 0.0935933147632312, 0.0, 0.0]
ALL = 0.25261357682255414


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    """Has the program answer so; returns the list that its input goes to."""
    asked: list[str] = []
    monkeypatch.setattr(module, "run_java", lambda _, text, seconds: asked.append(text) or answer)
    return asked


def test_scores_follow_from_statistics_as_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, STATISTICS)
    found = meteor(TRUTH, GUESS)
    assert [row["meteor"] for row in found.by_image()] == pytest.approx(BY_IMAGE, abs=1e-12)
    assert found.scores() == {"meteor": pytest.approx(ALL, abs=1e-12)}
    assert np.mean(BY_IMAGE) != pytest.approx(ALL, abs=1e-2)  # it is no mean
    dog, *_, boat = asked[0].splitlines()
    assert dog == "SCORE ||| " + " ||| ".join([*TRUTH["dog"], *GUESS["dog"]])
    assert boat == "SCORE ||| a boat ||| "


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", r"statistics of shape \(0,\), expected \(5, 23\)"),
        (STATISTICS.replace("7 7 3 3", "7 7 3"), "answered no statistics"),
        (STATISTICS.replace("7 7 3 3", "7 7 3 oops"), "answered no statistics: '7 7 3 2"),
        ("\n".join(STATISTICS.splitlines()[:-1]), r"shape \(4, 23\), expected \(5, 23\)"),
    ],
)
def test_an_answer_that_is_not_as_expected_is_no_score(
    monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    answer_with(monkeypatch, answer)
    with pytest.raises(JavaError, match=message):
        meteor(TRUTH, GUESS)


def test_the_program_answers_as_it_did_and_writes_nothing_beside_itself() -> None:
    if shutil.which("java") is None:
        pytest.skip("no java on this machine")
    folder = Path(wrapper.__file__).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    found = meteor(TRUTH, GUESS)
    assert [row["meteor"] for row in found.by_image()] == pytest.approx(BY_IMAGE, abs=1e-12)
    assert found.scores() == {"meteor": pytest.approx(ALL, abs=1e-12)}
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before
