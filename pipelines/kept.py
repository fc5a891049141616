"""What is kept of what a model says, and the name of the partition that has such rows."""

from dataclasses import dataclass

from model.artifacts import BundleConfig
from model.bundle_folder import MOST_TAGS
from model.engine import Engine
from model.errors import CaptionerError

# As Hive, Spark and DuckDB name the folder of a partition.
_PREFIX = "model="


@dataclass(frozen=True)
class Kept:
    """What is kept of what a model says of a picture; None for all of it.

    Attributes:
        num_captions: captions, the best one and its alternatives.
        tags: the surest tags.
    """

    num_captions: int | None = None
    tags: int | None = None

    def of(self, bundle: BundleConfig) -> "Kept":
        """The same of this bundle, with None for a number that keeps all that it says."""
        tags = min(MOST_TAGS, len(bundle.concepts))
        return Kept(_below(self.num_captions, bundle.sampler.captions), _below(self.tags, tags))

    def fingerprint(self, model_fingerprint: str) -> str:
        """The fingerprint of rows: the model's, and what is kept unless that is all.

        Rows that lack what a later run asks for are in another partition than that run's.
        """
        numbers = {"captions": self.num_captions, "tags": self.tags}
        given = (f"-{name}{number}" for name, number in numbers.items() if number is not None)
        return "".join([model_fingerprint, *given])


KEEP_ALL = Kept()


def _below(number: int | None, most: int) -> int | None:
    return number if number is not None and number < most else None


def partition_of(bundle: BundleConfig, engine: Engine, kept: Kept) -> str:
    """The fingerprint of the rows that `engine` makes of `bundle`, decoding as it says.

    It names the folder ``model=...`` and stands in its rows.
    """
    return kept.of(bundle).fingerprint(engine.fingerprint(bundle.model_fingerprint))


def partition_folder(output: str, partition: str) -> str:
    """The folder of `output` with the rows of `partition`."""
    return f"{output}/{_PREFIX}{partition}"


def partition_in(folder: str) -> str | None:
    """The partition that `folder` has the rows of; None if its name tells none."""
    name = folder.rpartition("/")[2]
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def check_planned(partition: str, planned: str | None, bundle: str) -> None:
    """Checks that a worker's `bundle` is the one that its run was planned for.

    Args:
        partition: of the rows that it would make.
        planned: of the rows that it is to make; None for any.

    Raises:
        CaptionerError: if they are not the same.
    """
    if planned not in (None, partition):
        raise CaptionerError(
            f"--bundle: got {partition} in {bundle} of a worker, expected {planned} as where the "
            "command was started; give workers the same bundle, e.g. push their image again"
        )
