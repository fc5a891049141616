"""The console command ``captioner``: each subcommand is imported when it is called."""

import atexit
import contextlib
import importlib
import importlib.metadata
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple, NoReturn

from model import arguments as model_arguments
from model.command import (
    USER_ERROR,
    keras_imported,
    open_standard_streams,
    quiet_imports,
    run_command,
)
from pipelines import arguments

# Most of it is for the process of a runner to end.
_LAST_ACTS_SEC = 20.0


class _Command(NamedTuple):
    parser: Callable
    module: str
    takes_beam_options: bool
    help: str


_COMMANDS = {
    "preprocess": _Command(
        arguments.preprocess_parser,
        "pipelines.preprocess",
        True,
        "captions and images to TFRecords",
    ),
    "describe": _Command(
        arguments.describe_parser, "pipelines.describe.run", False, "what is in a dataset"
    ),
    "train": _Command(model_arguments.train_parser, "model.train", False, "dataset to run"),
    "evaluate": _Command(
        model_arguments.evaluate_parser, "model.evaluate", False, "scores of a run or bundle"
    ),
    "export": _Command(model_arguments.export_parser, "model.export", False, "run to bundle"),
    "caption": _Command(
        arguments.caption_parser, "pipelines.caption", True, "archive to Parquet captions"
    ),
    "plan": _Command(
        arguments.plan_parser, "pipelines.plan", False, "hours, bytes and cost of an archive"
    ),
    "report": _Command(arguments.report_parser, "pipelines.report", False, "captions to a page"),
    "demo": _Command(
        arguments.demo_parser, "pipelines.demo.run", False, "all of it on generated pictures"
    ),
}


def _usage() -> str:
    lines = [f"  {name:<12}{command.help}" for name, command in _COMMANDS.items()]
    return "\n".join(
        [
            "usage: captioner COMMAND [OPTIONS] [-- BEAM OPTIONS]",
            "",
            *lines,
            "",
            "captioner COMMAND --help tells a command's options, captioner --version the version.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``captioner COMMAND ...``; returns the exit status."""
    open_standard_streams()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else USER_ERROR
    name, *rest = argv
    if name == "--version":
        print(f"captioner {importlib.metadata.version('captioner')}")
        return 0
    if name not in _COMMANDS:
        print(
            f"captioner: error: got {name!r}, expected one of {', '.join(_COMMANDS)}",
            file=sys.stderr,
        )
        return USER_ERROR
    command = _COMMANDS[name]
    parser, beam_options = command.parser(), []
    if command.takes_beam_options:
        parser.usage = parser.format_usage().removeprefix("usage: ").rstrip() + " [-- BEAM]"
        if "--" in rest:
            split = rest.index("--")
            rest, beam_options = rest[:split], rest[split + 1 :]
        parser.set_defaults(beam=beam_options)
    return run_command(parser, lambda options: _load(command.module).run(options), rest)


def console() -> NoReturn:
    """The command of the shell."""
    leave(main())


def leave(status: int) -> NoReturn:
    """Ends the process, whatever threads are left: of a runner, of TensorFlow, or stuck in a read.

    Python's own end would unwind a thread that is just in C++ code, which forbids it, and abort now
    and then although all is done; Python does not even know of all of them. After a failure it
    might wait for ever for threads of a runner that wait for their workers. What libraries want
    done at the end is done all the same: some runners end a process of theirs then.
    """
    _flush()
    late = threading.Timer(_LAST_ACTS_SEC, os._exit, [status])
    late.daemon = True
    late.start()
    atexit._run_exitfuncs()
    _flush()
    os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # It was told before; or whoever read it has read enough.
        with contextlib.suppress(OSError):
            stream.flush()


def _load(module: str) -> ModuleType:
    with quiet_imports(), keras_imported():
        return importlib.import_module(module)


if __name__ == "__main__":
    console()
