"""Tests of Beam's options: those it does not know are refused, the others arrive."""

from __future__ import annotations

import re
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.options.value_provider import RuntimeValueProvider
from pipeline_builders import captioner

from model.errors import CaptionerError
from pipelines import beam_options
from pipelines.beam_options import DEFAULT_RUNNER, check_workers_see, make_options

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=us-central1",
    "--temp_location=gs://some-bucket/temp",
    "--staging_location=gs://some-bucket/staging",
    "--sdk_container_image=registry/captioner:1",
    "--no_auth",
    "--dry_run=True",
]


def runner_of(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner


def test_the_runner_is_the_local_one_unless_named() -> None:
    assert runner_of(make_options([])) == DEFAULT_RUNNER == "FnApiRunner"
    assert runner_of(make_options(["--direct_num_workers=2"])) == "FnApiRunner"


@pytest.mark.parametrize("arguments", [["--runner=DirectRunner"], ["--runner", "DirectRunner"]])
def test_a_named_runner_is_kept(arguments: list[str]) -> None:
    assert runner_of(make_options(arguments)) == "DirectRunner"


def test_a_job_service_that_does_not_answer_is_told_before_work_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = grpc.server(ThreadPoolExecutor(1))
    port = service.add_insecure_port("localhost:0")
    service.start()
    for endpoint in (f"localhost:{port}", f"dns:localhost:{port}", f"ipv6:[::1]:{port}"):
        make_options(["--runner=PortableRunner", f"--job_endpoint={endpoint}"])
    service.stop(None).wait()
    monkeypatch.setattr(beam_options, "_ANSWER_SEC", 0.5)
    # Another program's port, as Flink's own is.
    with socket.create_server(("localhost", 0)) as other:
        for answer in (port, other.getsockname()[1]):
            told = f"--job_endpoint: got localhost:{answer}, where no job service answers within 0"
            with pytest.raises(CaptionerError, match=told):
                make_options(["--runner=PortableRunner", f"--job_endpoint=localhost:{answer}"])


def test_a_job_service_without_its_runner_is_refused() -> None:
    with pytest.raises(CaptionerError, match="--job_endpoint without --runner"):
        make_options(["--job_endpoint=localhost:8099"])


def test_values_and_flags_arrive() -> None:
    options = make_options(
        ["--direct_num_workers=3", "--direct_running_mode", "multi_threading", "--streaming"]
    )
    assert options.view_as(DirectOptions).direct_num_workers == 3
    assert options.view_as(DirectOptions).direct_running_mode == "multi_threading"
    assert options.view_as(StandardOptions).streaming is True


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--no_such_option=1"], "--no_such_option=1"),
        (["--no_such_flag"], "--no_such_flag"),
        (["--runner=FnApiRunner", "--no_such_option", "1"], "--no_such_option, 1"),
        (["--runn=FnApiRunner"], "--runn=FnApiRunner"),
        (["--direct_num_worker=2"], "--direct_num_worker=2"),
        (["-x"], "-x"),
        (["word"], "word"),
        (["--runner=FnApiRunner", "word"], "word"),
        (["--streaming", "word"], "word"),
        (["--", "--runner=FnApiRunner"], "--runner=FnApiRunner"),
    ],
)
def test_what_beam_does_not_know_is_refused_by_name(arguments: list[str], named: str) -> None:
    with pytest.raises(CaptionerError) as error:
        make_options(arguments)
    assert named in str(error.value)
    assert "which Beam does not know" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runner"], ["--runner", "expected one argument"]),
        (["--direct_num_workers=many"], ["--direct_num_workers", "'many'"]),
        (["--direct_num_workers=-1"], ["--direct_num_workers: got -1, expected 1 or more"]),
        (["--direct_running_mode=fast"], ["--direct_running_mode", "'fast'"]),
        (["--no_wait_until_finish"], ["got --no_wait_until_finish", "leave it out"]),
        (["--runner=NoSuchRunner"], ["NoSuchRunner", "FnApiRunner"]),
        (["--runner=no.such.Runner"], ["no"]),
    ],
)
def test_a_value_that_beam_does_not_take_is_a_short_error(
    arguments: list[str], words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CaptionerError) as error:
        make_options(arguments)
    assert all(word in str(error.value) for word in words)
    assert "usage" not in capfd.readouterr().err


def test_checking_the_options_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_options([])
    assert list(tmp_path.iterdir()) == []


def test_options_that_worker_processes_are_not_told_are_refused() -> None:
    option, processes = "--s3_endpoint_url=http://here", "--direct_running_mode=multi_processing"
    make_options([option])
    make_options([processes])
    with pytest.raises(CaptionerError, match=r"got --s3_endpoint_url with .* AWS_ENDPOINT_URL"):
        make_options([option, processes])


@pytest.mark.parametrize("path", ["/data/photographs", "photographs.tar", "file:///data/*.jpg"])
def test_files_of_this_machine_are_none_for_dataflow(path: str) -> None:
    given = {"--output": ["gs://bucket/captions"], "--input": ["gs://bucket/a", "list.csv", path]}
    check_workers_see(PipelineOptions(["--runner=FnApiRunner"]), given)
    dataflow = PipelineOptions(["--runner=DataflowRunner"])
    with pytest.raises(CaptionerError, match=rf"--input: got {re.escape(path)}, a path of this"):
        check_workers_see(dataflow, given)
    check_workers_see(dataflow, {**given, "--input": ["gs://bucket/a", "list.csv"]})


@pytest.mark.parametrize(
    "command",
    [
        ["caption", "--bundle", "BUNDLE", "--input", "gs://a/b", "--output", "/captions"],
        ["preprocess", "--captions", "CAPTIONS", "--images", "gs://a/b", "--output", "/dataset"],
    ],
)
def test_no_job_of_dataflow_starts_that_writes_to_this_machine(
    command: list[str],
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    captions = tmp_path / "captions.token.txt"
    captions.write_text("a.jpg#0\tA dog\n", encoding="utf-8")
    stand_ins = {"BUNDLE": str(tiny_bundle), "CAPTIONS": str(captions)}
    command = [stand_ins.get(part, part) for part in command]
    assert captioner(*command, "--", *DATAFLOW) == 2
    assert f"--output: got {command[-1]}, a path of this machine" in capfd.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["report", "--captions", "memory://bucket/nothing", "--output", "memory://bucket/page"],
        ["plan", "--bundle", "BUNDLE", "--input", "memory://bucket/nothing"],
    ],
)
def test_commands_that_take_none_tell_so_to_file_systems(
    command: list[str],
    tiny_bundle: Path,
    memory: dict[str, bytes],
    cloud: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S3's and Azure's fail where they are told nothing."""
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)
    monkeypatch.setattr(RuntimeValueProvider, "runtime_options", None)
    told = []
    monkeypatch.setattr(
        cloud, "__init__", lambda _, pipeline_options: told.append(pipeline_options)
    )
    assert captioner(*(part.replace("BUNDLE", str(tiny_bundle)) for part in command)) != 0
    assert told
    assert all(isinstance(options, PipelineOptions) for options in told)
