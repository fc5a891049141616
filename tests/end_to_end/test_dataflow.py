"""Tests that Dataflow would take both pipelines: each becomes a job, none is sent anywhere."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from pipeline_builders import preprocess_arguments

from pipelines import caption, preprocess
from pipelines.arguments import caption_parser, preprocess_parser
from pipelines.beam_options import make_options
from pipelines.caption_config import read_config as read_caption_config
from pipelines.claims import Claim
from pipelines.preprocess_config import read_config as read_preprocess_config
from pipelines.preprocess_inputs import write_listings
from pipelines.records import Unit
from pipelines.sources import SkippedFiles

IMAGE = "registry/captioner:1"
OPTIONS = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=us-central1",
    "--temp_location=gs://some-bucket/temp",
    "--staging_location=gs://some-bucket/staging",
    f"--sdk_container_image={IMAGE}",
    "--machine_type=g2-standard-4",
    "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    "--dry_run=True",
    "--no_auth",
]
# https://cloud.google.com/dataflow/quotas: a job's description may have ten megabytes.
MOST_BYTES = 10_000_000


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> beam.Pipeline:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return beam.Pipeline(options=make_options(OPTIONS))


def job_of(pipeline: beam.Pipeline) -> beam_runner_api_pb2.Pipeline:
    """What Dataflow would be told."""
    return pipeline.run().job.proto_pipeline


def names_of(job: beam_runner_api_pb2.Pipeline) -> set[str]:
    return {transform.unique_name for transform in job.components.transforms.values()}


def images_of(job: beam_runner_api_pb2.Pipeline) -> set[str]:
    """The container images that its steps run in."""
    payloads = (e.payload for e in job.components.environments.values() if "docker" in e.urn)
    return {beam_runner_api_pb2.DockerPayload.FromString(p).container_image for p in payloads}


def options_of(parser: argparse.ArgumentParser, arguments: list[Any]) -> argparse.Namespace:
    _, *rest = map(str, arguments)
    return parser.parse_args(rest)


def test_captioning_a_million_pictures_is_a_job_for_dataflow(pipeline: beam.Pipeline) -> None:
    arguments = ["caption", "--bundle", "/bundle", "--input", "gs://a/b", "--output", "gs://a/c"]
    config = read_caption_config(options_of(caption_parser(), arguments))
    claimed = Claim("gs://a/c/_runs/.claim", "gs://a/c/_runs/.plan")
    units = [
        Unit(hashlib.sha256(bytes(number)).hexdigest()[:20], claimed.plan_uri, number)
        for number in range(1_000_000 // config.unit_size)
    ]
    caption.build(pipeline, units, config, "gs://a/c/model=0123456789abcdef", claimed)
    job = job_of(pipeline)
    assert {"Units", "Caption", "Commit"} <= names_of(job)
    assert images_of(job) == {IMAGE}
    assert job.ByteSize() < MOST_BYTES


def test_preprocessing_is_a_job_for_dataflow(
    pipeline: beam.Pipeline, captioned: Path, tmp_path: Path
) -> None:
    arguments = preprocess_arguments(captioned, tmp_path / "dataset")
    config = read_preprocess_config(options_of(preprocess_parser(), arguments))
    folders = (str(tmp_path / name) for name in ("listings", "rejects"))
    listings = write_listings(config, *folders, SkippedFiles())
    preprocess.build(pipeline, config, listings, None, str(tmp_path))
    job = job_of(pipeline)
    assert {"PreparePictures", "TokeniseCaptions", "WriteShards"} <= names_of(job)
    assert images_of(job) == {IMAGE}
    assert job.ByteSize() < MOST_BYTES
