"""Tests of the allocator's settings, in a process of its own: they are for all of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Pages that the kernel clears while 64 MiB are taken, written to and given back twenty times.
COUNT_PAGES = """
import resource
from pipelines.allocator import keep_freed_memory
{}
bytearray(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(b"1") * (64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(first: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_PAGES.format(first)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_is_given_back_is_used_again() -> None:
    kept = pages("assert keep_freed_memory()")
    assert kept < pages("") / 5
