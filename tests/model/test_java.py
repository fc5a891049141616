"""Tests of running Java programs: whatever they do, nothing hangs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model.java import JavaError, run_java


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where to put the only program that is found, `java`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "java"


def write_script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


def test_a_program_gets_its_arguments_and_text(java: Path) -> None:
    write_script(java, 'echo "$@"', "exec /bin/cat")
    assert run_java(["-jar", "a b.jar"], "caf\u00e9\n", 30) == "-jar a b.jar\ncaf\u00e9\n"


def test_a_program_that_writes_before_it_reads_does_not_hang(java: Path) -> None:
    # More than a pipe holds, both ways.
    text = "0123456789\n" * 30_000
    write_script(java, "/bin/cat /dev/zero | /usr/bin/head -c 300000 >&2", "exec /bin/cat")
    assert run_java([], text, 30) == text


def test_a_program_that_does_not_end_is_killed(java: Path) -> None:
    write_script(java, f"echo $$ > {java.parent}/pid", "exec /bin/sleep 100")
    start = time.monotonic()
    with pytest.raises(JavaError, match="did not end within 1 s"):
        run_java([], "", 1)
    assert time.monotonic() - start < 30
    assert not Path("/proc", (java.parent / "pid").read_text().strip()).exists()


def test_a_program_that_fails_says_why(java: Path) -> None:
    write_script(java, "echo 'Error: no memory' >&2", "echo more >&2", "exit 3")
    with pytest.raises(JavaError, match=r"status 3: Error: no memory$"):
        run_java([], "never read\n" * 100_000, 30)


@pytest.mark.usefixtures("java")
def test_no_java_is_said() -> None:
    with pytest.raises(JavaError, match="no Java that runs: No such file"):
        run_java([], "", 30)


def test_a_java_that_may_not_run_is_said(java: Path) -> None:
    java.write_text("")
    with pytest.raises(JavaError, match="no Java that runs: Permission denied"):
        run_java([], "", 30)
