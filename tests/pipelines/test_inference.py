"""Tests of captioning a unit: rows in order, one guilty picture costs itself alone."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_builders
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifacts import BundleConfig
from model.bundle import Bundle
from model.bundle_folder import (
    ImageCaptions,
    LoadedBundle,
    ModelError,
    Scored,
    read_bundle_config,
)
from model.decoding_options import Decoding
from model.engine import Engine
from model.errors import CaptionerError
from model.image import DecodedImage
from model.open_bundle import open_bundle
from pipelines import inference
from pipelines.batches import BatchCaptioner
from pipelines.claims import Claim, claim
from pipelines.images import ReadImage, read_image
from pipelines.inference import (
    CommitUnit,
    UnitCaptioner,
    UnitRows,
    caption_images,
)
from pipelines.kept import KEEP_ALL, Kept
from pipelines.records import ImageFile, Unit
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED
from pipelines.stages import STAGES
from pipelines.units import plan_units, unit_uri

GUILTY = 255


def picture(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def says(pixels: np.ndarray) -> list[ImageCaptions]:
    """A model that says a picture's first pixel, and fails at a guilty one in the batch."""
    values = pixels[:, 0, 0, 0].tolist()
    if GUILTY in values:
        raise ModelError("InvalidArgumentError: a guilty picture")
    return [ImageCaptions([Scored(str(v), -1.0), Scored("other", -2.0)], []) for v in values]


@pytest.fixture(scope="module")
def config(tiny_bundle: Path) -> BundleConfig:
    return read_bundle_config(tiny_bundle)


def sound(value: int) -> ReadImage:
    return ReadImage(DecodedImage(picture(value), 640, 480, "JPEG", "RGB"), None, None, "ab", 99)


def spent() -> dict[str, float]:
    return dict.fromkeys(STAGES, 0.0)


def rows_of(
    reads: list[ReadImage],
    config: BundleConfig,
    batch_size: int = 3,
    model: Callable[[np.ndarray], list[ImageCaptions]] = says,
    kept: Kept = KEEP_ALL,
) -> list[dict[str, Any]]:
    images = [ImageFile(f"/archive/{i}.jpg", f"{i}.jpg", 10 + i) for i in range(len(reads))]
    pairs = iter(list(zip(images, reads, strict=True)))
    return list(caption_images(pairs, BatchCaptioner(model, batch_size), config, kept, spent()))


def test_a_captioned_row_tells_all_that_is_known(config: BundleConfig) -> None:
    before = datetime.datetime.now(datetime.UTC)
    (row,) = rows_of([sound(7)], config)
    assert before <= row.pop("captioned_at") <= datetime.datetime.now(datetime.UTC)
    assert row == {
        "image_uri": "/archive/0.jpg",
        "container": None,
        "member": None,
        "sha256": "ab",
        "status": CAPTIONED,
        "reason": None,
        "error": None,
        "caption": "7",
        "score": -1.0,
        "alternatives": [{"caption": "other", "score": -2.0}],
        "tags": [],
        "flags": [],
        "width_px": 640,
        "height_px": 480,
        "format": "JPEG",
        "byte_size": 99,
        "model_fingerprint": config.model_fingerprint,
    }


@pytest.mark.parametrize(
    ("kept", "alternatives", "tags"),
    [
        (KEEP_ALL, ["second", "third"], ["dog", "cat", "hat"]),
        (Kept(num_captions=9, tags=9), ["second", "third"], ["dog", "cat", "hat"]),
        (Kept(num_captions=2, tags=2), ["second"], ["dog", "cat"]),
        (Kept(num_captions=1, tags=0), [], []),
    ],
)
def test_no_more_is_kept_than_was_asked_for(
    config: BundleConfig, kept: Kept, alternatives: list[str], tags: list[str]
) -> None:
    def says_much(pixels: np.ndarray) -> list[ImageCaptions]:
        captions = [Scored(text, -1.0) for text in ("first", "second", "third")]
        named = [Scored("cat", 0.5), Scored("hat", 0.1), Scored("dog", 0.9)]
        return [ImageCaptions(captions, named)] * len(pixels)

    (row,) = rows_of([sound(1)], config, model=says_much, kept=kept)
    assert row["caption"] == "first"
    assert [other["caption"] for other in row["alternatives"]] == alternatives
    assert [tag["tag"] for tag in row["tags"]] == tags


def test_captions_below_the_models_low_score_are_flagged(config: BundleConfig) -> None:
    for low_score, flags in ((-0.5, ["low_score"]), (-1.5, []), (None, [])):
        (row,) = rows_of([sound(1)], dataclasses.replace(config, low_score=low_score))
        assert row["flags"] == flags


def test_a_row_is_as_old_as_the_start_of_its_unit(config: BundleConfig) -> None:
    """A file that changes while its unit is worked on is newer than its row: it is done again."""

    def reads() -> Iterator[tuple[ImageFile, ReadImage]]:
        for number in range(3):
            times.append(datetime.datetime.now(datetime.UTC))
            yield ImageFile(f"/{number}.jpg", "", 1), sound(number)

    times: list[datetime.datetime] = []
    rows = list(caption_images(reads(), BatchCaptioner(says, 1), config, KEEP_ALL, spent()))
    assert {row["captioned_at"] <= times[0] for row in rows} == {True}


