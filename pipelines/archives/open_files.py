"""The containers that a process holds open, shared by its threads."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something that holds a file open."""

    def close(self) -> None:
        """Lets go of the file."""


Opened = TypeVar("Opened", bound=Closable)


class OpenFiles(Generic[Opened]):
    """The files used last; of more than `limit` the one not used for longest is closed.

    None is closed while a thread uses it.

    Args:
        limit: how many idle ones are kept open.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: list[Opened] = []
        self._users: Counter[int] = Counter()

    @contextlib.contextmanager
    def borrow(
        self,
        fits: Callable[[Opened], bool],
        make: Callable[[], Opened],
        detour: Callable[[Opened], int | None] = lambda one: None,
    ) -> Iterator[Opened]:
        """Yields the one kept that `fits`, else one that nobody uses, else a new one.

        Args:
            fits: whether one of them serves as it is.
            make: opens another; it must not do slow work.
            detour: what an idle one has to do before it serves, the least of which is taken; None
                for more than one opened anew.
        """
        with self._lock:
            opened = next((one for one in reversed(self._kept) if fits(one)), None)
            if opened is None:
                opened = self._nearest_idle(detour)
            if opened is None:
                opened = make()
            else:
                self._kept.remove(opened)
            self._kept.append(opened)
            self._users[id(opened)] += 1
        try:
            yield opened
        finally:
            with self._lock:
                self._users[id(opened)] -= 1
                self._close_idle(self._limit)

    def _nearest_idle(self, detour: Callable[[Opened], int | None]) -> Opened | None:
        idle = (one for one in reversed(self._kept) if not self._users[id(one)])
        costs = [(cost, one) for one in idle if (cost := detour(one)) is not None]
        return min(costs, key=lambda pair: pair[0], default=(0, None))[1]

    def close(self) -> None:
        """Closes all that no thread is using."""
        with self._lock:
            self._close_idle(0)

    def _close_idle(self, limit: int) -> None:
        for one in self._kept[: max(0, len(self._kept) - limit)]:
            if not self._users[id(one)]:
                self._kept.remove(one)
                del self._users[id(one)]
                one.close()
