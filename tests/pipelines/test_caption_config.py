"""Tests of what `captioner caption` is asked for: senseless values, outputs that are inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model import engine
from model.engine import Engine
from model.errors import CaptionerError
from pipelines.arguments import caption_parser
from pipelines.caption_config import CaptionConfig, check_output, read_config
from pipelines.units import Selection

SOUND: dict[str, Any] = {
    "bundle": "b",
    "inputs": ("i",),
    "output": "o",
    "unit_size": 1,
    "batch_size": 1,
    "max_reject_ratio": 0.1,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"unit_size": 0},
        {"max_reject_ratio": -0.1},
        {"max_reject_ratio": 1.1},
        {"limit": 0},
        {"read_timeout_sec": 0.0},
        {"read_timeout_sec": float("nan")},
        {"read_timeout_sec": float("inf")},
        {"read_timeout_sec": 9999999999.0},  # which no thread can wait
        {"sample": 1.1},
        {"sample": 0.0},
        {"num_captions": 0},
        {"tags": -1},
        {"remove_unlisted": True, "limit": 9},
        {"remove_unlisted": True, "sample": 0.5},
    ],
)
def test_a_configuration_checks_itself(changes: dict[str, Any]) -> None:
    CaptionConfig(**SOUND, remove_unlisted=True, tags=0)
    with pytest.raises(CaptionerError, match="got"):
        CaptionConfig(**{**SOUND, **changes})


def test_every_option_has_its_place() -> None:
    arguments = "--bundle /b --input /i --input /j --output /o --limit 3 --sample 0.5 --tags 4"
    options = caption_parser().parse_args([*arguments.split(), "--retry-rejected"])
    options.beam = []
    config = read_config(options)
    assert not config.remove_unlisted
    assert (config.inputs, config.output, config.unit_size) == (("/i", "/j"), "/o", 256)
    assert (config.tags, config.num_captions, config.dry_run) == (4, None, False)
    assert config.selection == Selection(sample=0.5, limit=3, retry_rejected=True)


@pytest.mark.parametrize(
    ("asked", "flag", "expected"),
    [
        ([], "avx2", Engine()),
        ([], "amx_bf16", Engine(bfloat16=True)),
        (["--bfloat16", "off"], "amx_bf16", Engine()),
        (["--bfloat16", "auto"], "amx_bf16", Engine(bfloat16=True)),
        (["--engine", "onnxruntime"], "amx_bf16", Engine("onnxruntime")),
        (["--bfloat16", "on", "--engine", "openvino"], "avx2", Engine("openvino", bfloat16=True)),
    ],
)
def test_the_engine_is_settled_where_the_command_starts(
    asked: list[str], flag: str, expected: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "read_cpu_info", lambda: f"flags : fpu {flag}\n")
    arguments = ["--bundle", "/b", "--input", "/i", "--output", "/o", *asked]
    assert read_config(caption_parser().parse_args(arguments)).engine == expected


def check(source: object, output: object) -> None:
    check_output(CaptionConfig(**{**SOUND, "inputs": (str(source),), "output": str(output)}))


@pytest.mark.parametrize("output", ["", "captions", "deep/captions", "../link/captions"])
def test_an_output_inside_of_an_input_is_refused(tmp_path: Path, output: str) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (tmp_path / "link").symlink_to(archive)
    for source in (archive, f"{archive}/", archive / "**", tmp_path / "link"):
        with pytest.raises(CaptionerError, match=r"lies in --input .*; choose a folder outside"):
            check(source, archive / output)


@pytest.mark.parametrize(
    "pattern", ["archive/**", "arch*/**.parquet", "archive/*/*/*", "*/**", "archive/c*/**"]
)
def test_a_glob_that_would_match_captions_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(CaptionerError, match="lies in --input"):
        check(tmp_path / pattern, tmp_path / "archive" / "captions")


@pytest.mark.parametrize("source", ["archive/*.jpg", "archive/**.jpg", "archive/*", "archive-2"])
def test_an_output_beside_the_inputs_is_fine(tmp_path: Path, source: str) -> None:
    check(tmp_path / source, tmp_path / "archive" / "captions")
    check(tmp_path / "archive", tmp_path / "archive-captions")
    check("gs://bucket/archive", "gs://bucket/archive-captions")


def test_remote_outputs_are_compared_as_they_are_named() -> None:
    with pytest.raises(CaptionerError, match="lies in --input"):
        check("memory://bucket/archive/", "memory://bucket/archive/captions")


def test_what_lies_beside_captions_hinders_no_run(tmp_path: Path) -> None:
    output = tmp_path / "captions"
    (output / "model=abc").mkdir(parents=True)
    (output / "report.html").write_text("")
    check(tmp_path / "archive", output)
    (output / "model=abc").rmdir()
    with pytest.raises(CaptionerError, match=r"no captions, e\.g\. report\.html"):
        check(tmp_path / "archive", output)
    (output / "_runs").mkdir()  # of a run all of whose rows are gone
    check(tmp_path / "archive", output)
    (output / "_runs").rmdir()
    (output / "report.html").rename(output / ".DS_Store")
    check(tmp_path / "archive", output)


def test_a_partition_that_is_a_link_is_refused_as_no_reader_follows_it(tmp_path: Path) -> None:
    output = tmp_path / "captions"
    (tmp_path / "away" / "model=abc").mkdir(parents=True)
    output.mkdir()
    (output / "model=abc").symlink_to(tmp_path / "away" / "model=abc")
    with pytest.raises(CaptionerError, match="model=abc is a link, which readers"):
        check(tmp_path / "archive", output)
    (output / "model=abc").unlink()
    output.rmdir()
    output.symlink_to(tmp_path / "away")
    check(tmp_path / "archive", output)


def test_an_output_in_a_cloud_must_be_found_again(memory: dict[str, bytes]) -> None:
    """Beam would look for its files in other folders."""
    check_output(CaptionConfig(**{**SOUND, "output": "memory://bucket/a b (1)#%"}))
    for name in ("a[1]", "a*", "a?"):
        with pytest.raises(CaptionerError, match="in its name, which Beam takes for a pattern"):
            check_output(CaptionConfig(**{**SOUND, "output": f"memory://bucket/{name}"}))
