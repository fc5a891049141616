"""Tests of the client of S3: one for all files of a process, made of what Beam's options say."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.io.aws import s3io
from apache_beam.io.aws.clients.s3 import messages
from apache_beam.options.pipeline_options import PipelineOptions

from model.errors import CaptionerError
from pipelines import s3_clients
from pipelines.sources import normalise_uri

OBJECTS = {"a": b"bytes of a", "b": b"of b"}


class Boto3:
    """As much of boto3 as is needed to read; it counts its clients."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.credentials: object | None = object()
        self.session = SimpleNamespace(Session=lambda: self)

    def get_credentials(self) -> object | None:
        return self.credentials

    def client(self, service: str, **arguments: Any) -> Boto3:
        assert service == "s3"
        self.made.append(arguments)
        return self

    def get_object(self, **request: str) -> dict[str, Any]:
        start = int(request["Range"].removeprefix("bytes=").removesuffix("-"))
        return {"Body": Body(OBJECTS[request["Key"]][start:])}


class Body:
    """What is left of an object, to be read on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._raw_stream = SimpleNamespace(closed=False)

    def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data

    def close(self) -> None:
        self._raw_stream.closed = True


@pytest.fixture(autouse=True)
def boto3(monkeypatch: pytest.MonkeyPatch) -> Boto3:
    """What is imported in place of boto3."""
    fake = Boto3()
    config = SimpleNamespace(Config=lambda **arguments: arguments)
    for name, module in {"boto3": fake, "botocore": config, "botocore.config": config}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(s3_clients, "_made", {})
    return fake


def client(*arguments: str) -> Any:
    return s3io.S3IO(options=PipelineOptions(list(arguments))).client


def test_all_files_are_read_with_one_client(boto3: Boto3) -> None:
    requests = {name: messages.GetRequest("bucket", name) for name in OBJECTS}
    of_a, of_b = client(), client()
    # In turns: what has been read of one is not taken for the other's.
    assert of_a.get_range(requests["a"], 0, 5) == b"bytes"
    assert of_b.get_range(requests["b"], 0, 4) == b"of b"
    assert of_a.get_range(requests["a"], 5, 10) == b" of a"
    assert len(boto3.made) == 1


def test_options_arrive_and_others_have_a_client_of_their_own(boto3: Boto3) -> None:
    client()
    options = ["--s3_endpoint_url=http://here", "--s3_region_name=north", "--s3_disable_ssl"]
    client(*options)
    client(*options)
    plain, other = boto3.made
    assert plain["use_ssl"]
    assert not other["use_ssl"]
    assert (plain["endpoint_url"], other["endpoint_url"]) == (None, "http://here")
    assert (plain["region_name"], other["region_name"]) == (None, "north")
    assert plain["config"]["max_pool_connections"] > 32


def test_missing_credentials_are_told_before_anything_is_tried(boto3: Boto3) -> None:
    boto3.credentials = None
    client("--s3_access_key_id=a", "--s3_secret_access_key=b")
    with pytest.raises(CaptionerError, match="got no credentials; set AWS_ACCESS_KEY_ID"):
        normalise_uri("s3://bucket/a")
