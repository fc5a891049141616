"""What every command has in common: strict options, one-line errors, exit statuses."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from model.errors import CaptionerError

USER_ERROR = 2


def quieten_tensorflow() -> None:
    """Keeps TensorFlow's start-up chatter off the terminal; errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
) -> int:
    """Parses `arguments` and runs the command; returns the exit status.

    A `CaptionerError` becomes one line on standard error and status 2; all else keeps its traceback.
    """
    options = parser.parse_args(arguments)
    quieten_tensorflow()
    try:
        return run(options)
    except CaptionerError as error:
        message = " ".join(str(error).split())
        print(f"{parser.prog}: error: {message}", file=sys.stderr)
        return USER_ERROR
