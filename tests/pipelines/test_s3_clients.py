"""Tests of files of ``s3://``, on a server of this machine that behaves as S3 does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from apache_beam.io.aws import s3io
from apache_beam.io.aws.clients.s3 import messages
from apache_beam.options.pipeline_options import PipelineOptions
from moto.server import ThreadedMotoServer
from pipeline_builders import captioner, read_rows

from model.errors import CaptionerError
from pipelines import s3_clients
from pipelines.sources import normalise_uri

BUCKET = "archive"
OBJECTS = {"a": b"bytes of a", "b": b"of b"}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anyone",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket of a server that the environment names."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_clients, "_made", {})
    bucket = boto3.resource("s3").create_bucket(Bucket=BUCKET)
    yield bucket
    bucket.objects.delete()
    bucket.delete()


def client(*arguments: str) -> Any:
    return s3io.S3IO(options=PipelineOptions(list(arguments))).client


def test_all_files_are_read_with_one_client(bucket: Any) -> None:
    for name, data in OBJECTS.items():
        bucket.put_object(Key=name, Body=data)
    requests = {name: messages.GetRequest(BUCKET, name) for name in OBJECTS}
    of_a, of_b = client(), client()
    # In turns: what has been read of one is not taken for the other's.
    assert of_a.get_range(requests["a"], 0, 5) == b"bytes"
    assert of_b.get_range(requests["b"], 0, 4) == b"of b"
    assert of_a.get_range(requests["a"], 5, 10) == b" of a"
    assert of_a.client is of_b.client


def test_options_arrive_and_others_have_a_client_of_their_own(endpoint: str) -> None:
    plain = client().client
    options = ["--s3_endpoint_url=http://here", "--s3_region_name=eu-north-1"]
    other = client(*options).client
    assert client(*options).client is other
    assert (plain.meta.endpoint_url, other.meta.endpoint_url) == (endpoint, "http://here")
    assert (plain.meta.region_name, other.meta.region_name) == ("us-east-1", "eu-north-1")
    assert plain.meta.config.max_pool_connections > 32


def test_missing_credentials_are_told_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    client("--s3_access_key_id=a", "--s3_secret_access_key=b")
    with pytest.raises(CaptionerError, match="got no credentials; set AWS_ACCESS_KEY_ID"):
        normalise_uri("s3://bucket/a")


def test_an_archive_is_captioned_from_bucket_to_bucket_and_again(
    bucket: Any,
    archive: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in archive.rglob("*.*"):
        bucket.put_object(Key=f"in/{path.relative_to(archive)}", Body=path.read_bytes())
    output = f"s3://{BUCKET}/out"
    arguments = ["--bundle", tiny_bundle, "--input", f"s3://{BUCKET}/in", "--output", output]
    assert captioner("caption", *arguments, "--unit-size", "8", "--max-reject-ratio", "1") == 0
    written = [each.key for each in bucket.objects.filter(Prefix="out/")]
    assert {key.rsplit(".")[-1] for key in written} == {"json", "parquet"}
    for key in written:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(key, str(path))
    rows = read_rows(tmp_path / "out")
    pictures = [path for path in archive.rglob("*.*") if path.suffix != ".txt"]
    expected = sorted(f"s3://{BUCKET}/in/{path.relative_to(archive)}" for path in pictures)
    assert [row["image_uri"] for row in rows] == expected
    capsys.readouterr()
    assert captioner("caption", *arguments, "--max-reject-ratio", "1") == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert captioner("report", "--captions", output, "--output", tmp_path / "page.html") == 0
    assert captioner("plan", *arguments[:4], "--sample-images", "8") == 0
