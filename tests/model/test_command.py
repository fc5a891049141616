"""Tests of what commands have in common: errors of one line, exit statuses, places to write to."""

from __future__ import annotations

import argparse
import errno
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from model.command import (
    check_no_pattern,
    check_output_folder,
    local_path,
    quiet_imports,
    run_command,
)
from model.errors import CaptionerError

ROOT = Path(__file__).resolve().parents[2]


def test_a_name_that_is_no_utf8_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="captioner test")
    parser.add_argument("--output")
    assert run_command(parser, lambda _: pytest.fail("it ran"), ["--output", "a\udcff"]) == 2
    said = capsys.readouterr().err
    assert said == "captioner test: error: got 'a\\udcff', expected UTF-8; rename what it names\n"


def test_a_locale_in_which_names_would_be_others_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Latin-1 each byte of a name in UTF-8 is a letter."""
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert status_of(None) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: the locale's encoding: got iso8859-1, expected utf-8; set "
        "PYTHONUTF8=1, or LC_ALL=C.UTF-8\n"
    )


def test_a_machine_without_place_for_temporary_files_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a read-only container is; libraries that are imported would raise it."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    assert status_of(None) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: No usable temporary directory found in ['/proc']: each is "
        "read-only or full; set TMPDIR to a folder with some room\n"
    )


def status_of(error: BaseException | None) -> int:
    def run(options: argparse.Namespace) -> int:
        if error is not None:
            raise error
        return 0

    return run_command(argparse.ArgumentParser(prog="captioner test"), run, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "a.jpg", "b.jpg"], "unrecognized arguments: b.jpg (most options take one"),
        (["--input", "a", "--runner=X"], "--runner=X (those of Apache Beam go after '--')"),
        (["--input", "a", "--runner", "X"], "--runner X (those of Apache Beam go after '--')"),
        (["--input", "a", "b", "--runner=X"], "a glob must be quoted: 'folder/*.jpg')"),
    ],
)
def test_arguments_that_belong_to_no_option_are_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    parser = argparse.ArgumentParser(prog="captioner test")
    parser.add_argument("--input", action="append")
    parser.set_defaults(beam=[])
    with pytest.raises(SystemExit) as ended:
        run_command(parser, lambda _: pytest.fail("it ran"), arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(None) == 0
    assert status_of(CaptionerError("got a,\n  expected b")) == 2
    assert capsys.readouterr().err == "captioner test: error: got a, expected b\n"
    with pytest.raises(RuntimeError):
        status_of(RuntimeError("a defect"))


def test_an_error_moves_no_cursor_whatever_a_file_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of(CaptionerError("\x1b]0;title\x07\x9b2J\u202egpj.exe لا‌مپ é\ud800")) == 2
    assert capsys.readouterr().err == (
        r"captioner test: error: \x1b]0;title\x07\x9b2J\u202egpj.exe لا‌مپ é\ud800" + "\n"
    )


def test_a_disk_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    class TensorFlowError(Exception):
        """It has the system's words in its text alone."""

    words = os.strerror(errno.ENOSPC)
    assert status_of(OSError(errno.ENOSPC, words, "/out/a")) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: No space left on device: '/out/a'; free some and run the command "
        "again\n"
    )
    assert (
        status_of(
            TensorFlowError(f"{{{{node x}}}} /out/b; {os.strerror(errno.EROFS)} [Op:Y]\n  c.cc:7")
        )
        == 2
    )
    assert capsys.readouterr().err == (
        "captioner test: error: Read-only file system: /out/b; make it writable, or name another "
        "folder, and run the command again\n"
    )
    assert status_of(OSError(errno.EFBIG, os.strerror(errno.EFBIG), "/fat/a")) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: File too large: '/fat/a'; name a folder of a disk that takes "
        "larger files (or raise ulimit -f), and run the command again\n"
    )
    hdf5 = (
        "Can't synchronously write data (file write failed: time = Mon Nov 30 09:14:58 2026\n, "
        f"filename = '/tmp/c.h5', file descriptor = 3, errno = 28, error message = '{words}', buf"
    )
    assert status_of(OSError(hdf5)) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: No space left on device: '/tmp/c.h5'; free some and run the "
        "command again\n"
    )


def test_output_that_nobody_reads_ends_a_command_in_silence() -> None:
    code = """
import argparse, sys
from model.command import run_command

def run(options):
    while True:
        print("a line", flush=True)

sys.exit(run_command(argparse.ArgumentParser(), run, []))
"""
    line = [sys.executable, "-c", code]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_processes_share_a_gpu_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    with quiet_imports():
        assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    with quiet_imports():
        assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed_are_no_files_to_come(closed: str, tmp_path: Path) -> None:
    """As of a daemon's: what is opened next would get the number of one."""
    code = """
import argparse, os, sys
from model.command import quiet_imports, run_command

def run(options):
    with quiet_imports():
        pass
    with open(sys.argv[1], "w") as file:
        assert file.fileno() > 2
        os.write(1, b"said by a library")
        os.write(2, b"told by a library")
        print("said", sys.stdout.isatty())
        print("told", file=sys.stderr)
        sys.stdin.read()
        print("dear", end="", file=file)
    return 3

sys.exit(run_command(argparse.ArgumentParser(), run, []))
"""
    path = tmp_path / "file"
    line = f'exec "$0" -c "$1" "$2" {closed}'
    shell = ["sh", "-c", line, sys.executable, code, path]
    done = subprocess.run(shell, cwd=ROOT, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert (done.returncode, path.read_text()) == (3, "dear")


def test_output_that_cannot_be_written_at_the_end_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        """A log on a disk without room, which tells so when the buffer is written."""

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        assert status_of(None) == 2
    assert capsys.readouterr().err == (
        "captioner test: error: No space left on device: 'standard output'; free some and run the "
        "command again\n"
    )


def test_a_broken_pipe_elsewhere_is_no_silence() -> None:
    with pytest.raises(BrokenPipeError):
        status_of(BrokenPipeError())


def test_an_interruption_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(KeyboardInterrupt()) == 130
    said = capsys.readouterr().err
    assert said == "captioner test: interrupted; run the same command again to go on\n"


def test_an_output_is_a_folder_or_may_become_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")
    for path in (tmp_path, tmp_path / "new" / "deep", Path("new")):
        check_output_folder(path)
    for path in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(CaptionerError, match="file is a file; expected a folder"):
            check_output_folder(path)


def test_a_path_may_start_at_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert local_path("--output", "~/run") == Path("/home/ada/run")
    assert local_path("--output", "a~/run") == Path("a~/run")


def test_a_name_of_letters_is_no_pattern() -> None:
    check_no_pattern("/a b/ü#(1).d", "--output")
    with pytest.raises(
        CaptionerError, match=r"--output /a\[1\]\*: got \* and \[ and \] in its name"
    ):
        check_no_pattern("/a[1]*", "--output")
