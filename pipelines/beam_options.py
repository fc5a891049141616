"""Beam's own options, those after ``--``: checked, because Beam itself passes unknown ones over."""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

import apache_beam as beam
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from model.errors import CaptionerError
from pipelines import files
from pipelines.manifests import is_manifest

# "DirectRunner" tries to download another runner first: machines would differ.
DEFAULT_RUNNER = "FnApiRunner"
# What is told of work that is missing at the end.
NOTHING_DONE = (
    "though the runner says that it is done; run the command again, without options of Beam such "
    "as --dry_run or --template_location, with which nothing is done"
)
# Until a job service that has just been started answers.
_ANSWER_SEC = 30.0
# How the options of file systems begin that need some.
_OF_CLOUDS = ("s3_", "azure_", "blob_service_")


def make_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options from the arguments after ``--``; the runner is FnApiRunner unless named.

    Raises:
        CaptionerError: if an argument is no option that Beam knows, or its value is none it takes.
    """
    arguments = list(arguments)
    _, unknown = _beam_parser().parse_known_args(arguments)
    if unknown:
        raise CaptionerError(
            f"after '--': got {', '.join(unknown)}, which Beam does not know; expected options of "
            "Apache Beam, e.g. --runner=DataflowRunner. The command's own options go before '--'"
        )
    if not any(argument.split("=")[0] == "--runner" for argument in arguments):
        if any(argument.split("=")[0] == "--job_endpoint" for argument in arguments):
            raise CaptionerError(
                "after '--': got --job_endpoint without --runner; give --runner=PortableRunner too"
            )
        arguments.append(f"--runner={DEFAULT_RUNNER}")
    options = PipelineOptions(arguments)
    workers = options.view_as(DirectOptions).direct_num_workers
    if workers < 0:
        raise CaptionerError(
            f"after '--': --direct_num_workers: got {workers}, expected 1 or more, or 0 for as "
            "many as there are cores"
        )
    if options.view_as(StandardOptions).no_wait_until_finish:
        raise CaptionerError(
            "after '--': got --no_wait_until_finish, but the command counts what its job has "
            "written, and keeps hold of the folder until then; leave it out"
        )
    _check_that_workers_know(options)
    _check_job_service(options.view_as(PortableOptions))
    try:
        # Finds the runner and checks what it requires.
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise CaptionerError(f"after '--': {error}") from error
    os.rmdir(pipeline.local_tempdir)  # Beam deletes that of a pipeline that runs
    return options


def _check_that_workers_know(options: PipelineOptions) -> None:
    """Raises:
    CaptionerError: if an option of a cloud's files is given that worker processes are not told.
    """
    if options.view_as(DirectOptions).direct_running_mode != "multi_processing":
        return
    given = options.get_all_options(drop_default=True)
    if untold := [f"--{name}" for name in sorted(given) if name.startswith(_OF_CLOUDS)]:
        raise CaptionerError(
            f"after '--': got {', '.join(untold)} with --direct_running_mode=multi_processing, "
            "which does not tell its processes; set variables of the environment instead, e.g. "
            "AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AZURE_STORAGE_CONNECTION_STRING"
        )


def _check_job_service(options: PortableOptions) -> None:
    """Beam itself waits five minutes for it, and that after all pictures are listed.

    Raises:
        CaptionerError: if no job service answers at `--job_endpoint`.
    """
    endpoint, sec = options.job_endpoint, min(_ANSWER_SEC, options.job_server_timeout)
    if not endpoint or endpoint == "embed":
        return
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=sec)
        except grpc.FutureTimeoutError as error:
            raise CaptionerError(
                f"after '--': --job_endpoint: got {endpoint}, where no job service answers within "
                f"{sec:g} s; start it, or give its HOST:PORT"
            ) from error


def check_workers_see(options: PipelineOptions, given: Mapping[str, Sequence[str]]) -> None:
    """Checks that Dataflow's workers are given no files of this machine: they see none of them.

    To find it out there takes minutes, and money. Of what may be a manifest nothing is said: it is
    read here, and may name files of a cloud.

    Args:
        given: paths and URIs that workers use, by the command's option.

    Raises:
        CaptionerError: if one of them is a path of this machine.
    """
    if "dataflow" not in options.view_as(StandardOptions).runner.lower():
        return
    for option, uris in given.items():
        for uri in uris:
            if files.is_local(files.without_local_scheme(uri)) and not is_manifest(uri):
                raise CaptionerError(
                    f"{option}: got {uri}, a path of this machine, which Dataflow's workers do not "
                    "see; give one of a cloud, e.g. gs://BUCKET/FOLDER"
                )


def give_no_options() -> None:
    """Tells file systems that they have no options: some, as that of S3, do not work untold.

    A pipeline tells its own. This is for what reads before there is one, or without one.
    """
    FileSystems.set_options(PipelineOptions([]))


def _beam_parser() -> argparse.ArgumentParser:
    """The parser of all options that Beam knows; a wrong value raises a `CaptionerError`."""
    parsers: list[argparse.ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)

    def refuse(message: str) -> NoReturn:
        raise CaptionerError(f"after '--': {message}")

    parsers[0].error = refuse  # type: ignore[method-assign]
    return parsers[0]
