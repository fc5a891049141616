"""What the benchmarks share: contenders in turn, and the memory of a whole tree of processes."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from model.engine import ENGINES, Engine
from model.errors import CaptionerError

_SAMPLE_SEC = 0.2


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Runs the contenders in turn, `rounds` times; returns the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(command: Sequence[str]) -> tuple[float, int]:
    """Runs a command; returns its seconds and the peak of its processes' resident bytes.

    What processes share is counted once for each, so that the sum is an upper bound.

    Raises:
        subprocess.CalledProcessError: if the command fails.
    """
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(list(command), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, sum(_resident_bytes(pid) for pid in _tree(process.pid)))
        time.sleep(_SAMPLE_SEC)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, peak


def _tree(pid: int) -> list[int]:
    """`pid` and all processes below it."""
    try:  # any of its threads may have started them
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just ended
        return []
    children = [child for text in lists for child in text.split()]
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _resident_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def engines_of(bundle: Path) -> Iterator[str]:
    """Names of engines that can compute `bundle` here."""
    for name in ENGINES:
        with contextlib.suppress(CaptionerError):
            Engine(name).check(bundle)
            yield name
