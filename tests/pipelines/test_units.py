"""Tests of units: every picture once, whatever was done before; the same unit, the same id."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import units
from pipelines.ledger import Ledger
from pipelines.listing import read_batch
from pipelines.records import ImageFile, Unit
from pipelines.units import Remaining, Selection, plan_units, unit_id, unit_uri

ARCHIVE = [ImageFile(f"/archive/{i}.jpg", f"{i}.jpg", 100 + i) for i in range(12)]
archives = st.lists(st.sampled_from(ARCHIVE), max_size=30)
NOW_USEC = time.time_ns() // 1000
HOUR_USEC = 3_600_000_000


def ledger_of(
    images: Iterable[ImageFile],
    rejected: bool = False,
    captioned_usec: int = NOW_USEC,
    unread: bool = False,
) -> Ledger:
    """The ledger of a folder that has rows of `images`, all in one file."""
    images = list(images)
    columns = {
        "image_uri": pa.array([image.uri for image in images], pa.large_string()),
        "rejected": pa.array([rejected] * len(images), pa.bool_()),
        "unread": pa.array([unread] * len(images), pa.bool_()),
        "byte_size": pa.array([image.byte_size for image in images], pa.int64()),
        "captioned_usec": pa.array([captioned_usec] * len(images), pa.int64()),
        "part": pa.array([0] * len(images), pa.int32()),
        "row": pa.array(range(len(images)), pa.int32()),
    }
    return Ledger(["/captions/part-0.parquet"], pa.table(columns), [])


def plan(images: Remaining, size: int) -> tuple[list[Unit], list[list[ImageFile]]]:
    """The units of `images`, and the pictures that workers would read of each."""
    with tempfile.TemporaryDirectory() as folder:
        units = plan_units(images, size, f"{folder}/plan")
        return units, [read_batch(unit.plan_uri, unit.batch, ImageFile) for unit in units]


@pytest.fixture(params=[2, 1000])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many pictures are compared with the ledger at a time."""
    monkeypatch.setattr(units, "_CHUNK", request.param)
    return request.param


# The fixture stays the same for all examples.
@settings(suppress_health_check=list(HealthCheck))
@given(archives, st.sets(st.sampled_from(ARCHIVE)), st.integers(1, 15))
def test_each_picture_is_done_already_or_in_one_unit(
    chunk: int, images: list[ImageFile], done: set[ImageFile], size: int
) -> None:
    remaining = Remaining(images, ledger_of(done))
    planned_units, batches = plan(remaining, size)
    planned = [image for batch in batches for image in batch]
    assert planned == [image for image in dict.fromkeys(images) if image not in done]
    assert remaining.inputs == len(set(images))
    assert remaining.already_done == len(set(images) & done)
    assert remaining.to_do == len(planned)
    assert all(len(batch) == size for batch in batches[:-1])
    assert len({unit.unit_id for unit in planned_units}) == len(planned_units)
    assert (remaining.changed, remaining.retried) == (0, 0)


@settings(max_examples=30)
@given(archives.filter(bool), st.integers(1, 5), st.data())
def test_runs_that_stop_anywhere_give_each_picture_once_in_the_end(
    images: list[ImageFile], size: int, data: st.DataObject
) -> None:
    done: list[ImageFile] = []
    for _ in range(20):
        _, batches = plan(Remaining(images, ledger_of(done)), size)
        if not batches:
            break
        # A run commits some of its units, in any order, before it is killed.
        committed = data.draw(st.lists(st.sampled_from(range(len(batches))), unique=True))
        done += [image for number in committed for image in batches[number]]
    else:
        _, batches = plan(Remaining(images, ledger_of(done)), size)
        done += [image for batch in batches for image in batch]
    assert sorted(image.uri for image in done) == sorted({image.uri for image in images})


def test_no_pictures_are_no_units() -> None:
    assert plan(Remaining([], ledger_of([])), 3) == ([], [])


def changed(image: ImageFile, **values: int | None) -> ImageFile:
    return dataclasses.replace(image, **values)


