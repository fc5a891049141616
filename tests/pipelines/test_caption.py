"""Tests of an archive captioned: one row a picture, whatever became of it; run again to finish."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pipeline_builders
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from container_builders import tar_bytes, write
from PIL import Image
from pipeline_builders import (
    BROKEN,
    FINGERPRINT,
    assert_same_rows,
    caption_arguments,
    captioner,
    files_of,
    read_rows,
    statuses,
    write_picture,
)

from pipelines import caption, inference
from pipelines.schemas import CAPTIONED, CAPTIONS, REJECTED
from pipelines.stages import STAGES

PICTURES = 30


@pytest.fixture(scope="module")
def rows(captions: Path) -> list[dict[str, Any]]:
    return read_rows(captions)


def of_status(rows: list[dict[str, Any]], status: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["status"] == status]


def test_every_picture_has_exactly_one_row(rows: list[dict[str, Any]], archive: Path) -> None:
    pictures = [str(path) for path in archive.rglob("*.*") if path.suffix != ".txt"]
    assert [row["image_uri"] for row in rows] == sorted(pictures)
    assert len(rows) == PICTURES


def test_a_unit_that_is_committed_is_not_done_again_when_a_runner_repeats_it(
    archive: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does with all that it had given to a worker which is gone."""
    units: list[int] = []
    read_batch = inference.read_batch

    def counted(uri: str, number: int, kind: type) -> list[Any]:
        units.append(number)
        return read_batch(uri, number, kind)

    monkeypatch.setattr(inference, "read_batch", counted)
    arguments = caption_arguments(tiny_bundle, archive, tmp_path / "captions")
    assert captioner(*arguments, "--", "--direct_runner_bundle_repeat=2") == 0
    assert sorted(units) == [0, 1, 2, 3]


def test_broken_pictures_are_rejected_with_their_reason(
    rows: list[dict[str, Any]], archive: Path
) -> None:
    rejected = of_status(rows, REJECTED)
    reasons = {str(archive / name): reason for name, reason in BROKEN.items()}
    assert {row["image_uri"]: row["reason"] for row in rejected} == reasons
    for row in rejected:
        assert row["error"]
        assert (row["caption"], row["score"], row["width_px"], row["format"]) == (None,) * 4
        assert row["alternatives"] == row["tags"] == row["flags"] == []


def test_sound_pictures_are_captioned(rows: list[dict[str, Any]]) -> None:
    captioned = of_status(rows, CAPTIONED)
    assert len(captioned) == PICTURES - len(BROKEN)
    for row in captioned:
        assert isinstance(row["caption"], str)
        assert row["score"] < 0
        assert (row["reason"], row["error"]) == (None, None)
    assert len({row["caption"] for row in captioned}) > 1


def test_alternatives_are_the_other_captions_of_the_beam_best_first(
    rows: list[dict[str, Any]],
) -> None:
    sampler = pipeline_builders.bundle_config().sampler
    for row in of_status(rows, CAPTIONED):
        beam = [row, *row["alternatives"]]
        assert len({scored["caption"] for scored in beam}) == sampler.beam_width == 3
        # Ranked by total / length ** alpha; the score is total / length, the end mark counted.
        lengths = [len(scored["caption"].split()) + 1 for scored in beam]
        ranks = [
            scored["score"] * length ** (1 - sampler.length_normalisation)
            for scored, length in zip(beam, lengths, strict=True)
        ]
        assert ranks == sorted(ranks, reverse=True)


