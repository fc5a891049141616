"""Failures of a job that a person can mend, told in one line; workers that die, so that it ends."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import grpc

from model.command import disk_failure
from model.errors import CaptionerError
from model.signals import ENDING

_TOLD = re.compile(r"CaptionerError: (.+?)(?: \[while running|$)", re.MULTILINE)
# What Beam adds to the message of an exception of a worker in this process.
_STEP = re.compile(r" \[while running '[^']*'\]$")
# How runners begin to say that a job of theirs failed, and that they could not start one.
_FAILED_THERE = re.compile(r"Pipeline .+? failed in state|Dataflow pipeline failed")
_NOT_STARTED = re.compile(
    r"Unable to fetch remote job server jar|Java (must be|is not correctly) installed|"
    r"Service failed to start up"
)
# Beam's name of the threads that start worker processes and wait for their end.
_WORKER_THREAD = "run_worker"
# A worker's end when a terminal interrupts all processes of the command; of a shell around it.
_INTERRUPTED = re.compile(rf"return code (-{int(signal.SIGINT)}|{128 + signal.SIGINT})$")
# After it the job ends without cleaning up: all that a killed run leaves is cleaned by the next.
_GRACE_SEC = 30.0
_RESEND_SEC = 0.5


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Makes what a person can mend an error of one line, whichever worker it befell.

    Raises:
        CaptionerError: of a worker, which a runner gives as text only; in place of a disk that is
            full or not to be written, TensorFlow's own words for it among them; or of a job that
            failed on a cluster, of which a traceback of this process tells nothing.
        KeyboardInterrupt: in place of what a runner makes of it.
    """
    try:
        with _quiet_when_interrupted():
            yield
    except CaptionerError as error:
        error.args = (_STEP.sub("", str(error)),)
        raise
    except Exception as error:
        text = str(error)
        if "KeyboardInterrupt" in text:
            raise KeyboardInterrupt from error
        if told := _TOLD.search(text):
            raise CaptionerError(told[1]) from error
        if failure := disk_failure(error):
            raise CaptionerError(failure) from error
        if _NOT_STARTED.match(text):
            raise CaptionerError(f"the runner did not start: {text.strip()}") from error
        if _FAILED_THERE.match(text) or isinstance(error, grpc.RpcError):
            raise CaptionerError(
                "the job failed where it ran; run the command again once what its runner tells is "
                f"mended: {text.strip()}"
            ) from error
        raise


@contextlib.contextmanager
def _quiet_when_interrupted() -> Iterator[None]:
    """Ends logging when a signal ends the run: a runner logs a traceback for each of its layers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        logging.disable(logging.CRITICAL)
        handlers[number](number, frame)

    # Those that interrupt: none that is ignored, or ends the process as it stands.
    handlers: dict[int, Any] = {
        number: handler for number in ENDING if callable(handler := signal.getsignal(number))
    }
    for number in handlers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _WorkerDiedError(BaseException):
    """Raised in the main thread wherever it waits; no ``except Exception`` may swallow it."""


class _Watch:
    """Ends what the main thread does once a worker process has ended before its time."""

    def __init__(self) -> None:
        self.death: str | None = None
        self.raised, self.over = threading.Event(), threading.Event()
        self._sending = threading.Lock()

    def on_death(self, how: str) -> None:
        """Takes note of the first death."""
        if self.death is None and not self.over.is_set():
            self.death = how
            threading.Thread(target=self._end, name="end_job", daemon=True).start()

    def raise_once(self, number: int, frame: FrameType | None) -> None:
        """Handles the signal: what follows in the main thread cleans up and is left alone."""
        if self.death and not self.raised.is_set() and not self.over.is_set():
            self.raised.set()
            raise _WorkerDiedError

    def _end(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        # More than once: one that comes just before the thread starts to wait would not wake it.
        while not self.raised.is_set() and not self.over.is_set():
            with self._sending:
                if not self.over.is_set():
                    signal.pthread_kill(main, signal.SIGUSR1)
            self.raised.wait(_RESEND_SEC)
        if not self.over.wait(_GRACE_SEC):
            print(f"captioner: error: {self.message()}", file=sys.stderr, flush=True)
            os._exit(1)

    def end(self) -> None:
        """From here on no signal is sent: its handler may go."""
        with self._sending:
            self.over.set()

    def message(self) -> str:
        """What a person is told."""
        return (
            f"a worker process ended before its time: {self.death}. Most often the system kills "
            "one because memory is short: give fewer workers or a smaller --batch-size. Run the "
            "command again: captions that were written stay"
        )


def _is_interruption(error: BaseException | None) -> bool:
    """Whether `error` is the user's interruption, or came while that ended the job."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


@contextlib.contextmanager
def dead_workers_told() -> Iterator[None]:
    """Ends the job that runs within when one of its worker processes dies.

    Beam's multi-processing mode starts workers from threads that raise if one exits with a status
    other than 0; the job itself would wait for its answer for ever. Only in the main thread, which
    alone can be interrupted, is it guarded.

    Raises:
        CaptionerError: if a worker process died.
        KeyboardInterrupt: if it did because the user ended the run, by Ctrl-C in a terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch, hook = _Watch(), threading.excepthook

    def on_error(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is not None and arguments.thread.name == _WORKER_THREAD:
            watch.on_death(str(arguments.exc_value))
        else:
            hook(arguments)

    handler = signal.signal(signal.SIGUSR1, watch.raise_once)
    threading.excepthook = on_error
    try:
        try:
            yield
        finally:
            watch.over.set()
    except BaseException as error:
        if watch.death is None:
            raise
        if _INTERRUPTED.search(watch.death) or _is_interruption(error):
            raise KeyboardInterrupt from error
        raise CaptionerError(watch.message()) from error
    finally:
        watch.end()
        threading.excepthook = hook
        signal.signal(signal.SIGUSR1, handler)
