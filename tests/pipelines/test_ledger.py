"""Tests of the ledger: what has a row is found; a stale row goes, and nothing else with it."""

from __future__ import annotations

import datetime
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from container_builders import caption_row, write_part
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.ledger import Ledger, Place, read_ledger, remove_rows
from pipelines.records import Unit
from pipelines.schemas import CAPTIONS, REJECTED
from pipelines.units import unit_uri

TIME = datetime.datetime(2025, 6, 1, 12, tzinfo=datetime.UTC)


def rows_of(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.rows.to_pylist()


def uris_in(folder: Path) -> list[str]:
    """The URIs of all rows of all files."""
    paths = sorted(folder.glob("part-*.parquet"))
    return [uri for path in paths for uri in pq.read_table(path)["image_uri"].to_pylist()]


def unchecked() -> None:
    """The run may write."""


def test_a_folder_that_is_absent_has_no_rows(tmp_path: Path) -> None:
    ledger = read_ledger(str(tmp_path / "absent"))
    assert (ledger.parts, rows_of(ledger), ledger.doubles) == ([], [], [])


def test_rows_are_told_with_their_places(tmp_path: Path) -> None:
    name = Path(unit_uri("", Unit("abc", "", 0))).name
    first = caption_row("/a.jpg", captioned_at=TIME, byte_size=7)
    second = caption_row("/ü \n.jpg", captioned_at=TIME, status=REJECTED, byte_size=None)
    rejected = {"captioned_at": TIME, "status": REJECTED}
    unread = caption_row("/c.jpg", **rejected, reason="missing", sha256=None)
    too_large = caption_row("/d.jpg", **rejected, reason="bomb", sha256=None)
    damaged = caption_row("/e.jpg", **rejected, reason="truncated", sha256="ab")
    parts = [
        write_part(tmp_path / name, [first, {**second, "sha256": "ab"}]),
        write_part(tmp_path / "part-def.parquet", [caption_row("/b.jpg", captioned_at=TIME)]),
        write_part(tmp_path / "part-empty.parquet", []),
        write_part(tmp_path / "part-rejects.parquet", [unread, too_large, damaged]),
    ]
    ledger = read_ledger(str(tmp_path))
    assert ledger.parts == parts
    usec = int(TIME.timestamp() * 1e6)
    keys = ("image_uri", "rejected", "unread", "byte_size", "captioned_usec", "part", "row")
    expected = [
        ("/a.jpg", False, False, 7, usec, 0, 0),
        ("/ü \n.jpg", True, False, None, usec, 0, 1),
        ("/b.jpg", False, False, 4, usec, 1, 0),
        ("/c.jpg", True, True, 4, usec, 3, 0),
        ("/d.jpg", True, False, 4, usec, 3, 1),
        ("/e.jpg", True, False, 4, usec, 3, 2),
    ]
    assert rows_of(ledger) == [dict(zip(keys, values, strict=True)) for values in expected]
    assert ledger.doubles == []


def test_times_in_other_units_are_the_same_times(tmp_path: Path) -> None:
    """As pandas writes them, say, when it writes a part anew."""
    part = Path(
        write_part(tmp_path / "part-abc.parquet", [caption_row("/a.jpg", captioned_at=TIME)])
    )
    table = pq.read_table(part)
    place = table.schema.get_field_index("captioned_at")
    finer = table["captioned_at"].cast(pa.timestamp("ns", "UTC"))
    pq.write_table(table.set_column(place, "captioned_at", finer), part)
    (row,) = rows_of(read_ledger(str(tmp_path)))
    assert row["captioned_usec"] == int(TIME.timestamp() * 1e6)


def test_the_sum_of_a_picture_is_that_of_its_own_row(tmp_path: Path) -> None:
    for part in (1, 2):
        rows = [caption_row(f"/{part}-{row}.jpg", sha256=f"{part}{row}") for row in range(2)]
        write_part(tmp_path / f"part-{part}.parquet", rows)
    ledger = read_ledger(str(tmp_path))
    assert [ledger.sha256_of(number) for number in range(4)] == ["10", "11", "20", "21"]


def test_temporaries_and_other_files_are_passed_over(tmp_path: Path) -> None:
    write_part(tmp_path / "_part-abc.parquet.12.tmp", [caption_row("/a.jpg")])
    (tmp_path / "._part-abc.parquet").write_bytes(b"what macOS knows of a file")
    (tmp_path / "notes.txt").write_text("/b.jpg", encoding="utf-8")
    assert rows_of(read_ledger(str(tmp_path))) == []


def test_a_remote_folder_has_its_rows(memory: dict[str, bytes], tmp_path: Path) -> None:
    part = write_part(tmp_path / "part-1.parquet", [caption_row("/a.jpg"), caption_row("/b.jpg")])
    memory["memory://bucket/captions/part-1.parquet"] = Path(part).read_bytes()
    ledger = read_ledger("memory://bucket/captions")
    assert [row["image_uri"] for row in rows_of(ledger)] == ["/a.jpg", "/b.jpg"]
    remove_rows(ledger, [Place(0, 0)], unchecked)
    (row,) = rows_of(read_ledger("memory://bucket/captions"))
    assert row["image_uri"] == "/b.jpg"
    remove_rows(read_ledger("memory://bucket/captions"), [Place(0, 0)], unchecked)
    assert memory == {}


@pytest.mark.parametrize("data", [b"", b"half a file", None])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, data: bytes | None) -> None:
    part = tmp_path / "part-1.parquet"
    write_part(part, [caption_row("/a.jpg")])
    if data is None:
        pq.write_table(pq.read_table(part).drop_columns(["status"]), part)
    else:
        part.write_bytes(data)
    with pytest.raises(CaptionerError, match=r"part-1\.parquet cannot be read: .*; delete it"):
        read_ledger(str(tmp_path))


places = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 4)).map(lambda p: Place(*p)))


@settings(max_examples=40)
@given(places)
def test_removed_rows_are_gone_and_all_others_stay(places: set[Place]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uris = [[f"/{part}-{row}.jpg" for row in range(5)] for part in range(4)]
        for part, names in enumerate(uris):
            write_part(folder / f"part-{part}.parquet", [caption_row(uri) for uri in names])
        untouched = {part: (folder / f"part-{part}.parquet").stat().st_ino for part in range(4)}
        remove_rows(read_ledger(name), places, unchecked)
        gone = {uris[part][row] for part, row in places}
        left = [uri for names in uris for uri in names if uri not in gone]
        assert uris_in(folder) == left
        paths = {path.name for path in folder.iterdir()}
        assert paths == {f"part-{uri[1]}.parquet" for uri in left}, "an empty file is left"
        for part in {0, 1, 2, 3} - {place.part for place in places}:
            assert (folder / f"part-{part}.parquet").stat().st_ino == untouched[part]
        assert all(pq.read_schema(path).equals(CAPTIONS) for path in folder.iterdir())


def test_a_run_that_may_not_write_any_more_removes_nothing(tmp_path: Path) -> None:
    def overtaken() -> None:
        raise CaptionerError("another run")

    write_part(tmp_path / "part-1.parquet", [caption_row("/a.jpg"), caption_row("/b.jpg")])
    write_part(tmp_path / "part-2.parquet", [caption_row("/c.jpg")])
    for place in (Place(0, 0), Place(1, 0)):
        with pytest.raises(CaptionerError, match="another run"):
            remove_rows(read_ledger(str(tmp_path)), [place], overtaken)
    assert uris_in(tmp_path) == ["/a.jpg", "/b.jpg", "/c.jpg"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_row_whose_picture_was_read_counts_before_one_that_was_not(tmp_path: Path) -> None:
    later = TIME + datetime.timedelta(seconds=1)
    lost = {"captioned_at": later, "status": REJECTED, "reason": "missing", "sha256": None}
    broken = {"captioned_at": later, "status": REJECTED, "reason": "truncated", "sha256": "ab"}
    old = [caption_row(uri, captioned_at=TIME) for uri in ("/a.jpg", "/b.jpg")]
    new = [caption_row("/a.jpg", **lost), caption_row("/b.jpg", **broken)]
    write_part(tmp_path / "part-1.parquet", new)
    write_part(tmp_path / "part-2.parquet", old)
    assert read_ledger(str(tmp_path)).doubles == [Place(0, 0), Place(1, 1)]


def test_of_two_rows_of_a_picture_the_later_one_counts(tmp_path: Path) -> None:
    later = TIME + datetime.timedelta(seconds=1)
    old, new = (caption_row("/a.jpg", captioned_at=time) for time in (TIME, later))
    write_part(tmp_path / "part-1.parquet", [caption_row("/b.jpg"), new])
    write_part(tmp_path / "part-2.parquet", [old, caption_row("/c.jpg"), old])
    ledger = read_ledger(str(tmp_path))
    assert Counter(row["image_uri"] for row in rows_of(ledger)) == {
        "/a.jpg": 1,
        "/b.jpg": 1,
        "/c.jpg": 1,
    }
    assert ledger.doubles == [Place(1, 0), Place(1, 2)]
    remove_rows(ledger, ledger.doubles, unchecked)
    assert uris_in(tmp_path) == ["/b.jpg", "/a.jpg", "/c.jpg"]
