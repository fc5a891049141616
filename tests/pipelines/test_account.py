"""Tests of a run's account: the sum holds or it is a defect, and a person is told all of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from pipeline_builders import bundle_config

from pipelines.account import Account, Outcome, Unlisted, forecast, run_record, summary
from pipelines.caption_config import CaptionConfig
from pipelines.ledger import Ledger
from pipelines.sources import SkippedFiles
from pipelines.units import Remaining


def test_an_account_that_does_not_add_up_is_a_defect() -> None:
    Account(10, already_done=4, captioned=5, rejected=1, reasons={}).check()
    for inputs in (9, 11):
        with pytest.raises(RuntimeError, match=f"got {inputs} images, but 10 rows"):
            Account(inputs, already_done=4, captioned=5, rejected=1, reasons={}).check()


def test_the_share_of_rejects_is_that_of_the_run_or_of_all_inputs() -> None:
    account = Account(1000, already_done=990, captioned=8, rejected=2, reasons=Counter())
    assert account.exceeds(0.19)
    assert not account.exceeds(0.2)
    assert not Account(5, already_done=5, captioned=0, rejected=0, reasons={}).exceeds(0.0)
    # To run again is no way to success.
    # A bad picture that is tried in every run is all that a rerun of a thousand has to do.
    retried = Account(1000, 999, 0, 1, {}, retried=1, rejected_again=1)
    assert not retried.exceeds(0.1)
    assert retried.exceeds(0.0)
    mixed = Account(1000, 990, 7, 3, {}, retried=1, rejected_again=1)
    assert mixed.exceeds(0.2)
    assert not mixed.exceeds(0.25)
    # Those that can be read at last do not make up for new ones that cannot.
    mended = Account(1000, 980, 10, 10, {}, retried=10, rejected_again=0)
    assert mended.exceeds(0.99)
    again = Account(10, 10, 0, 0, {}, already_rejected=3)
    assert again.exceeds(0.29)
    assert not again.exceeds(0.3)


def test_the_summary_adds_up() -> None:
    account = Account(10, 4, 4, 2, {"truncated": 1, "empty": 1})
    stages = {"read": 0.006, "decode": 0.6, "caption": 0.0}
    outcome = Outcome(account, SkippedFiles(Counter({".txt": 3})), stages)
    lines = list(summary(outcome, "/captions", 2.0))
    assert lines[:3] == [
        "10 images = 4 already done + 4 captioned + 2 rejected",
        "  rejected: empty 1",
        "  rejected: truncated 1",
    ]
    assert "  files of the folders that are no pictures: 3 (.txt: 3)" in lines
    assert lines[-1] == "captions in /captions"
    assert "Nothing to do" not in "".join(lines)
    assert "  6 images in 2.0 s, start-up and listing included: 3.0 images/s" in lines
    assert "  read         1.00 ms an image     1000.0 images/s a thread" in lines
    assert "  caption      0.00 ms an image          - images/s a thread" in lines
    done = Outcome(Account(4, 4, 0, 0, {}), SkippedFiles(), {})
    assert "Nothing to do" in "".join(summary(done, "/captions", 2.0))
    assert "rejected before" not in "".join(summary(done, "/captions", 2.0))
    rejected = Outcome(Account(4, 4, 0, 0, {}, already_rejected=2), SkippedFiles(), {})
    assert "rejected before, of those already done: 2 (" in "".join(summary(rejected, "/c", 2.0))


def test_the_record_tells_the_inputs_wherever_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = CaptionConfig("/bundle", ("a.tar", "gs/../b/"), "/captions", 8, 3, 0.0)
    outcome = Outcome(Account(4, 4, 0, 0, {}), SkippedFiles(), {}, Unlisted(7))
    record = json.loads(run_record(config, bundle_config(), outcome, 2.04))
    assert record["config"]["inputs"] == [f"{tmp_path}/a.tar", f"{tmp_path}/b"]
    assert (record["unlisted_rows"], record["duration_sec"]) == (7, 2.0)


def test_a_forecast_tells_what_would_be_done() -> None:
    tars = Counter({f"/{i}.tar": i for i in range(1, 31)})
    remaining = Remaining([], Ledger([], None, []), inputs=1000, changed=2, retried_uris=set("abc"))
    remaining.by_container = Counter({None: 35}) + tars
    lines = list(forecast(remaining, 120, SkippedFiles(), Unlisted(), "/captions"))
    assert lines[:5] == [
        "Dry run: nothing is written.",
        "1000 images = 500 already done + 500 to do",
        "  2 of them again: changed",
        "  3 of them again: rejected before",
        "  units of up to 120 images: 5",
    ]
    assert lines[5:7] == ["  to do in files of their own: 35", "  to do in /30.tar: 30"]
    assert lines[-3] == f"  to do in 11 other containers: {sum(range(1, 12))}"
    assert lines[-1] == "captions would go to /captions"


def test_rows_of_pictures_that_are_not_listed_are_told_if_there_are_any() -> None:
    assert not list(Unlisted(0, to_remove=True).lines("were removed"))
    row = "  rows of pictures that these inputs do not list: 7"
    stay, go = Unlisted(7), Unlisted(7, to_remove=True)
    assert (stay.removed, go.removed) == (0, 7)
    told = f"{row} (they stay; --remove-unlisted removes them)"
    done = Outcome(Account(4, 4, 0, 0, {}), SkippedFiles(), {}, stay)
    assert told in summary(done, "/captions", 2.0)
    gone = Outcome(Account(4, 4, 0, 0, {}), SkippedFiles(), {}, go)
    assert f"{row} (they were removed)" in summary(gone, "/captions", 2.0)
    remaining = Remaining([], Ledger([], None, []), inputs=4)
    assert told in forecast(remaining, 100, SkippedFiles(), stay, "/captions")
    told = f"{row} (they would be removed)"
    assert told in forecast(remaining, 100, SkippedFiles(), go, "/captions")


def test_archives_that_were_passed_over_are_told_wherever_files_are() -> None:
    skipped = SkippedFiles()
    for name in ("/a/0.tar", "/a/1.tar", "/a/2.tar"):
        skipped.count(name, is_archive=True)
    skipped.count("/a/notes.txt")
    told = list(skipped.lines())
    assert len(told) == 2
    done = Outcome(Account(4, 4, 0, 0, {}), skipped, {})
    assert list(summary(done, "/captions", 2.0))[-3:-1] == told
    remaining = Remaining([], Ledger([], None, []), inputs=4)
    assert list(forecast(remaining, 100, skipped, Unlisted(), "/captions"))[-3:-1] == told
