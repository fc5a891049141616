"""Tests of files that are there whole or not at all, and of weights that do not load."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from model.errors import CaptionerError
from model.whole_files import load_weights, write_whole


def network(units: int) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a.json", b"first")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.json", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"first")]


def test_weights_come_back(tmp_path: Path) -> None:
    first, second = network(2), network(2)
    first.save_weights(tmp_path / "x.weights.h5")
    load_weights(second, tmp_path / "x.weights.h5")
    for got, expected in zip(second.weights, first.weights, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("damage", ["absent", "cut short", "no HDF5", "of other units"])
def test_weights_that_do_not_load_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.weights.h5"
    if damage != "absent":
        network(4 if damage == "of other units" else 2).save_weights(path)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "no HDF5":
        path.write_bytes(b"weights")
    with pytest.raises(CaptionerError, match=r"x\.weights\.h5 cannot be loaded: expected whole"):
        load_weights(network(2), path)
