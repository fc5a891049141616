"""What every command has in common: strict options, one-line errors, exit statuses."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from model.errors import CaptionerError

USER_ERROR = 2


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Keeps TensorFlow's start-up chatter, which no setting silences, off standard error.

    It is written by C++ while the library is loaded, past `sys.stderr`. Exceptions pass unchanged.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
) -> int:
    """Parses `arguments` and runs the command; returns the exit status.

    A `CaptionerError` becomes one line on standard error and status 2; others keep their traceback.
    """
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except CaptionerError as error:
        message = " ".join(str(error).split())
        print(f"{parser.prog}: error: {message}", file=sys.stderr)
        return USER_ERROR
