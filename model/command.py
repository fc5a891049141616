"""What every command has in common: strict options, one-line errors, exit statuses."""

import argparse
import contextlib
import errno
import os
import re
import select
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from model.errors import CaptionerError
from model.signals import Interruptions

USER_ERROR, BY_SIGNAL, PIPE_CLOSED = 2, 128, 141
# TensorFlow takes the names of the files that it saves and loads for patterns.
_PATTERN_CHARACTERS = "*?[]\\"
# Those of terminals, and those that have text run from right to left; halves of characters.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ADVICE = {
    errno.ENOSPC: "free some",
    errno.EDQUOT: "free some",
    errno.EROFS: "make it writable, or name another folder,",
    errno.EACCES: "give the right to read and to write",
    errno.EFBIG: "name a folder of a disk that takes larger files (or raise ulimit -f),",
}
# What Python, PyArrow, TensorFlow and a runner put before and behind the words of a failure.
_AROUND = re.compile(
    r"^[^'/]*\[[Ee]rrno \d+\] |^.*\}\} |\.? Detail: \[errno \d+\]| \[(Op:|while running ).*$"
)


def printable(text: str) -> str:
    """`text` with escapes for what would move a terminal's cursor or turn the order of a line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def open_standard_streams() -> None:
    """Opens the null device in place of standard streams that are closed, as a daemon's may be.

    Else Python has no object for them; and a file that is opened next would take their number, so
    that what a library says on standard error would become part of it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            null = os.open(os.devnull, os.O_RDWR)
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(null, mode, encoding="utf-8"))


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Keeps TensorFlow's start-up chatter, which no setting silences, off standard error.

    It is written by C++ while the library is loaded, past `sys.stderr`. Exceptions pass unchanged.
    Later, too, it stays silent, unless the environment says otherwise: what goes wrong is raised.
    Nor does it take all memory of a GPU at once, of which several processes would each want all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def keras_imported() -> Iterator[None]:
    """Within, Keras may be imported, which imports what ``KERAS_BACKEND`` names.

    Raises:
        CaptionerError: if that cannot be imported.
    """
    try:
        yield
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
        if backend == "tensorflow":
            raise
        raise CaptionerError(
            f"KERAS_BACKEND: got {backend}, expected tensorflow ({error}); leave the variable out"
        ) from error


def local_path(option: str, path: str) -> Path:
    """The path of this machine that `option` names, ``~`` at its start being the home.

    Raises:
        CaptionerError: if it is the URI of another file system.
    """
    if "://" in path:
        raise CaptionerError(
            f"{option}: got {path}, expected a path of this machine, as '/…'; copy what is there "
            "to it, and what becomes of it back"
        )
    # A shell leaves the one in --output=~/run as it is.
    return Path(os.path.expanduser(path))


def check_output_folder(path: Path) -> None:
    """Checks that ``--output`` may become a folder, or is one.

    Raises:
        CaptionerError: if it is a file, or in one.
    """
    for place in (path, *path.parents):
        if os.path.lexists(place):
            if not place.is_dir():
                within = "" if place == path else f"{path}: "
                raise CaptionerError(f"--output {within}{place} is a file; expected a folder")
            return


def check_no_pattern(uri: str, what: str, reader: str = "TensorFlow") -> None:
    """Checks that `reader` can save to, or load from, the folder `uri`.

    Raises:
        CaptionerError: if it would take its name for a pattern.
    """
    found = sorted(set(uri) & set(_PATTERN_CHARACTERS))
    if found:
        raise CaptionerError(
            f"{what} {uri}: got {' and '.join(found)} in its name, which {reader} takes for a "
            "pattern; choose a name without"
        )


def disk_failure(error: Exception) -> str | None:
    """What a person is told if `error` is of a disk that is full or may not be used; else None.

    TensorFlow, HDF5 and a runner's workers raise classes of their own, in whose text the system's
    words stand. These come first, then the file, or the rest of the line where it is not named as
    Python or HDF5 does.
    """
    text = str(error)
    for code, advice in _ADVICE.items():
        words = os.strerror(code)
        if words in text:
            named = re.search(rf"(?:{re.escape(words)}: |filename = )('[^'\n]+')", text)
            line = next(line for line in text.splitlines() if words in line)
            rest = named[1] if named else _AROUND.sub("", line).replace(words, "").strip(" ;:")
            return f"{words}{': ' if rest else ''}{rest}; {advice} and run the command again"
    return None


def _is_unread() -> bool:
    """Whether nobody reads standard output any more; what is left to write there is dropped."""
    output = select.poll()
    output.register(1, 0)
    unread = any(events & select.POLLERR for _, events in output.poll(0))
    if unread:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 1)
    return unread


def _flush_output() -> None:
    """Raises:
    OSError: if what is left to write to standard output cannot be written.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _check_utf8(arguments: Sequence[str]) -> None:
    """Raises:
    CaptionerError: if one has bytes that are no UTF-8: neither a row nor a message could name it;
        or if the locale has names of files in another encoding: rows would have others than these.
    """
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise CaptionerError(
            f"the locale's encoding: got {encoding}, expected utf-8; set PYTHONUTF8=1, or "
            "LC_ALL=C.UTF-8"
        )
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise CaptionerError(
                f"got {argument!r}, expected UTF-8; rename what it names"
            ) from error


def _check_temporary_folder() -> None:
    """Raises:
    CaptionerError: if there is none, as libraries want when they are imported.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise CaptionerError(
            f"{error.strerror}: each is read-only or full; set TMPDIR to a folder with some room"
        ) from error


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options; of those that are none it is told what they most often were meant for."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        hint = ""
        if not unknown[0].startswith("-"):
            hint = " (most options take one value; a glob must be quoted: 'folder/*.jpg')"
        elif hasattr(options, "beam"):
            hint = " (those of Apache Beam go after '--')"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
) -> int:
    """Parses `arguments` and runs the command; returns the exit status.

    A `CaptionerError` and a `disk_failure` become one line on standard error and status 2. So does
    a signal that ends it, with 128 and its number, as in shells: 130 for Ctrl-C, 143 for SIGTERM.
    Others keep their traceback. Where whoever reads what it prints has read enough, as `head` has,
    it ends in silence, with status 141.
    """
    open_standard_streams()
    options = _parse(parser, arguments)
    interruptions = Interruptions()
    try:
        with interruptions:
            _check_utf8(arguments)
            _check_temporary_folder()
            status = run(options)
            _flush_output()
            return status
    except KeyboardInterrupt:
        # Of a terminal that is closed nothing can be told any more.
        with contextlib.suppress(OSError):
            print(f"{parser.prog}: {interruptions.message()}", file=sys.stderr)
        return BY_SIGNAL + interruptions.last
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            return PIPE_CLOSED
        message = str(error) if isinstance(error, CaptionerError) else disk_failure(error)
        if message is None:
            raise
        print(f"{parser.prog}: error: {printable(' '.join(message.split()))}", file=sys.stderr)
        return USER_ERROR
