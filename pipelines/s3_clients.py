"""One client of S3 for all files of a process; Beam makes a new one for each time it opens one.

To make one costs a fifth of a second of a core, which all threads that read have to share: six
pictures a second.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from apache_beam.io.aws.clients.s3 import boto3_client
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, S3Options

from model.errors import CaptionerError

# Connections that are kept: at least as many as threads that read.
_CONNECTIONS = 64
# Of Beam's options, by the argument of boto3 that each becomes.
_ARGUMENTS = {
    "region_name": "s3_region_name",
    "api_version": "s3_api_version",
    "verify": "s3_verify",
    "endpoint_url": "s3_endpoint_url",
    "aws_access_key_id": "s3_access_key_id",
    "aws_secret_access_key": "s3_secret_access_key",
    "aws_session_token": "s3_session_token",
}
_lock = threading.Lock()
_made: dict[tuple[Any, ...], Any] = {}


class SharedClient(boto3_client.Client):
    """Beam's client of S3, over what all of a process have in common.

    boto3's may be used by many threads; what Beam's keeps of the file that it reads is its own.

    Args:
        options: Beam's, or a dict of them.
    """

    def __init__(self, options: PipelineOptions | dict[str, Any]) -> None:
        # Not Beam's own: it makes a client of boto3.
        self.client = _client_of(options)
        self._download_request = None
        self._download_stream = None
        self._download_pos = 0


def _client_of(options: PipelineOptions | dict[str, Any]) -> Any:
    told: Callable[..., Any]
    if isinstance(options, PipelineOptions):
        told = partial(getattr, options.view_as(S3Options))
    else:
        told = options.get
    use_ssl = not told("s3_disable_ssl", False)
    given = {argument: told(name, None) for argument, name in _ARGUMENTS.items()}
    key = (use_ssl, *given.values())
    with _lock:
        if key not in _made:
            _made[key] = _make(use_ssl=use_ssl, **given)
        return _made[key]


def _make(**arguments: Any) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    if arguments["aws_access_key_id"] is None and session.get_credentials() is None:
        # It would be found out file by file, each of which is tried for minutes.
        raise CaptionerError(
            "s3://: got no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE to name those of a file"
        )
    config = Config(max_pool_connections=_CONNECTIONS)
    return session.client("s3", config=config, **arguments)


def check_s3(uri: str) -> None:
    """Checks that files of ``s3://`` can be asked for.

    Raises:
        CaptionerError: if there are no credentials.
        ImportError: if boto3 is not installed.
    """
    file_system: Any = FileSystems.get_filesystem(uri)
    SharedClient(file_system._options or {})


def share_s3_clients() -> None:
    """Makes Beam's file system of ``s3://`` use `SharedClient`."""
    module: Any = boto3_client
    module.Client = SharedClient
