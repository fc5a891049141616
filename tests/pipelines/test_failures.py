"""Tests of failures told in one line, and of jobs that end when one of their workers dies."""

from __future__ import annotations

import errno
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import builders
import grpc
import pytest
from pipeline_builders import ROOT

from model.errors import CaptionerError
from model.signals import ENDING
from pipelines.failures import dead_workers_told, failures_told

# A job that swallows what ends it, as a library may that waits in C.
STUBBORN = """
import threading, time
from pipelines import failures

def die():
    time.sleep(0.5)  # by then the job waits
    raise RuntimeError("exited with return code -9")

failures._GRACE_SEC = 0.5
with failures.dead_workers_told():
    threading.Thread(target=die, name="run_worker").start()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""


def test_an_interruption_stays_one_whatever_a_runner_makes_of_it() -> None:
    with pytest.raises(KeyboardInterrupt), failures_told():
        raise RuntimeError("KeyboardInterrupt [while running 'Caption/BeamML_RunInference']")


def test_interruptions_are_handled_as_before_once_it_is_over() -> None:
    # Behind a shell's `&` it would be ignored, and stay so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with failures_told():
            assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", ENDING)
def test_nothing_is_logged_of_an_interruption(number: signal.Signals) -> None:
    code = f"""
import logging, os
from model.signals import Interruptions
from pipelines.failures import failures_told
try:
    with Interruptions(), failures_told():
        logging.error("before")
        try:
            os.kill(os.getpid(), {number:d})
        except KeyboardInterrupt:
            logging.exception("a layer of the runner")
            raise
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        preexec_fn=builders.heed_signals,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "ERROR:root:before\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Traceback ...\n  x\nmodel.errors.CaptionerError: /a is gone; wait [while running "
            "'Commit-ptransform-5']\n\nmore",
            "/a is gone; wait",
        ),
        ("model.errors.CaptionerError: the last line", "the last line"),
        ("Traceback ...\nmodel.errors.CaptionerError: a line of many\n\nmore", "a line of many"),
        (
            f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}: '/out/_p.tmp' [while running",
            "No space left on device: '/out/_p.tmp'; free some and run the command again",
        ),
        (
            f"Traceback ...\n  x\nResourceExhausted: /o/b; {os.strerror(errno.EDQUOT)} [Op:Save] "
            "[while running 'Commit'\n\nmore",
            "Disk quota exceeded: ResourceExhausted: /o/b; free some",
        ),
        (f"OSError: [Errno 30] {os.strerror(errno.EROFS)}: '/o'", "Read-only file system: '/o'"),
        ("PermissionError: [Errno 13] Permission denied: '/o'", "Permission denied: '/o'; give"),
        (f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}", "No space left on device; free some"),
        (
            f"OSError: [Errno 28] Error writing. Detail: [errno 28] {os.strerror(errno.ENOSPC)}",
            "No space left on device; free some",
        ),
        (
            f"[Errno 13] Failed to open '/o'. Detail: [errno 13] {os.strerror(errno.EACCES)}",
            "Permission denied: Failed to open '/o'; give",
        ),
    ],
)
def test_what_a_person_can_mend_is_one_line(text: str, told: str) -> None:
    with pytest.raises(CaptionerError) as error, failures_told():
        raise RuntimeError(text)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "Pipeline my captions_6f31 failed in state FAILED: CANCELLED: client cancelled",
        "Dataflow pipeline failed. State: FAILED, Error:\nTraceback ...\nKeyError: 'a'\n",
    ],
)
def test_of_jobs_that_fail_elsewhere_no_traceback_of_this_process_is_shown(text: str) -> None:
    with (
        pytest.raises(CaptionerError, match=r"^the job failed where it") as error,
        failures_told(),
    ):
        raise RuntimeError(text)
    assert str(error.value).endswith(f": {text.strip()}")


