"""The folder of a dataset: staged beside its place, moved there whole, `dataset.json` last.

Each run stages in a folder of its own, and deletes those of all others before it reads anything. A
run publishes only while its own is there: of two runs into one output, the later one goes on.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from model.artifacts import DATASET_FILE
from model.command import check_output_folder
from model.errors import CaptionerError
from pipelines import files
from pipelines.claims import is_held

_STAGING = "_incomplete"
# There while files are moved out of a staging folder: what lies beside `_STAGING` is ours then.
_MOVING = "moving"
# In a run's staging folder: without it the run may not publish.
_CLAIM = "claim"


def has_dataset(output: str) -> bool:
    """Whether `output` holds a whole dataset, whichever."""
    return files.exists(FileSystems.join(output, DATASET_FILE))


def is_done(output: str, request: Callable[[], str]) -> bool:
    """Whether `output` already holds the dataset that `request` gives the digest of.

    Raises:
        CaptionerError: if it holds something else.
    """
    if has_dataset(output):
        found = None
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged one is another one
            found = json.loads(files.read_bytes(FileSystems.join(output, DATASET_FILE)))["request"]
        if found is not None and found == request():
            return True
        raise CaptionerError(
            f"--output {output} already holds another dataset (other options, captions, lists or "
            "pictures); choose another folder or delete this one"
        )
    if files.is_local(output):
        check_output_folder(Path(output))
    staging = FileSystems.join(output, _STAGING, "")
    foreign = [uri for uri in files.list_tree(output) if not uri.startswith(staging)]
    if foreign and not files.exists(f"{staging}{_MOVING}"):
        raise CaptionerError(
            f"--output {output} holds files that are no dataset, e.g. {foreign[0]}; choose "
            "another folder or empty this one"
        )
    return False


@contextlib.contextmanager
def staging_folder(output: str) -> Iterator[str]:
    """A folder of this run below `output` for all that is written before the end; gone afterwards.

    Raises:
        CaptionerError: if another run took `output` over meanwhile.
    """
    existed = files.is_local(output) and os.path.isdir(output)
    all_staging = FileSystems.join(output, _STAGING)
    staging = FileSystems.join(all_staging, uuid.uuid4().hex)
    claim = f"{staging}/{_CLAIM}"
    files.write_text(claim, f"{staging}\n")
    try:
        _take_over(output, staging)
        yield staging
    except Exception as error:
        if files.exists(claim):
            raise
        raise _overtaken(output) from error
    finally:
        files.delete_tree(staging)
        if not files.list_tree(all_staging):
            files.delete_tree(all_staging)
        if files.is_local(output) and not existed and not files.list_tree(output):
            files.delete_tree(output)


def _take_over(output: str, staging: str) -> None:
    """Deletes what other runs left in `output`, or are about to move there."""
    all_staging = FileSystems.join(output, _STAGING, "")
    marker = f"{all_staging}{_MOVING}"
    others = [uri for uri in files.list_tree(all_staging) if not uri.startswith(f"{staging}/")]
    # The dataset.json of another run among them: from now on it cannot make its dataset whole.
    for uri in others:
        if uri != marker:
            files.delete(uri)
    if has_dataset(output):
        raise CaptionerError(
            f"another run has just finished a dataset in --output {output}; run the command again"
        )
    if marker in others:
        for uri in files.list_tree(output):
            if not uri.startswith(all_staging):
                files.delete(uri)
        files.delete(marker)


def _overtaken(output: str) -> CaptionerError:
    return CaptionerError(
        f"another run of captioner preprocess has taken --output {output} over, or its folder "
        f"{_STAGING} was deleted; wait for that run, then run the command again"
    )


def publish(staging: str, output: str) -> None:
    """Moves a whole dataset to its place, or nothing of it.

    A run that is killed meanwhile leaves no `dataset.json`, and the next one starts clean.

    Raises:
        CaptionerError: if another run took `output` over.
    """
    if not is_held(f"{staging}/{_CLAIM}"):
        raise _overtaken(output)
    names = [os.path.relpath(uri, staging) for uri in files.list_tree(staging)]
    marker = FileSystems.join(output, _STAGING, _MOVING)
    files.write_text(marker, f"{staging}\n")
    try:
        files.move_tree(staging, output, last=DATASET_FILE, leave=_CLAIM)
    except BaseException:
        for name in names:
            files.delete(FileSystems.join(output, name))
        raise
    finally:
        files.delete(marker)
