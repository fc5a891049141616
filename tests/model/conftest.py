"""A dataset of coloured squares and what a tiny captioner makes of it, once for all tests."""

from __future__ import annotations

from pathlib import Path

import builders
import pytest


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder; tests leave it as it is."""
    return builders.made_once(tmp_path_factory, "squares", builders.write_dataset)


@pytest.fixture(scope="session")
def trained_run(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned the squares' colours; tests leave it as it is."""

    def make(folder: Path) -> None:
        assert builders.train(squares, folder) == 0

    return builders.made_once(tmp_path_factory, "trained_run", make)


@pytest.fixture(scope="session")
def bundle_folder(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of `trained_run` with the default sampler; tests leave it as it is."""
    from model.config import SamplerConfig
    from model.export import export

    def make(folder: Path) -> None:
        export(trained_run, folder, SamplerConfig())

    return builders.made_once(tmp_path_factory, "bundle", make)
