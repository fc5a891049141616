"""Tests of units: every picture once, whatever was done before; the same unit, the same id."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.listing import read_batch
from pipelines.records import ImageFile, Unit
from pipelines.schemas import CAPTIONS
from pipelines.units import Remaining, done_uris, plan_units, unit_id, unit_uri

ARCHIVE = [ImageFile(f"/archive/{i}.jpg", f"{i}.jpg", 100 + i) for i in range(12)]
archives = st.lists(st.sampled_from(ARCHIVE), max_size=30)


def plan(images: Remaining, size: int) -> tuple[list[Unit], list[list[ImageFile]]]:
    """The units of `images`, and the pictures that workers would read of each."""
    with tempfile.TemporaryDirectory() as folder:
        units = plan_units(images, size, f"{folder}/plan")
        return units, [read_batch(unit.plan_uri, unit.batch, ImageFile) for unit in units]


@given(archives, st.sets(st.sampled_from(ARCHIVE)), st.integers(1, 15))
def test_each_picture_is_done_already_or_in_one_unit(
    images: list[ImageFile], done: set[ImageFile], size: int
) -> None:
    remaining = Remaining(images, {image.uri for image in done})
    units, batches = plan(remaining, size)
    planned = [image for batch in batches for image in batch]
    assert planned == [image for image in dict.fromkeys(images) if image not in done]
    assert remaining.inputs == len(set(images))
    assert remaining.already_done == len(set(images) & done)
    assert remaining.inputs == remaining.already_done + len(planned)
    assert all(len(batch) == size for batch in batches[:-1])
    assert len({unit.unit_id for unit in units}) == len(units)


@settings(max_examples=30)
@given(archives.filter(bool), st.integers(1, 5), st.data())
def test_runs_that_stop_anywhere_give_each_picture_once_in_the_end(
    images: list[ImageFile], size: int, data: st.DataObject
) -> None:
    done: list[str] = []
    for _ in range(20):
        _, batches = plan(Remaining(images, set(done)), size)
        if not batches:
            break
        # A run commits some of its units, in any order, before it is killed.
        committed = data.draw(st.lists(st.sampled_from(range(len(batches))), unique=True))
        done += [image.uri for number in committed for image in batches[number]]
    else:
        _, batches = plan(Remaining(images, set(done)), size)
        done += [image.uri for batch in batches for image in batch]
    assert sorted(done) == sorted({image.uri for image in images})


def test_no_pictures_are_no_units() -> None:
    assert plan(Remaining([], set()), 3) == ([], [])


@given(archives, archives)
def test_ids_are_equal_where_pictures_and_order_are(
    one: list[ImageFile], other: list[ImageFile]
) -> None:
    assert (unit_id(one) == unit_id(other)) == (one == other)


def test_the_id_of_a_unit_never_changes() -> None:
    """Fixed: another id for the same pictures would be another file beside the first."""
    assert unit_id(ARCHIVE[:2]) == "ccaaab6c1d9ce1b84e6e"
    assert unit_id([]) == "e3b0c44298fc1c149afb"


def test_ids_depend_on_uri_and_size_alone() -> None:
    image = ARCHIVE[0]
    assert unit_id([image]) == unit_id([ImageFile(image.uri, "other id", image.byte_size)])
    assert unit_id([image]) != unit_id([ImageFile(image.uri, image.image_id, 7)])
    assert unit_id([image]) != unit_id([ImageFile("/other", image.image_id, image.byte_size)])
    # What is said of one picture cannot pass for what is said of the next.
    split = [ImageFile("/a", "", 1), ImageFile("/b", "", 2)]
    joined = [ImageFile("/a\x001\x00/b", "", 2)]
    assert unit_id(split) == unit_id(joined), "a name holds no NUL: no file is named so"


def test_a_plan_does_not_decide_the_ids(tmp_path: Path) -> None:
    first = plan_units(ARCHIVE, 5, str(tmp_path / "first"))
    again = plan_units(ARCHIVE, 5, str(tmp_path / "again"))
    assert [unit.unit_id for unit in first] == [unit.unit_id for unit in again]
    assert [unit.batch for unit in first] == [0, 1, 2]


def commit(folder: Path, name: str, *uris: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Readers of the done ones ask for a single column: the others may be missing here.
    table = pa.table({"image_uri": pa.array(uris, pa.string())})
    pq.write_table(table, folder / name)


def test_pictures_in_committed_files_are_done(tmp_path: Path) -> None:
    assert done_uris(str(tmp_path / "absent")) == set()
    commit(tmp_path, Path(unit_uri("", Unit("abc", "", 0))).name, "/a.jpg", "/ü \n.jpg")
    commit(tmp_path, "part-def.parquet", "/b.jpg")
    pq.write_table(pa.Table.from_pylist([], CAPTIONS), tmp_path / "part-0.parquet")
    assert done_uris(str(tmp_path)) == {"/a.jpg", "/ü \n.jpg", "/b.jpg"}


def test_temporaries_and_other_files_are_not_done(tmp_path: Path) -> None:
    commit(tmp_path, "_part-abc.parquet.12.tmp", "/a.jpg")
    (tmp_path / "notes.txt").write_text("/b.jpg", encoding="utf-8")
    assert done_uris(str(tmp_path)) == set()


def test_remote_committed_files_are_done(memory: dict[str, bytes], tmp_path: Path) -> None:
    commit(tmp_path, "part-1.parquet", "/a.jpg")
    memory["memory://bucket/captions/part-1.parquet"] = (tmp_path / "part-1.parquet").read_bytes()
    assert done_uris("memory://bucket/captions") == {"/a.jpg"}
