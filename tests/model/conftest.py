"""A dataset of coloured squares and what a tiny captioner makes of it, once for all tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import builders
import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of pytest-xdist's workers makes that needs it; the others wait."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, made = root / name / "alone", root / f"{name}.made"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.parent.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder; tests leave it as it is."""
    return made_once(tmp_path_factory, "squares", builders.write_dataset)


@pytest.fixture(scope="session")
def trained_run(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned the squares' colours; tests leave it as it is."""

    def make(folder: Path) -> None:
        assert builders.train(squares, folder) == 0

    return made_once(tmp_path_factory, "trained_run", make)


@pytest.fixture(scope="session")
def bundle_folder(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `trained_run` with the default sampler; tests leave it as it is."""
    from model.config import SamplerConfig
    from model.export import export

    def make(folder: Path) -> None:
        export(trained_run, folder, SamplerConfig())

    return made_once(tmp_path_factory, "bundle", make)