def test_rows_tell_the_file_as_it_is(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        data = Path(row["image_uri"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["byte_size"] == len(data)
        assert row["model_fingerprint"] == FINGERPRINT
        assert (row["container"], row["member"]) == (None, None)
    for row in of_status(rows, CAPTIONED):
        with Image.open(row["image_uri"]) as picture:
            assert (row["width_px"], row["height_px"]) == picture.size
            assert row["format"] == picture.format
    assert {row["format"] for row in rows} == {"JPEG", "PNG", None}


def test_every_file_has_the_one_schema(captions: Path) -> None:
    files = sorted(captions.rglob("*.parquet"))
    assert len(files) == 4, "30 pictures in units of 8"
    assert all(pq.read_schema(file).equals(CAPTIONS) for file in files)
    assert all(file.parent == captions / f"model={FINGERPRINT}" for file in files)


def test_nothing_but_captions_and_the_runs_record_is_left(captions: Path) -> None:
    others = [name for name in files_of(captions) if not name.endswith(".parquet")]
    (record,) = others
    assert record.startswith("_runs/")
    assert record.endswith(".json")


def test_the_runs_record_tells_what_became_of_the_inputs(
    captions: Path, archive: Path, tiny_bundle: Path
) -> None:
    (path,) = (captions / "_runs").iterdir()
    record = json.loads(path.read_text(encoding="utf-8"))
    reasons = dict.fromkeys(BROKEN.values(), 1)
    assert record["account"] == {
        "inputs": PICTURES,
        "already_done": 0,
        "already_rejected": 0,
        "retried": 0,
        "rejected_again": 0,
        "captioned": PICTURES - len(BROKEN),
        "rejected": len(BROKEN),
        "reasons": reasons,
    }
    assert record["config"]["bundle"] == str(tiny_bundle)
    assert record["config"]["inputs"] == [str(archive)]
    assert record["config"]["unit_size"] == 8
    assert record["bundle"]["model_fingerprint"] == FINGERPRINT
    assert record["skipped_by_suffix"] == {".txt": 1}
    assert record["duration_sec"] > 0
    assert list(record["stages_sec"]) == list(STAGES)
    assert 0 < sum(record["stages_sec"].values()) < 16 * record["duration_sec"]


def test_a_second_run_does_nothing_and_says_so(
    archive: Path,
    tiny_bundle: Path,
    captions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = caption.make_options([])
    monkeypatch.setattr(caption, "make_options", lambda _: options)
    monkeypatch.setattr(caption.beam, "Pipeline", lambda **_: pytest.fail("a pipeline started"))
    before = {path: path.stat().st_mtime_ns for path in captions.rglob("*") if path.is_file()}
    assert captioner(*caption_arguments(tiny_bundle, archive, captions)) == 0
    printed = capsys.readouterr().out
    assert "Nothing to do" in printed
    assert f"{PICTURES} images = {PICTURES} already done + 0 captioned + 0 rejected" in printed
    after = {path: path.stat().st_mtime_ns for path in captions.rglob("*") if path.is_file()}
    assert after == before


def test_pictures_added_later_are_captioned_alone(
    archive: Path,
    tiny_bundle: Path,
    captions: Path,
    rows: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, more = tmp_path / "captions", tmp_path / "more"
    shutil.copytree(captions, output)
    before = files_of(output)
    write_picture(more / "new.jpg", 50)
    write_picture(more / "deep/new.png", 51)
    # Named twice: a picture is one input however often it is listed.
    arguments = caption_arguments(tiny_bundle, archive, output, "--input", more, "--input", more)
    assert captioner(*arguments) == 0
    assert "32 images = 30 already done + 2 captioned + 0 rejected" in capsys.readouterr().out
    after = files_of(output)
    assert {name: after[name] for name in before} == before
    added = sorted(name.split("/")[0] for name in set(after) - set(before))
    assert added == ["_runs", f"model={FINGERPRINT}"]
    found = read_rows(output)
    assert len(found) == PICTURES + 2
    before = {row["image_uri"] for row in rows}
    assert_same_rows([row for row in found if row["image_uri"] in before], rows)
    assert statuses(found)[None] == PICTURES + 2 - len(BROKEN)


@pytest.mark.parametrize(("ratio", "status"), [("0.5", 0), ("0.49", 3), ("0", 3)])
def test_too_many_rejects_are_status_3_and_every_row_is_there(
    tiny_bundle: Path,
    tmp_path: Path,
    ratio: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive, output = tmp_path / "archive", tmp_path / "captions"
    write_picture(archive / "sound.jpg", 1)
    (archive / "broken.jpg").write_bytes(b"")
    arguments = caption_arguments(tiny_bundle, archive, output, "--max-reject-ratio", ratio)
    assert captioner(*arguments) == status
    assert statuses(read_rows(output)) == {None: 1, "empty": 1}
    error = capsys.readouterr().err
    assert ("more than --max-reject-ratio" in error) == (status == 3)
    assert list((output / "_runs").glob("*.json"))


def test_a_truncated_tar_gives_its_readable_members_and_one_reject_for_the_rest(
    archive: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [path.read_bytes() for path in sorted(archive.glob("*.jpg"))]
    whole = tar_bytes({f"{number}.jpg": data for number, data in enumerate(pictures)})
    half = tar_bytes({f"{number}.jpg": data for number, data in enumerate(pictures[:4])})
    tar = write(tmp_path / "half.tar", whole[: half.index(pictures[3]) + 10])
    whole_names, rest = ["0.jpg", "1.jpg", "2.jpg"], half.index(pictures[3]) - 512
    output = tmp_path / "captions"
    assert captioner(*caption_arguments(tiny_bundle, Path(tar), output)) == 3
    assert "4 images = 0 already done + 3 captioned + 1 rejected" in capsys.readouterr().out
    rows = read_rows(output)
    assert [row["member"] for row in rows] == [*whole_names, f"@{rest}"]
    assert [row["reason"] for row in rows] == [*[None] * 3, "truncated"]
    assert {row["container"] for row in rows} == {tar}


def test_another_models_captions_are_kept_beside_the_first(
    archive: Path, tiny_bundle: Path, captions: Path, tmp_path: Path
) -> None:
    bundle, output = tmp_path / "bundle", tmp_path / "captions"
    shutil.copytree(tiny_bundle, bundle)
    config = (bundle / "bundle.json").read_text(encoding="utf-8")
    (bundle / "bundle.json").write_text(config.replace(FINGERPRINT, "another"), encoding="utf-8")
    shutil.copytree(captions, output)
    assert captioner(*caption_arguments(bundle, archive / "text.png", output)) == 2
    glob = archive / "deep" / "*.png"
    assert captioner(*caption_arguments(bundle, glob, output)) == 0
    counts = pads.dataset(str(output), partitioning="hive").to_table(["model"]).to_pandas()
    assert counts["model"].value_counts().to_dict() == {FINGERPRINT: PICTURES, "another": 9}
    assert pipeline_builders.read_rows(output) == read_rows(captions)
