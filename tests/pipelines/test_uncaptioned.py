"""Tests of pictures that no caption names: written as they are found, all of them or none."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import uncaptioned
from pipelines.records import ImageFile
from pipelines.schemas import REJECTS
from pipelines.uncaptioned import write_uncaptioned


def image(number: int) -> ImageFile:
    return ImageFile(f"/archive/{number}.jpg", f"{number}.jpg", byte_size=9)


@pytest.mark.parametrize("count", [1, 4, 6, 7])
def test_each_is_a_reject_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(uncaptioned, "_ROWS_HELD", 3)
    path = tmp_path / "rejects" / "part-no-caption.parquet"
    with write_uncaptioned(str(path)) as pictures:
        for number in range(count):
            pictures.add(image(number))
        assert not path.exists()
    assert pictures.count == count
    assert pq.read_schema(path).equals(REJECTS)
    same = {"stage": "join", "reason": "no_caption", "error": "no caption names this file"}
    assert pq.read_table(path).to_pylist() == [
        {"image_id": f"{n}.jpg", "image_uri": f"/archive/{n}.jpg", **same, "caption": None}
        for n in range(count)
    ]


def test_there_is_no_file_without_any(tmp_path: Path) -> None:
    with write_uncaptioned(str(tmp_path / "rejects" / "part.parquet")) as pictures:
        pass
    assert pictures.count == 0
    assert list(tmp_path.iterdir()) == []


def add_and_fail(uri: str) -> None:
    with write_uncaptioned(uri) as pictures:
        pictures.add(image(0))
        raise OSError("gone")


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncaptioned, "_ROWS_HELD", 1)
    with pytest.raises(OSError, match="gone"):
        add_and_fail(str(tmp_path / "rejects" / "part.parquet"))
    assert list(tmp_path.iterdir()) == []
