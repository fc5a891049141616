"""The signals that end a command: of a terminal's Ctrl-C, and of systems that run it unattended."""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# Ctrl-C; what `docker stop`, systemd, Slurm and the shell's `kill` send; a terminal that closes.
# Python lets the last two end the process as it stands, with all that is temporary left behind, and
# the first process of a container is not ended by them at all.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Until an interruption that was lost comes again.
_AGAIN_SEC = 0.1


class Interruptions:
    """Within, each of the signals `ENDING` raises a `KeyboardInterrupt` in the main thread.

    One that is ignored stays so, as after ``nohup``. One that comes where Python cannot raise, as
    in the destructor of an object, is lost there; it comes again.

    Attributes:
        last: the signal that came last; Ctrl-C's before the first.
    """

    def __init__(self) -> None:
        self.last = signal.SIGINT
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruptions":
        self._hook = sys.unraisablehook
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._interrupt)
            sys.unraisablehook = self._on_unraisable
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.last = signal.Signals(number)
        raise KeyboardInterrupt

    def _on_unraisable(self, lost: "UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            self._hook(lost)
            return
        # Not from here: it would be lost again.
        main = threading.main_thread().ident
        threading.Timer(_AGAIN_SEC, signal.pthread_kill, [main, self.last]).start()

    def message(self) -> str:
        """What a person is told."""
        how = "interrupted" if self.last is signal.SIGINT else f"ended by {self.last.name}"
        return f"{how}; run the same command again to go on"