def test_a_rejected_row_tells_the_reason(config: BundleConfig) -> None:
    broken = ReadImage(None, "truncated", "it ends early", "cd", 5)
    absent = ReadImage(None, "missing", "no such file", None, None)
    first, second = rows_of([broken, absent], config)
    assert (first["status"], first["reason"], first["error"]) == (
        (REJECTED, "truncated", "it ends early")
    )
    assert (first["sha256"], first["byte_size"], first.get("caption")) == ("cd", 5, None)
    # What could not be read has the size that the listing gave.
    assert (second["reason"], second["sha256"], second["byte_size"]) == ("missing", None, 11)


def test_a_row_of_a_parquet_file_that_could_not_be_read_has_no_size(config: BundleConfig) -> None:
    """The listing knows that of the whole file alone."""
    row = ImageFile("/a.parquet!/0", "0", 999, "/a.parquet", "0")
    reads = [ReadImage(None, "unreadable", "no bytes", None, None)]
    reads.append(ReadImage(None, "truncated", "it ends early", "cd", 5))
    captioner = BatchCaptioner(says, 3)
    pairs = iter([(row, read) for read in reads])
    rows = caption_images(pairs, captioner, config, KEEP_ALL, spent())
    assert [found["byte_size"] for found in rows] == [None, 5]


def test_a_picture_that_the_model_fails_at_is_a_rejected_row(config: BundleConfig) -> None:
    rows = rows_of([sound(1), sound(GUILTY), sound(2)], config)
    assert [row["status"] for row in rows] == [CAPTIONED, REJECTED, CAPTIONED]
    assert rows[1]["reason"] == "model_error"
    assert rows[1]["error"] == "InvalidArgumentError: a guilty picture"
    assert rows[1]["width_px"] == 640


def test_a_picture_without_a_caption_of_a_finite_score_costs_itself_alone(
    config: BundleConfig,
) -> None:
    def silent_of_two(pixels: np.ndarray) -> list[ImageCaptions]:
        nothing = ImageCaptions([], [])
        return [nothing if said.captions[0].text == "2" else said for said in says(pixels)]

    rows = rows_of([sound(1), sound(2), sound(3)], config, model=silent_of_two)
    assert [row["status"] for row in rows] == [CAPTIONED, REJECTED, CAPTIONED]
    assert (rows[1]["reason"], rows[1].get("caption")) == ("model_error", None)
    assert "no caption of a finite score" in rows[1]["error"]


@given(st.lists(st.sampled_from([*range(20), GUILTY, None]), max_size=40), st.integers(1, 9))
def test_rows_keep_the_order_of_the_pictures(values: list[int | None], size: int) -> None:
    config = pipeline_builders.bundle_config()
    sizes: list[int] = []

    def counted(pixels: np.ndarray) -> list[ImageCaptions]:
        sizes.append(len(pixels))
        return says(pixels)

    broken = ReadImage(None, "empty", "got no bytes", "ef", 0)
    reads = [broken if value is None else sound(value) for value in values]
    rows = rows_of(reads, config, size, counted)
    assert [row["image_uri"] for row in rows] == [f"/archive/{i}.jpg" for i in range(len(values))]
    said = [None if value in (None, GUILTY) else str(value) for value in values]
    assert [row.get("caption") for row in rows] == said
    assert max(sizes, default=0) <= size
    pa.Table.from_pylist(rows, CAPTIONS).validate(full=True)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """A unit of five pictures, the fourth of them broken."""
    images = []
    for seed in range(5):
        path = tmp_path / "archive" / f"{seed}.png"
        pipeline_builders.write_picture(path, seed)
        images.append(ImageFile(str(path), path.name, path.stat().st_size))
    (tmp_path / "archive" / "3.png").write_bytes(b"")
    (made,) = plan_units(images, 9, str(tmp_path / "plan"))
    return made


def test_a_unit_is_captioned_by_the_bundle(tiny_bundle: Path, unit: Unit) -> None:
    handler = UnitCaptioner(str(tiny_bundle), batch_size=2, read_timeout_sec=60)
    model = handler.load_model()
    (done,) = handler.run_inference([unit], model)
    assert done.unit == unit
    assert [Path(row["image_uri"]).name for row in done.rows] == [f"{i}.png" for i in range(5)]
    assert [row["reason"] for row in done.rows] == [None, None, None, "empty", None]
    assert list(done.seconds) == list(STAGES)
    assert min(done.seconds[stage] for stage in ("read", "decode", "caption")) > 0
    for row in done.rows:
        image = ImageFile(row["image_uri"], "", 0)
        decoded = read_image(image, model.config.image).decoded
        if decoded:
            (alone,) = model.caption([decoded.pixels])
            assert isinstance(alone, ImageCaptions)
            assert row["caption"] == alone.captions[0].text
            assert row["score"] == pytest.approx(alone.captions[0].score, abs=1e-4)


