"""Work in threads: a bounded number of results ahead of whoever takes them."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from model.engine import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

# Pillow and file reads release the GIL: threads decode while the caller computes.
THREADS = min(16, usable_cores())
AHEAD_PER_THREAD = 4


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = THREADS,
    limit_sec: float | None = None,
    on_stall: Callable[[Item], Result] | None = None,
) -> Iterator[Result]:
    """Like `map`, in order, with at most `4 * threads` results computed ahead of the caller.

    Args:
        function: called in a thread for each item.
        items: its arguments.
        threads: how many work at once.
        limit_sec: most seconds for an item; None for no limit.
        on_stall: gives the result of an item that took longer. What the thread waits for may never
            come, so that it is left to itself and another one takes its place.
    """
    pool = _Pool(function, threads, limit_sec)
    try:
        ahead: deque[_Task[Item, Result]] = deque()
        for item in items:
            ahead.append(pool.submit(item))
            if len(ahead) >= AHEAD_PER_THREAD * threads:
                yield _take(ahead.popleft(), pool, on_stall)
        while ahead:
            yield _take(ahead.popleft(), pool, on_stall)
    finally:
        pool.close()


class _Task(Generic[Item, Result]):
    """An item, and what has become of it."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = threading.Event()
        self.started: float | None = None
        self.abandoned = False
        self.result: Result
        self.error: BaseException | None = None

    def wait(self, limit_sec: float | None) -> bool:
        """Waits until it is done, or was worked on for `limit_sec`; returns which."""
        while limit_sec is not None:
            started = self.started
            left = limit_sec if started is None else started + limit_sec - time.monotonic()
            if self.done.wait(max(0.0, left)):
                return True
            if started is not None:
                return False
        return self.done.wait()


def _take(
    task: _Task[Item, Result],
    pool: "_Pool[Item, Result]",
    on_stall: Callable[[Item], Result] | None,
) -> Result:
    if not task.wait(pool.limit_sec):
        pool.abandon(task)
        assert on_stall is not None
        return on_stall(task.item)
    if task.error is not None:
        raise task.error
    return task.result


class _Pool(Generic[Item, Result]):
    """Threads that take tasks in their order; daemons, so that none keeps a process alive."""

    def __init__(
        self, function: Callable[[Item], Result], threads: int, limit_sec: float | None
    ) -> None:
        self._function, self.limit_sec = function, limit_sec
        self._tasks: queue.SimpleQueue[_Task[Item, Result] | None] = queue.SimpleQueue()
        self._of: dict[threading.Thread, _Task[Item, Result] | None] = {}
        for _ in range(threads):
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, daemon=True)
        self._of[thread] = None
        thread.start()

    def _work(self) -> None:
        this = threading.current_thread()
        while (task := self._tasks.get()) is not None:
            self._of[this] = task
            task.started = time.monotonic()
            try:
                task.result = self._function(task.item)
            except BaseException as error:
                task.error = error
            task.done.set()
            if task.abandoned:
                return

    def submit(self, item: Item) -> _Task[Item, Result]:
        """Has a thread work on `item` in its turn."""
        task: _Task[Item, Result] = _Task(item)
        self._tasks.put(task)
        return task

    def abandon(self, task: _Task[Item, Result]) -> None:
        """Leaves the thread that works on `task` to itself, for another one."""
        task.abandoned = True
        self._start()

    def close(self) -> None:
        """Ends all threads but those left to themselves, or to be so once their time is over."""
        while True:  # what nobody will take
            try:
                self._tasks.get_nowait()
            except queue.Empty:
                break
        for _ in self._of:
            self._tasks.put(None)
        for thread, task in self._of.items():
            if task is not None and not task.wait(self.limit_sec):
                continue
            thread.join()


class Room:
    """An amount that threads share: one that wants more than is left waits.

    Args:
        size: the amount; who wants more gets it when nobody else has any.
        limit_sec: after so long it is given all the same, should others never return theirs.
    """

    def __init__(self, size: int, limit_sec: float) -> None:
        self.size, self.limit_sec = size, limit_sec
        self._taken = 0
        self._returned = threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Has `amount` of it within."""
        with self._returned:
            self._returned.wait_for(lambda: self._has(amount), self.limit_sec)
            self._taken += amount
        try:
            yield
        finally:
            with self._returned:
                self._taken -= amount
                self._returned.notify_all()

    def _has(self, amount: int) -> bool:
        return self._taken == 0 or self._taken + amount <= self.size
