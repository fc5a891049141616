"""The folder of a dataset: staged beside its place, moved there whole, `dataset.json` last."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator

from apache_beam.io.filesystems import FileSystems

from model.config import DATASET_FILE
from model.errors import CaptionerError
from pipelines import files

_STAGING = "_incomplete"
# There while files are moved out of the staging folder: what lies beside it is ours then.
_MOVING = "moving"


def is_done(output: str, request: Callable[[], str]) -> bool:
    """Whether `output` already holds the dataset that `request` gives the digest of.

    Raises:
        CaptionerError: if it holds something else.
    """
    marker = FileSystems.join(output, DATASET_FILE)
    if FileSystems.exists(marker):
        found = None
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged one is another one
            found = json.loads(files.read_bytes(marker))["request"]
        if found is not None and found == request():
            return True
        raise CaptionerError(
            f"--output {output} already holds another dataset (other options, captions, lists or "
            "pictures); choose another folder or delete this one"
        )
    if files.is_local(output) and os.path.lexists(output) and not os.path.isdir(output):
        raise CaptionerError(f"--output {output} is a file; expected a folder")
    staging = FileSystems.join(output, _STAGING, "")
    foreign = [uri for uri in files.list_tree(output) if not uri.startswith(staging)]
    if foreign and not FileSystems.exists(f"{staging}{_MOVING}"):
        raise CaptionerError(
            f"--output {output} holds files that are no dataset, e.g. {foreign[0]}; choose "
            "another folder or empty this one"
        )
    if foreign:
        FileSystems.delete(foreign)
    return False


@contextlib.contextmanager
def staging_folder(output: str) -> Iterator[str]:
    """A folder under `output` for all that is written before the end; gone afterwards."""
    existed = files.is_local(output) and os.path.isdir(output)
    staging = FileSystems.join(output, _STAGING)
    files.delete_tree(staging)
    try:
        yield staging
    finally:
        files.delete_tree(staging)
        if files.is_local(output) and not existed and not files.list_tree(output):
            files.delete_tree(output)


def publish(staging: str, output: str) -> None:
    """Moves a whole dataset to its place, or nothing of it.

    A run that is killed meanwhile leaves no `dataset.json`, and the next one starts clean.
    """
    files.write_text(f"{staging}/{_MOVING}", "")
    try:
        files.move_tree(staging, output, last=DATASET_FILE, leave=_MOVING)
    except BaseException:
        for uri in files.list_tree(output):
            if not uri.startswith(f"{staging}/"):
                FileSystems.delete([uri])
        raise
