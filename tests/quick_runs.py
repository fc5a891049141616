"""What runs of the pipelines in the tests' own process need not do again and again.

Tests make some hundred runs of a few pictures each, whose time is all start-up. Runs in processes
of their own, and the tests of `end_to_end`, have none of this.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate

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


def _viewed_once(view_as: Any) -> Any:
    """`PipelineOptions.view_as` that parses the options once for each view, of hundreds in a run.

    All views of some options share their values.
    """
    views: weakref.WeakKeyDictionary[Any, dict[type, Any]] = weakref.WeakKeyDictionary()

    def view(options: PipelineOptions, cls: type) -> Any:
        known = views.setdefault(options, {})
        if cls not in known:
            known[cls] = view_as(options, cls)
        return known[cls]

    return view


def _inspected_once(get_specs: Any) -> Any:
    """`get_dofn_specs` that looks at the methods of a class once, and not in each of its uses."""
    known: dict[type, Any] = {}

    def specs(dofn: Any) -> Any:
        if type(dofn) not in known:
            known[type(dofn)] = get_specs(dofn)
        return known[type(dofn)]

    return specs


# Kept for the process, used in the tests of a folder alone.
_QUICK = [
    (inference, "open_bundle", _opened_once()),
    (PipelineOptions, "view_as", _viewed_once(PipelineOptions.view_as)),
    (userstate, "get_dofn_specs", _inspected_once(userstate.get_dofn_specs)),
]


@pytest.fixture(scope="module", autouse=True)
def quick_runs() -> Iterator[None]:
    """Keeps what is the same in every run of this process, while it is the same."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, quick in _QUICK:
            patch.setattr(owner, name, quick)
        yield