@pytest.mark.parametrize(
    ("now", "is_changed"),
    [
        (ARCHIVE[0], False),
        (changed(ARCHIVE[0], byte_size=7), True),
        (changed(ARCHIVE[0], byte_size=0), False),  # the listing does not tell
        (changed(ARCHIVE[0], modified_usec=NOW_USEC - HOUR_USEC), False),
        (changed(ARCHIVE[0], modified_usec=NOW_USEC + 1), True),
        # A clock that went wrong would make it new in every run.
        (changed(ARCHIVE[0], modified_usec=NOW_USEC + 999 * HOUR_USEC), False),
        (changed(ARCHIVE[0], byte_size=7, modified_usec=NOW_USEC - HOUR_USEC), True),
    ],
)
def test_a_picture_that_changed_since_is_done_again(now: ImageFile, is_changed: bool) -> None:
    remaining = Remaining([now, ARCHIVE[1]], ledger_of(ARCHIVE))
    assert list(remaining) == ([now] if is_changed else [])
    assert remaining.changed == is_changed
    assert remaining.already_done == 2 - is_changed


def test_the_size_of_a_parquet_file_is_not_that_of_its_pictures() -> None:
    row = ImageFile("/a.parquet!/3", "a", 10**6, "/a.parquet", "3", 3, None, NOW_USEC - 1)
    ledger = ledger_of([dataclasses.replace(row, byte_size=900)])
    assert not list(Remaining([row], ledger))
    written_anew = dataclasses.replace(row, modified_usec=NOW_USEC + 1)
    assert list(Remaining([written_anew], ledger)) == [written_anew]


def test_rejected_pictures_are_done_again_only_if_asked() -> None:
    ledger = ledger_of(ARCHIVE[:3], rejected=True)
    assert list(Remaining(ARCHIVE, ledger)) == ARCHIVE[3:]
    remaining = Remaining(ARCHIVE, ledger, Selection(retry_rejected=True))
    assert list(remaining) == ARCHIVE
    assert (remaining.retried, remaining.changed) == (3, 0)
    captioned = Remaining(ARCHIVE, ledger_of(ARCHIVE[:3]), Selection(retry_rejected=True))
    assert list(captioned) == ARCHIVE[3:]


@given(archives, st.integers(1, 15))
def test_a_limit_takes_the_first_pictures(images: list[ImageFile], limit: int) -> None:
    first = list(dict.fromkeys(images))[:limit]
    remaining = Remaining(images, ledger_of(ARCHIVE[:4]), Selection(limit=limit))
    assert list(remaining) == [image for image in first if image not in ARCHIVE[:4]]
    assert remaining.inputs == len(first)


def test_a_limit_ends_the_listing() -> None:
    def endless() -> Iterable[ImageFile]:
        number = 0
        while True:
            yield ImageFile(f"/archive/{number}.jpg", "", 1)
            number += 1

    assert len(list(Remaining(endless(), ledger_of([]), Selection(limit=5)))) == 5


def test_a_sample_is_the_same_in_every_run_whatever_the_order() -> None:
    images = [ImageFile(f"/archive/{i}.jpg", "", 1) for i in range(2000)]
    sample = set(Remaining(images, ledger_of([]), Selection(sample=0.1)))
    assert 150 < len(sample) < 250
    assert set(Remaining(reversed(images), ledger_of([]), Selection(sample=0.1))) == sample
    assert sample < set(Remaining(images, ledger_of([]), Selection(sample=0.2)))


def test_pictures_to_do_are_counted_by_their_container() -> None:
    tar = [ImageFile(f"/a.tar!/{i}.jpg", f"{i}.jpg", 5, "/a.tar", f"{i}.jpg", 0) for i in range(4)]
    remaining = Remaining([*ARCHIVE, *tar], ledger_of([*ARCHIVE[:10], tar[0]]))
    list(remaining)
    assert remaining.by_container == {None: 2, "/a.tar": 3}


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
    assert unit_id([image]) == unit_id([dataclasses.replace(image, modified_usec=1)])
    assert unit_id([image]) != unit_id([ImageFile(image.uri, image.image_id, 7)])
    assert unit_id([image]) != unit_id([ImageFile("/other", image.image_id, image.byte_size)])
    # What is said of one picture cannot pass for what is said of the next.
    split = [ImageFile("/a", "", 1), ImageFile("/b", "", 2)]
    joined = [ImageFile("/a\x001\x00/b", "", 2)]
    assert unit_id(split) == unit_id(joined), "a name holds no NUL: no file is named so"


