"""Claims: a folder of captions belongs to one run at a time, so that no picture gets two rows.

A run writes its claim, a file, before it looks which rows there are, and deletes the temporary
files of all others: their claims, plans, and files that they were about to rename. A writer that
has its file ready checks that the claim is still there, then renames. So a worker that outlives its
killed driver, or a run that another one overtakes, either is done before the later run looks, or
never; of two runs that start at once, at most one goes on.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from model.errors import CaptionerError
from pipelines import files

RUNS = "_runs"
# Of a file, or of the folder above it, that somebody deleted: ESTALE on a network disk.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


@dataclass(frozen=True)
class Claim:
    """A run's hold on a folder of captions.

    Attributes:
        uri: the file that is there for as long as the run may write.
        plan_uri: where its plan goes.
    """

    uri: str
    plan_uri: str

    def check(self) -> None:
        """Checks that the run may still write.

        Raises:
            CaptionerError: if another run has taken over.
        """
        if not is_held(self.uri):
            raise CaptionerError(
                f"{self.uri} is gone: this run was ended, or another one writes to the folder "
                "now; wait for it, then run the command again"
            )


def is_held(uri: str) -> bool:
    """Whether the claim `uri` is there at this moment, though another machine may have deleted it.

    Of a network disk `files.exists` may say for a minute what this machine remembers of it. To open
    a file makes it ask the server.

    Raises:
        CaptionerError: as `files.exists`.
    """
    if not files.is_local(uri):
        return files.exists(uri)
    try:
        os.close(os.open(uri, os.O_RDONLY))
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return False
    return True


@contextlib.contextmanager
def claim(output: str, run_id: str) -> Iterator[Claim]:
    """Takes the folder `output` over; what was claimed is given back at the end.

    Raises:
        CaptionerError: if nothing can be written there; in place of any failure of what runs
            within, if another run has taken over.
    """
    runs = f"{output}/{RUNS}"
    names = (files.temporary_name(f"{run_id}.{kind}") for kind in ("claim", "plan"))
    claimed = Claim(*(f"{runs}/{name}" for name in names))
    missing = [path for path in (runs, output) if files.is_local(path) and not os.path.exists(path)]
    try:
        files.write_text(claimed.uri, f"{run_id}\n")
        # Claims first: a file that becomes ready while the others are listed may not be renamed.
        files.delete_temporaries(runs, keep=claimed.uri)
        files.delete_temporaries(output, keep=claimed.uri)
    except OSError as error:
        raise CaptionerError(
            f"--output {output} cannot be written: {error}; choose another folder, or mend its "
            "permissions"
        ) from error
    try:
        yield claimed
    except Exception:
        # Another run that has taken over deletes what this one was writing: say that.
        claimed.check()
        raise
    finally:
        for uri in (claimed.plan_uri, claimed.uri):
            files.delete(uri)
        with contextlib.suppress(OSError):  # there are captions in it
            for path in missing:
                os.rmdir(path)
