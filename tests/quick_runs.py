"""What runs of the pipelines in the tests' own process need not do again and again.

Tests make some hundred runs of a few pictures each, most of whose time is loading the bundle. Runs
in processes of their own, and the tests of `end_to_end`, load it each time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.bundle_folder import BUNDLE_FILE, LoadedBundle
from model.open_bundle import open_bundle
from pipelines import inference


def _opened_once() -> Any:
    """`open_bundle` that keeps a bundle in memory until its files change."""

    @functools.lru_cache(maxsize=4)
    def opened(folder: Path, _state: tuple, *how: Any) -> LoadedBundle:
        return open_bundle(folder, *how)

    def open_it(folder: Path, *how: Any) -> LoadedBundle:
        found = (folder / name for name in ("saved_model.pb", BUNDLE_FILE))
        state = tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (path.stat() for path in found))
        return opened(folder, state, *how)

    return open_it


# Kept for the process, used in the tests of a folder alone.
_OPEN_BUNDLE = _opened_once()


@pytest.fixture(scope="module", autouse=True)
def quick_runs() -> Iterator[None]:
    """Runs of this process load a bundle once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "open_bundle", _OPEN_BUNDLE)
        yield
