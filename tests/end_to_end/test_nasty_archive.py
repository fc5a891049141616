"""Tests of an archive of the files that libraries are tested with: a row for each, to the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pipeline_builders import FINGERPRINT, captioner, read_rows

from pipelines.schemas import CAPTIONED, REJECTED

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
REASONS = {"bomb", "truncated", "unreadable"}


@pytest.fixture(scope="module")
def nasty(development_data: Path) -> Path:
    folder = development_data / "nasty-images"
    if not folder.is_dir():
        pytest.skip(f"no nasty files at {folder}")
    return folder


@pytest.fixture(scope="module")
def arguments(
    nasty: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str | Path]:
    """A glob: it takes files of any name, pictures or not."""
    output = tmp_path_factory.mktemp("nasty") / "captions"
    inputs = ["--bundle", tiny_bundle, "--input", nasty / "**", "--output", output]
    return ["caption", *inputs, "--max-reject-ratio", "1"]


@pytest.fixture(scope="module")
def rows(arguments: list[str | Path]) -> list[dict[str, Any]]:
    assert captioner(*arguments) == 0
    return read_rows(Path(arguments[6]))


def test_every_file_has_one_row(rows: list[dict[str, Any]], nasty: Path) -> None:
    files = {str(path) for path in nasty.rglob("*") if path.is_file()}
    # A container among them stands for its members, those that are no pictures left out.
    containers = {row["container"] for row in rows if row["container"]}
    assert containers == {file for file in files if file.endswith(".tar")}
    own = [row["image_uri"] for row in rows if not row["container"]]
    assert own == sorted(files - containers)
    assert len({row["image_uri"] for row in rows}) == len(rows)


def test_every_row_has_a_caption_or_a_reason_and_an_error(rows: list[dict[str, Any]]) -> None:
    captioned = [row for row in rows if row["status"] == CAPTIONED]
    rejected = [row for row in rows if row["status"] == REJECTED]
    assert len(captioned) + len(rejected) == len(rows)
    assert len(captioned) > 0.75 * len(rows)
    for row in captioned:
        assert row["caption"]
        assert row["width_px"] > 0 < row["height_px"]
        assert (row["reason"], row["error"]) == (None, None)
    for row in rejected:
        assert row["reason"] in REASONS
        assert row["error"].strip()
        assert (row["caption"], row["score"], row["width_px"]) == (None,) * 3
    assert {row["reason"] for row in rejected} == REASONS


def test_every_row_is_of_the_bytes_that_are_there(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["model_fingerprint"] == FINGERPRINT
        if not row["container"]:
            data = Path(row["image_uri"]).read_bytes()
            assert row["byte_size"] == len(data)
            assert row["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_second_run_finds_nothing_to_do(
    rows: list[dict[str, Any]],
    arguments: list[str | Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert captioner(*arguments) == 0
    said = capsys.readouterr().out
    assert f"{len(rows)} images = {len(rows)} already done + 0 captioned + 0 rejected" in said
