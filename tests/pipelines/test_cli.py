"""Tests of the console command: what it lists, what it refuses, and that help is instant."""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from pipeline_builders import ROOT

from model.errors import CaptionerError
from pipelines import cli

COMMANDS = "preprocess describe train evaluate export caption plan report demo".split()
OURS = {
    "preprocess": ["--captions", "c", "--images", "i", "--output", "o"],
    "caption": ["--bundle", "b", "--input", "i", "--output", "o"],
}
_HELP_OF_ALL = f"""
import contextlib, io, sys
from pipelines.cli import main
for command in {COMMANDS!r}:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main([command, "--help"])
        except SystemExit as end:
            assert end.code == 0, command
    assert "usage: captioner " + command in said.getvalue(), said.getvalue()
    heavy = {{"tensorflow", "keras", "apache_beam", "tensorflow_transform"}} & set(sys.modules)
    assert not heavy, (command, heavy)
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_what_each_option_is(command: str) -> None:
    untold = [a.dest for a in cli._COMMANDS[command].parser()._actions if not a.help]
    assert not untold


def test_the_version_is_that_of_setup_py(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    version = capsys.readouterr().out.removeprefix("captioner ").strip()
    assert f'version="{version}"' in (ROOT / "setup.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'jax'"),
        ValueError("Unable to import backend : jax"),  # as Keras has it of one that is none
    ],
)
def test_a_backend_of_keras_that_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    arguments = ["train", "--dataset=d", "--output=o"]
    with pytest.raises(type(error)):
        cli.main(arguments)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert cli.main(arguments) == 2
    told = f"KERAS_BACKEND: got jax, expected tensorflow ({error}); leave the variable out\n"
    assert capsys.readouterr().err == f"captioner train: error: {told}"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """The options of every command that is run from now on; none does its work."""
    options: list[argparse.Namespace] = []
    module = SimpleNamespace(run=lambda given: options.append(given) or 0)
    monkeypatch.setattr(importlib, "import_module", lambda name: module)
    return options


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")] == COMMANDS
    assert cli.main(["-h"]) == 0


def test_without_a_command_the_usage_is_shown_and_the_status_is_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 2
    assert "usage: captioner COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_one_line_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["capton", "--input", "x"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "'capton'" in said.err
    assert all(command in said.err for command in COMMANDS)


def test_the_help_of_every_command_imports_no_framework() -> None:
    subprocess.run([sys.executable, "-c", _HELP_OF_ALL], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("command", OURS)
def test_beams_options_are_those_after_two_dashes(
    command: str, called: list[argparse.Namespace]
) -> None:
    assert cli.main([command, *OURS[command], "--", "--runner=X", "--", "word"]) == 0
    assert cli.main([command, *OURS[command], "--"]) == 0
    assert cli.main([command, *OURS[command]]) == 0
    assert [options.beam for options in called] == [["--runner=X", "--", "word"], [], []]
    assert called[0].output == "o"


def test_a_command_without_pipeline_takes_no_beam_options(
    called: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["report", "--captions", "c", "--output", "o", "--", "--runner=X"])
    assert end.value.code == 2
    assert "--runner=X" in capsys.readouterr().err
    assert called == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["caption", *OURS["caption"], "--runner=X"], "--runner=X"),
        (["caption", *OURS["caption"], "--unit-siz", "3"], "--unit-siz"),
        (["caption", *OURS["caption"], "--unit-size", "many"], "'many'"),
        (["caption", "--bundle", "b"], "--input"),
        (["preprocess", *OURS["preprocess"], "word"], "word"),
        (["preprocess", "--captions", "c"], "--images"),
    ],
)
def test_our_own_options_are_strict(
    arguments: list[str],
    named: str,
    called: list[argparse.Namespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert named in capsys.readouterr().err
    assert called == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["train", "--dataset", "gs://b/d", "--output", "o"], "--dataset"),
        (["train", "--dataset", "d", "--output", "gs://b/o"], "--output"),
        (["evaluate", "--model", "gs://b/m", "--dataset", "d"], "--model"),
        (["evaluate", "--model", "m", "--dataset", "gs://b/d"], "--dataset"),
        (["evaluate", "--model", "m", "--dataset", "d", "--output", "gs://b/o"], "--output"),
        (
            ["evaluate", "--compare", "a", "gs://b/m", "--dataset", "d", "--output=o"],
            "--compare",
        ),
        (["export", "--run", "gs://b/r", "--output", "o"], "--run"),
        (["export", "--run", "r", "--output", "gs://b/o"], "--output"),
        (["caption", "--bundle", "gs://b/b", "--input", "i", "--output", "o"], "--bundle"),
        (["describe", "gs://b/d"], "dataset"),
        (["demo", "--output", "gs://b/o"], "--output"),
    ],
)
def test_what_lies_far_away_is_told_where_it_must_lie_here(
    arguments: list[str],
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "i").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "i" / "a.png")
    assert cli.main(arguments) == 2
    assert f"error: {option}: got gs://b/" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_several_inputs_are_all_kept(called: list[argparse.Namespace]) -> None:
    cli.main(["caption", *OURS["caption"], "--input", "more"])
    assert called[0].input == ["i", "more"]


def test_a_users_error_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> int:
        raise CaptionerError("got 'a',\n  expected 'b'")

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(run=run))
    assert cli.main(["caption", *OURS["caption"]]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "captioner caption: error: got 'a', expected 'b'\n")


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: argparse.Namespace) -> int:
        raise RuntimeError("a defect")

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(run=run))
    with pytest.raises(RuntimeError, match="a defect"):
        cli.main(["caption", *OURS["caption"]])


@pytest.mark.parametrize("command", [*OURS, "plan", "describe", "report", "demo"])
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_a_command_is_a_module_too(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"pipelines.{command}", run_name="__main__")
    assert end.value.code == 0
    assert f"usage: captioner {command}" in capsys.readouterr().out


def end_of(code: str) -> tuple[int, str]:
    """The status and the output of a process that runs `code`."""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("status", "daemon"), [(2, False), (0, False), (0, True), (3, True)])
def test_it_ends_though_a_thread_waits_for_what_does_not_come(status: int, daemon: bool) -> None:
    """A thread of a runner whose worker never started, or any that is left when all is done."""
    code = f"""
