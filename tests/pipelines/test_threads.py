"""Tests of work in threads: in order, bounded, and never held up for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.threads import Room, map_ahead

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system ties nobody to cores")
def test_a_process_that_may_use_one_core_decodes_in_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from pipelines.threads import THREADS; print(THREADS)"
    )
    line = [sys.executable, "-c", code]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, check=True).stdout == b"1\n"


def test_map_ahead_is_map_in_order() -> None:
    gates = {0: threading.Event()}

    def slow_first(item: int) -> int:
        if item == 0:
            gates[0].wait(10)
        if item == 3:
            gates[0].set()  # the first ends after the fourth
        return item * item

    assert list(map_ahead(slow_first, range(50), threads=2)) == [i * i for i in range(50)]
    assert list(map_ahead(slow_first, [], threads=2)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_at_most_four_results_a_thread_wait_for_the_caller(threads: int) -> None:
    submitted = 0

    def items() -> Iterator[int]:
        nonlocal submitted
        for item in range(100):
            submitted += 1
            yield item

    most = 0
    for taken, _ in enumerate(map_ahead(lambda item: item, items(), threads)):
        most = max(most, submitted - taken)
    assert submitted == 100
    assert most == 4 * threads


def test_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(map_ahead(lambda _: together.wait(), range(3), threads=3))) == 3


def test_what_would_end_a_thread_reaches_the_caller_too() -> None:
    def leave(item: int) -> int:
        raise SystemExit(item)

    with pytest.raises(SystemExit):
        next(map_ahead(leave, [3], threads=1, limit_sec=5.0))


def test_an_exception_reaches_the_caller_in_its_place() -> None:
    def fail_at_five(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    results = map_ahead(fail_at_five, range(100), threads=2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


def test_a_caller_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    results = map_ahead(lambda item: item, range(100), threads=2)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_what_stalls_is_left_behind_and_all_else_is_done() -> None:
    gate = threading.Event()
    before = threading.active_count()

    def stall_at_threes(item: int) -> int:
        if item % 3 == 0:
            gate.wait(60)
        return item

    started = time.monotonic()
    results = list(map_ahead(stall_at_threes, range(12), 2, limit_sec=0.2, on_stall=lambda i: -i))
    assert results == [-item if item % 3 == 0 else item for item in range(12)]
    assert time.monotonic() - started < 10
    gate.set()
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end, "a thread that was left to itself did not end"
        time.sleep(0.01)


def test_the_limit_counts_from_the_start_of_the_work() -> None:
    """Not from when it was asked for: those that wait in turn are not late."""

    def slow(item: int) -> int:
        time.sleep(0.1)
        return item

    results = map_ahead(slow, range(12), 1, limit_sec=5, on_stall=lambda _: -1)
    assert next(results) == 0
    time.sleep(0.3)
    assert list(results) == list(range(1, 12))


def test_a_caller_that_stops_does_not_wait_for_what_stalls() -> None:
    gate = threading.Event()
    results = map_ahead(lambda item: item or gate.wait(60), [1, 0, 2], 3, 0.2, on_stall=lambda _: 7)
    assert next(results) == 1
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 10
    gate.set()


def test_who_wants_more_room_than_is_left_waits_until_it_is_returned() -> None:
    room, entered = Room(10, limit_sec=60), threading.Event()

    def enter() -> None:
        with room.take(4):
            entered.set()

    thread = threading.Thread(target=enter)
    with room.take(4):
        with room.take(4):
            thread.start()
            assert not entered.wait(0.1)
        assert entered.wait(60)
    thread.join()


def test_who_wants_more_room_than_there_is_gets_it_alone() -> None:
    room = Room(10, limit_sec=60)
    with pytest.raises(ValueError, match="within"), room.take(11):
        raise ValueError("within")
    with room.take(11):
        pass


def test_nobody_waits_for_ever_for_room() -> None:
    room = Room(10, limit_sec=0.1)
    with room.take(10), room.take(10):
        pass
