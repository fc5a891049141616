"""Tests of `captioner plan`: a sample is captioned for real, all of it is told, nothing is kept."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from pipeline_builders import BROKEN, captioner, files_of

from pipelines import inference
from pipelines.arguments import plan_parser
from pipelines.plan import measure
from pipelines.plan_config import read_plan_config
from pipelines.sources import SkippedFiles, list_all_images
from pipelines.threads import THREADS


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary files go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def plan(bundle: Path, source: object, *more: str) -> int:
    sizes = ["--unit-size", "8", "--batch-size", "3"]
    return captioner("plan", "--bundle", bundle, "--input", str(source), *sizes, *more)


def test_a_plan_tells_all_that_a_person_decides_by(
    archive: Path, tiny_bundle: Path, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(archive)
    assert plan(tiny_bundle, archive, "--workers", "1", "2", "--price-per-worker-hour", "100") == 0
    told = capsys.readouterr().out
    assert re.search(r"^archive: 30 images, listed in \d+\.\d s$", told, re.MULTILINE)
    assert "  files of the folders that are no pictures: 1 (.txt: 1)" in told
    assert "sample: 30 images from all over it = 27 captioned + 3 rejected (10.0%)" in told
    for reason in BROKEN.values():
        assert f"  rejected: {reason} 1" in told
    for stage in ("read", "decode", "caption", "write", "all"):
        (spent,) = re.findall(rf"^  {stage} +([\d.]+) +[\d.,]+$", told, re.MULTILINE)
        assert 0 < float(spent) < 1000
    assert re.search(r"^bottleneck: (read|decode|caption|write); ", told, re.MULTILINE)
    (size,) = re.findall(r"^output: ([\d,]+) bytes an image, ", told, re.MULTILINE)
    assert 100 < int(size.replace(",", "")) < 10_000
    costs = re.findall(r"^ +([12]) +[\d.]+ .* (\d+\.\d\d)$", told, re.MULTILINE)
    assert [workers for workers, _ in costs] == ["1", "2"]
    assert all(float(cost) > 0 for _, cost in costs)

    assert files_of(archive) == before
    assert list(temporary.iterdir()) == []


def test_a_sample_stands_for_the_whole_archive(
    archive: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "a.tar").touch()
    shutil.copyfile(archive / "picture-00.jpg", more / "one.jpg")
    assert plan(tiny_bundle, archive, "--input", str(more), "--sample-images", "5") == 0
    told = capsys.readouterr().out
    assert "archive: 31 images" in told
    assert "archives in the folders, which were not opened: 1 (.tar: 1); give" in told
    assert "sample: 5 images from all over it" in told
    assert "  no more than 4 of them would work: the archive is 4 units of work" in told
    assert re.search(r"^ +100 .* -$", told, re.MULTILINE)


def test_what_is_measured_is_that_of_the_captions_alone(
    archive: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.plan.threads_for", lambda _: 99)  # as of an archive far away
    options = plan_parser().parse_args(["--bundle", str(tiny_bundle), "--input", str(archive)])
    images = list(list_all_images([str(archive)], SkippedFiles()))
    monkeypatch.setattr("pipelines.plan.busy_seconds", lambda _: 1e6)
    measured, _ = measure(images, read_plan_config(options, str(tmp_path / "out")))
    assert (measured.busy_sec, measured.start_up_sec) == (1e6, 0), "work is no start-up"
    assert (measured.images, measured.readers, measured.decoders) == (30, 99, THREADS)
    (part,) = (tmp_path / "out" / "captions").rglob("*.parquet")
    assert measured.byte_size == part.stat().st_size


def test_a_plan_may_keep_less_of_a_caption(
    archive: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = []
    for more in ([], ["--num-captions", "1", "--tags", "0"]):
        assert plan(tiny_bundle, archive, *more) == 0
        told = re.findall(r"^output: ([\d,]+) bytes an image, ", capsys.readouterr().out, re.M)
        sizes += [int(size.replace(",", "")) for size in told]
    assert sizes[1] < sizes[0]


def test_an_archive_of_broken_pictures_is_told_as_such(
    archive: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(tiny_bundle, archive / "text.png") == 2
    capsys.readouterr()
    assert plan(tiny_bundle, archive / "deep" / "*alf.jpg") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "none of the 1 image of the sample could be captioned (truncated 1)" in printed.err


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--sample-images", "0"], "--sample-images: got 0"),
        (["--unit-size", "0"], "--unit-size: got 0"),
        (["--workers", "-1"], "--workers: got -1"),
        (["--price-per-worker-hour", "nan"], "--price-per-worker-hour: got nan"),
        (["--input", "absent"], "absent cannot be listed"),
        (["--input", "absent/*.jpg"], "absent/*.jpg: no pictures found"),
        (["--bundle", "absent"], "absent is no bundle"),
    ],
)
def test_wrong_options_and_inputs_are_named_in_one_line(
    archive: Path,
    tiny_bundle: Path,
    temporary: Path,
    more: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plan(tiny_bundle, archive, *more) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("captioner plan: error: ")
    assert named in line
    assert said.out == ""
    assert list(temporary.iterdir()) == []


def test_a_plan_that_fails_leaves_nothing(
    archive: Path, tiny_bundle: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(inference.pq, "write_table", broken)
    with pytest.raises(Exception, match="a defect"):
        plan(tiny_bundle, archive)
    assert list(temporary.iterdir()) == []
