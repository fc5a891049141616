"""Tests of the signals that end a command: each is an interruption, whoever sends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import builders
import pytest

from model.signals import ENDING, Interruptions

ROOT = Path(__file__).resolve().parents[2]
_COMMAND = """
import argparse, sys, time
from model.command import run_command

def run(options):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

sys.exit(run_command(argparse.ArgumentParser(prog="captioner test"), run, []))
"""


def start(code: str, **options: object) -> subprocess.Popen:
    line = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        line,
        stdout=pipe,
        stderr=pipe,
        text=True,
        cwd=ROOT,
        preexec_fn=builders.heed_signals,
        **options,
    )


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_a_command_that_a_system_ends_cleans_up_and_says_so(
    number: signal.Signals, status: int, told: str
) -> None:
    with start(_COMMAND) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, "cleaned up\n")
    assert errors == f"captioner test: {told}; run the same command again to go on\n"


def test_a_terminal_that_is_closed_is_told_nothing() -> None:
    ours, terminal = os.openpty()
    code = """
import argparse, os, signal, time
from model.command import run_command

def run(options):
    while os.isatty(2):
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGHUP)

# As the console's command ends: Python's own end would fail where nothing can be told.
os._exit(run_command(argparse.ArgumentParser(), run, []))
"""
    # Its signals are its own: no terminal sends it one.
    line = [sys.executable, "-c", code]
    process = subprocess.Popen(line, stderr=terminal, cwd=ROOT, preexec_fn=builders.heed_signals)
    os.close(terminal)
    os.close(ours)
    assert process.wait(60) == 128 + signal.SIGHUP


def test_what_is_ignored_stays_so() -> None:
    """As after ``nohup``."""
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruptions() as interruptions:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            assert interruptions.last is signal.SIGINT
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_signals_are_handled_as_before_once_it_is_over() -> None:
    before, hook = [signal.getsignal(number) for number in ENDING], sys.unraisablehook
    with Interruptions():
        assert [signal.getsignal(number) for number in ENDING] != before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert ([signal.getsignal(number) for number in ENDING], sys.unraisablehook) == (before, hook)


class _Whatever:
    """An object that is interrupted while it is taken apart."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)


def test_a_signal_that_is_lost_in_a_destructor_comes_again() -> None:
    with Interruptions() as interruptions:
        whatever = _Whatever()
        del whatever
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(30)
    assert interruptions.last is signal.SIGTERM


def test_other_exceptions_of_destructors_are_told_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Failing:
        def __del__(self) -> None:
            raise ValueError

    with Interruptions():
        failing = Failing()
        del failing
    assert len(told) == 1


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def run() -> None:
        with Interruptions():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [before]