def test_a_job_service_that_is_lost_is_told_without_a_traceback() -> None:
    with (
        pytest.raises(CaptionerError, match="UNAVAILABLE"),
        failures_told(),
        grpc.insecure_channel("localhost:1") as channel,
    ):
        channel.unary_unary("/service/method")(b"")


@pytest.mark.parametrize(
    "text",
    [
        "Unable to fetch remote job server jar at https://x: HTTP Error 404. If no Internet access",
        "Java must be installed on this system to use this transform/runner.",
        "Service failed to start up with error 1",
    ],
)
def test_runners_that_do_not_start_are_told_without_a_traceback(text: str) -> None:
    told = f"^the runner did not start: {text}$"
    with pytest.raises(CaptionerError, match=told), failures_told():
        raise RuntimeError(text)


def test_other_failures_pass_as_they_are() -> None:
    for failure in (RuntimeError("a defect"), CaptionerError("No space left on device")):
        with pytest.raises(type(failure)) as error, failures_told():
            raise failure
        assert error.value is failure


def test_the_step_of_a_worker_in_this_process_is_no_part_of_its_message() -> None:
    with pytest.raises(CaptionerError, match=r"^/a is gone; wait$"), failures_told():
        raise CaptionerError("/a is gone; wait [while running 'Commit/ParDo']")


def start_worker(how: str | None, seconds: float = 0.2) -> threading.Thread:
    """A thread as Beam's, whose worker process ends soon."""

    def run() -> None:
        time.sleep(seconds)
        if how:
            raise RuntimeError(how)

    thread = threading.Thread(target=run, name="run_worker")
    thread.start()
    return thread


def test_a_dead_worker_ends_a_job_that_waits_for_ever() -> None:
    before = (signal.getsignal(signal.SIGUSR1), threading.excepthook)
    started = time.monotonic()

    def job() -> None:
        with dead_workers_told():
            start_worker("Worker subprocess exited with return code 137")
            queue.Queue[int]().get()

    with pytest.raises(CaptionerError, match=r"return code 137\. .* Run the command again"):
        job()
    assert time.monotonic() - started < 10
    assert (signal.getsignal(signal.SIGUSR1), threading.excepthook) == before


def test_a_death_that_the_job_reports_itself_is_told_all_the_same() -> None:
    def job() -> None:
        with dead_workers_told():
            start_worker("killed", 0).join()
            time.sleep(5)
            raise RuntimeError("connection lost")

    with pytest.raises(CaptionerError, match="before its time: killed"):
        job()


@pytest.mark.parametrize("code", [-2, 130])
def test_workers_that_a_terminal_interrupts_are_an_interruption(code: int) -> None:
    def job() -> None:
        with dead_workers_told():
            start_worker(f"Worker subprocess exited with return code {code}", 0)
            queue.Queue[int]().get()

    with pytest.raises(KeyboardInterrupt):
        job()


def test_workers_that_end_as_the_job_is_interrupted_are_an_interruption() -> None:
    def job() -> None:
        with dead_workers_told():
            try:
                raise KeyboardInterrupt
            finally:
                start_worker("Worker subprocess exited with return code 1", 0).join()
                time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        job()


def test_workers_that_end_well_disturb_nothing() -> None:
    with dead_workers_told():
        start_worker(None, 0).join()
    with pytest.raises(ValueError, match="the job's own"), dead_workers_told():
        raise ValueError("the job's own")


def test_errors_of_other_threads_are_no_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def fail() -> None:
        raise ValueError("another thread's")

    with dead_workers_told():
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert [str(arguments.exc_value) for arguments in seen] == ["another thread's"]


def test_a_job_in_another_thread_runs_unguarded() -> None:
    done = []

    def job() -> None:
        with dead_workers_told():
            done.append(True)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_job_that_will_not_end_is_ended() -> None:
    command = [sys.executable, "-c", STUBBORN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("captioner: error: a worker process ended before its time: exited with")