import threading
from pipelines.cli import leave
print("said before", end="")
threading.Thread(target=threading.Event().wait, daemon={daemon}).start()
leave({status})
"""
    assert end_of(code) == (status, "said before")


def test_it_ends_without_pythons_own_end_though_no_thread_is_known() -> None:
    """TensorFlow's and gRPC's are not, and abort it now and then."""
    code = """
from pipelines.cli import leave
class Whatever:
    def __del__(self):
        print("taken apart")
whatever = Whatever()
print("said before", end="")
leave(3)
"""
    assert end_of(code) == (3, "said before")


def test_what_libraries_want_done_at_the_end_is_done() -> None:
    """A runner's own process is ended so, and the last lines of a log are written."""
    code = """
import atexit
from pipelines.cli import leave
atexit.register(print, "done at the end")
leave(3)
"""
    assert end_of(code) == (3, "done at the end\n")


def test_it_waits_no_longer_than_that_for_what_is_done_at_the_end() -> None:
    code = """
import atexit, threading
from pipelines import cli
cli._LAST_ACTS_SEC = 0.5
atexit.register(threading.Event().wait)
print("said before", end="")
cli.leave(3)
"""
    assert end_of(code) == (3, "said before")


def test_a_reader_that_has_read_enough_is_no_failure() -> None:
    code = "import time; from pipelines.cli import leave; print('a line'); time.sleep(2); leave(0)"
    # The line is still in the buffer when all is done.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0


def test_output_that_cannot_be_written_does_not_keep_it_from_its_end() -> None:
    code = """
import sys
from pipelines.cli import leave
class Full:
    def flush(self):
        raise OSError(28, "No space left on device")
sys.stdout = Full()
leave(3)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (3, b"")


def test_without_standard_streams_the_usage_is_no_traceback() -> None:
    line = f'"{sys.executable}" -m pipelines.cli >&-'
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, b"")