def test_a_unit_that_is_done_again_gets_a_file_of_its_own(tmp_path: Path) -> None:
    def units(taken: list[str]) -> list[Unit]:
        return plan_units(ARCHIVE, 5, str(tmp_path / "plan"), taken)

    first = units([])
    second = units([unit_uri("/captions", first[0])])
    assert [a == b for a, b in zip(first, second, strict=True)] == [False, True, True]
    third = units([unit_uri("/captions", unit) for unit in (first[0], second[0])])
    assert third[0].unit_id not in {first[0].unit_id, second[0].unit_id}
    # The same whenever the same files are there.
    assert units([unit_uri("/captions", first[0])]) == second


def test_a_plan_does_not_decide_the_ids(tmp_path: Path) -> None:
    first = plan_units(ARCHIVE, 5, str(tmp_path / "first"))
    again = plan_units(ARCHIVE, 5, str(tmp_path / "again"))
    assert [unit.unit_id for unit in first] == [unit.unit_id for unit in again]
    assert [unit.batch for unit in first] == [0, 1, 2]


@pytest.mark.parametrize(
    ("now", "again"),
    [
        (ARCHIVE[0], True),  # a disk that was away is back
        (changed(ARCHIVE[0], byte_size=0), False),  # a link that still leads nowhere
        (changed(ARCHIVE[0], flaw="encrypted: as before"), False),
    ],
)
def test_a_picture_that_could_not_be_read_is_tried_again_once_it_may_be(
    now: ImageFile, again: bool
) -> None:
    remaining = Remaining([now, ARCHIVE[1]], ledger_of([ARCHIVE[0]], rejected=True, unread=True))
    assert list(remaining) == ([now] if again else []) + [ARCHIVE[1]]
    assert (remaining.retried, remaining.already_rejected) == (again, not again)


@pytest.mark.parametrize("selection", [Selection(), Selection(retry_rejected=True)])
def test_a_rejected_picture_that_changed_is_no_retry(selection: Selection) -> None:
    now = changed(ARCHIVE[0], byte_size=7)
    ledger = ledger_of([ARCHIVE[0]], rejected=True, unread=True)
    remaining = Remaining([now], ledger, selection)
    assert list(remaining) == [now]
    assert (remaining.changed, remaining.retried, remaining.already_rejected) == (1, 0, 0)


def test_a_remote_picture_that_could_not_be_read_is_tried_again_whatever_its_size() -> None:
    far = ImageFile("memory://bucket/a.jpg", "a", 0)
    assert list(Remaining([far], ledger_of([far], rejected=True, unread=True))) == [far]
    assert not list(Remaining([far], ledger_of([far], rejected=True)))


def test_rejects_that_stay_are_counted() -> None:
    remaining = Remaining(ARCHIVE, ledger_of(ARCHIVE[:3], rejected=True))
    assert len(list(remaining)) == len(ARCHIVE) - 3
    assert (remaining.already_done, remaining.already_rejected) == (3, 3)


def test_a_reject_of_a_folder_goes_once_the_folder_is_listed() -> None:
    told = [ImageFile(uri, uri, 0) for uri in ("/archive/a/", "/archive/b/", "/archive/c.jpg/")]
    ledger = ledger_of(told, rejected=True, unread=True)
    now = [ImageFile("/archive/a/1.jpg", "1", 4), told[1], ImageFile("/archive/c.jpg", "c", 4)]
    for selection, gone in ((Selection(), ["/archive/a/"]), (Selection(limit=3), [])):
        remaining = Remaining(now, ledger, selection)
        assert len(list(remaining)) == 2
        assert remaining.listed_at_last() == gone
    assert Remaining([], ledger_of([])).listed_at_last() == []


