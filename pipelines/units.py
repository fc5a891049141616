"""Units of work: what an archive still lacks, planned as batches that are committed one by one."""

import hashlib
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

import pyarrow.dataset as pads

from pipelines import files
from pipelines.listing import write_listing
from pipelines.records import ImageFile, Unit


@dataclass
class Remaining:
    """The pictures of an archive that have no row yet, each once; counts as it is iterated.

    Attributes:
        images: the pictures of all inputs; one that two inputs list counts once.
        done: URIs of the pictures that have a row.
        inputs: pictures seen so far.
        already_done: those of them that have a row.
    """

    images: Iterable[ImageFile]
    done: Set[str]
    inputs: int = 0
    already_done: int = 0
    _seen: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[ImageFile]:
        for image in self.images:
            if image.uri in self._seen:
                continue
            self._seen.add(image.uri)
            self.inputs += 1
            if image.uri in self.done:
                self.already_done += 1
            else:
                yield image


def unit_id(images: Iterable[ImageFile]) -> str:
    """An id derived from the pictures of a unit: the same unit has it in every run."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.uri}\0{image.byte_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]


def plan_units(images: Iterable[ImageFile], unit_size: int, plan_uri: str) -> list[Unit]:
    """Writes the plan, a listing of `images` in units of up to `unit_size`; returns its units."""
    batches = write_listing(images, ImageFile, plan_uri, unit_size)
    return [Unit(unit_id(batch), plan_uri, number) for number, batch in enumerate(batches)]


def unit_uri(folder: str, unit: Unit) -> str:
    """The Parquet file that commits `unit`."""
    return f"{folder}/part-{unit.unit_id}.parquet"


def done_uris(folder: str) -> set[str]:
    """The URIs of the pictures that have a row in the committed files of `folder`."""
    done: set[str] = set()
    committed = [uri for uri in files.list_tree(folder) if uri.endswith(".parquet")]
    for uri in committed:
        with files.open_bytes(uri) as file:
            table = pads.ParquetFileFormat().make_fragment(file).to_table(columns=["image_uri"])
        done.update(table.column("image_uri").to_pylist())
    return done