def test_a_picture_whose_read_stalls_costs_itself_alone(
    tiny_bundle: Path, unit: Unit, tmp_path: Path
) -> None:
    (tmp_path / "archive" / "1.png").unlink()
    os.mkfifo(tmp_path / "archive" / "1.png")
    handler = UnitCaptioner(str(tiny_bundle), batch_size=2, read_timeout_sec=1.0)
    (done,) = handler.run_inference([unit], handler.load_model())
    assert [row["reason"] for row in done.rows] == [None, "stalled", None, "empty", None]


def test_the_bundle_is_opened_as_was_asked(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def opened(folder: Path, *how: Any) -> LoadedBundle:
        asked.append((folder, *how))
        return open_bundle(folder)

    monkeypatch.setattr(inference, "open_bundle", opened)
    engine, decoding = Engine("onnxruntime"), Decoding((("beam_width", 2),))
    UnitCaptioner(str(tiny_bundle), 2, 60, engine=engine, decoding=decoding).load_model()
    assert asked == [(tiny_bundle, engine, decoding)]


@pytest.fixture
def claimed(tmp_path: Path) -> Iterator[Claim]:
    with claim(str(tmp_path / "claimed"), "run") as held:
        yield held


def test_a_model_that_is_too_large_for_memory_takes_smaller_steps_from_its_start(
    tiny_bundle: Path, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, sizes = Bundle.caption, []

    def small_memory(bundle: Bundle, images: np.ndarray) -> list[ImageCaptions]:
        sizes.append(len(images))
        if len(images) > 3:
            raise MemoryError("out of memory")
        return whole(bundle, images)

    monkeypatch.setattr(Bundle, "caption", small_memory)
    handler = UnitCaptioner(str(tiny_bundle), batch_size=8, read_timeout_sec=60)
    model = handler.load_model()
    assert (sizes, model.caption.batch_size) == ([8, 4, 2, 2, 2, 2], 2)
    sizes.clear()
    (done,) = handler.run_inference([unit], model)
    assert sizes == [2, 1, 1]
    assert [row["reason"] for row in done.rows] == [None, None, None, "empty", None]


def test_rows_that_keep_less_have_a_fingerprint_of_their_own(tiny_bundle: Path) -> None:
    handler = UnitCaptioner(str(tiny_bundle), 2, 60, Kept(num_captions=1))
    expected = f"{pipeline_builders.FINGERPRINT}-captions1"
    assert handler.load_model().config.model_fingerprint == expected


def test_a_worker_with_another_bundle_than_was_planned_for_makes_no_rows(tiny_bundle: Path) -> None:
    handler = UnitCaptioner(str(tiny_bundle), 2, 60, planned="fedcba9876543210")
    with pytest.raises(CaptionerError, match="of a worker, expected fedcba9876543210"):
        handler.load_model()


def test_a_bundle_that_fails_at_its_start_rejects_no_picture(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bundle: Bundle, images: np.ndarray) -> list[ImageCaptions]:
        raise ModelError("InvalidArgumentError: a broken graph")

    monkeypatch.setattr(Bundle, "caption", broken)
    with pytest.raises(ModelError, match="a broken graph"):
        UnitCaptioner(str(tiny_bundle), batch_size=2, read_timeout_sec=60).load_model()


def test_a_bundle_that_says_nothing_at_its_start_rejects_no_picture(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "caption", lambda _, images: [ImageCaptions([], [])] * len(images))
    with pytest.raises(CaptionerError, match="no caption of a finite score for a blank picture"):
        UnitCaptioner(str(tiny_bundle), batch_size=2, read_timeout_sec=60).load_model()


def test_a_unit_is_committed_as_one_file(
    tmp_path: Path, unit: Unit, config: BundleConfig, claimed: Claim
) -> None:
    rows = rows_of([sound(1), sound(2)], config)
    folder = tmp_path / "captions"
    (uri,) = CommitUnit(str(folder), claimed).process(UnitRows(unit, rows, spent()))
    assert uri == unit_uri(str(folder), unit)
    assert [path.name for path in folder.iterdir()] == [f"part-{unit.unit_id}.parquet"]
    assert pq.read_schema(uri).equals(CAPTIONS)
    assert pq.read_table(uri).column("caption").to_pylist() == ["1", "2"]


def test_a_unit_of_a_run_that_is_over_is_not_committed(
    tmp_path: Path, unit: Unit, config: BundleConfig
) -> None:
    folder = tmp_path / "captions"
    with claim(str(folder), "run") as claimed:
        pass
    rows = UnitRows(unit, rows_of([sound(1)], config), spent())
    with pytest.raises(CaptionerError, match="is gone"):
        list(CommitUnit(str(folder), claimed).process(rows))
    assert not folder.exists()


def test_a_unit_whose_rows_are_wrong_is_not_committed(
    tmp_path: Path, unit: Unit, config: BundleConfig, claimed: Claim
) -> None:
    rows = rows_of([sound(1)], config)
    rows[0]["image_uri"] = None
    with pytest.raises(Exception, match="image_uri"):
        list(CommitUnit(str(tmp_path / "captions"), claimed).process(UnitRows(unit, rows, spent())))
    assert not (tmp_path / "captions").exists()