# Names that go before and after those in a.tar, a.zip and a/.
names = st.sampled_from(
    ["a", "a.tar", "a.tar!", "a.tar!/b", "a.tar0", "a.zip!/b", "a/b", "a0", "b"]
)


@given(st.sets(names), st.sets(st.sampled_from(["a/", "a.tar", "a.tar!/@512", "a.zip", "c.tar"])))
def test_what_lies_below_rejects_is_found(listed: set[str], told: set[str]) -> None:
    images = [ImageFile(uri, uri, 4) for uri in sorted(listed)]
    rejects = [ImageFile(uri, uri, 0) for uri in sorted(told)]
    inside = {uri: uri if uri == "a/" else uri.removesuffix("!/@512") + "!/" for uri in told}
    below = {uri: {name for name in listed if name.startswith(inside[uri])} for uri in told}
    remaining = Remaining(images, ledger_of(rejects, rejected=True, unread=True))
    list(remaining)
    assert set(remaining.listed_at_last()) == {u for u in told - listed if below[u]}
    remaining = Remaining(rejects, ledger_of(images))
    list(remaining)
    gone = listed - told - set().union(*below.values())
    assert set(remaining.unlisted().to_pylist()) == gone


def test_what_is_compared_does_not_grow_with_the_square_of_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(units, "_CHUNK", 4)
    plain, compared = Remaining._unseen, Counter[int]()

    def unseen(remaining: Remaining, chunk: list[ImageFile]) -> tuple[list[ImageFile], pa.Array]:
        compared[number] += remaining.inputs + len(remaining.ledger.rows)
        return plain(remaining, chunk)

    monkeypatch.setattr(Remaining, "_unseen", unseen)
    for number in (2000, 4000):
        images = [ImageFile(f"/archive/{i}.jpg", f"{i}.jpg", 4) for i in range(number)]
        assert list(Remaining(images, ledger_of(images[::2]))) == images[1::2]
    assert compared[4000] < 3 * compared[2000]


@given(archives.filter(bool), st.sets(st.sampled_from(ARCHIVE)))
def test_rows_of_pictures_that_no_input_lists_are_known(
    images: list[ImageFile], done: set[ImageFile]
) -> None:
    remaining = Remaining(images, ledger_of(done))
    list(remaining)
    gone = {image.uri for image in done - set(images)}
    assert set(remaining.unlisted().to_pylist()) == gone
    assert len(remaining.unlisted()) == len(gone)
    for selection in (Selection(limit=len(images)), Selection(sample=0.99)):
        some = Remaining(images, ledger_of(done), selection)
        list(some)
        assert len(some.unlisted()) == 0


@pytest.mark.parametrize("end", ["/", ".tar", ".zip", ".ZIP", ".tar!/@512", ".Tar!/@512"])
def test_a_row_of_what_cannot_be_listed_just_now_is_not_one_of_them(end: str) -> None:
    stands, inside = f"/archive/a{end}", f"/archive/a{end}".removesuffix("@512").rstrip("!/")
    within = f"{inside}/b.jpg" if end == "/" else f"{inside}!/b.jpg"
    images = [ImageFile(uri, uri, 4) for uri in (within, "/archive/ab.jpg")]
    remaining = Remaining([ImageFile(stands, "", 0, flaw="unreadable: away")], ledger_of(images))
    list(remaining)
    assert remaining.unlisted().to_pylist() == ["/archive/ab.jpg"]


def test_a_reject_of_a_folder_that_is_listed_or_gone_counts_once() -> None:
    told = [ImageFile(uri, uri, 0) for uri in ("/archive/a/", "/archive/b/")]
    ledger = ledger_of(told, rejected=True, unread=True)
    remaining = Remaining([ImageFile("/archive/a/1.jpg", "1", 4)], ledger)
    list(remaining)
    assert remaining.listed_at_last() == ["/archive/a/"]
    assert remaining.unlisted().to_pylist() == ["/archive/b/"]
