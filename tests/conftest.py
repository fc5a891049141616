"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Time says nothing on a busy machine; pytest-timeout stops what hangs.
settings.register_profile("captioner", deadline=None)
settings.load_profile("captioner")


@pytest.fixture(scope="session")
def development_data() -> Path:
    """An optional folder of development data: real captions and published scores.

    It is the folder that the environment variable CAPTIONER_DATA names or, where that is unset,
    ``../shared/data`` beside the repository root. A test that asks for it is skipped without it.
    """
    named = os.environ.get("CAPTIONER_DATA")
    root = Path(__file__).resolve().parents[1]
    folder = Path(named) if named else root.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no folder of development data at {folder} (set CAPTIONER_DATA to one)")
    return folder
