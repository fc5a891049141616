"""Units of work: what an archive still lacks, planned as batches that are committed one by one."""

import bisect
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import files
from pipelines.archives.containers import is_parquet_row
from pipelines.archives.members import MEMBER
from pipelines.ledger import Ledger
from pipelines.listing import write_listing
from pipelines.records import ImageFile, Unit
from pipelines.replaced import find_replaced
from pipelines.splits import hash_fraction

# Pictures compared at a time with the ledger and with those seen before: at least so many, and a
# share of these, for each time all of them are hashed anew.
_CHUNK = 1 << 17
_CHUNKS_OF_ALL = 16
# A folder, an archive, or what is left of one from a member on that could not be read.
_STANDS_FOR_MORE = rf"(/|\.(?i:tar|zip)|\.(?i:tar|zip){MEMBER}@[0-9]+)$"


def _below(uri: str) -> str:
    """How the URIs begin of all that the reject `uri` stood for."""
    return uri if uri.endswith("/") else uri.partition(f"{MEMBER}@")[0] + MEMBER


def _that_stand_for_more(uris: pa.ChunkedArray) -> pa.ChunkedArray:
    """Those of `uris` that are of rejects which stand for more than themselves."""
    return uris.filter(pc.match_substring_regex(uris, _STANDS_FOR_MORE))


def _find_below(uris: pa.ChunkedArray, rejects: list[str]) -> tuple[np.ndarray, list[slice]]:
    """The order of `uris`, and where in it those are that each of `rejects` stood for.

    Each of thousands of archives is looked up among millions of pictures.
    """
    if not rejects:
        return np.arange(0), []
    order = pc.sort_indices(uris)
    in_order, spans = uris.take(order).combine_chunks(), []
    for below in map(_below, rejects):
        # Sorted by bytes, as by code points. What follows the slash at its end is 0.
        ends = (below, below[:-1] + "0")
        spans.append(slice(*(bisect.bisect_left(in_order, end, key=_text) for end in ends)))
    return order.to_numpy(), spans


def _text(value: pa.Scalar) -> str:
    return value.as_py()


@dataclass(frozen=True)
class Selection:
    """Which pictures of the inputs a run is about.

    Attributes:
        sample: share of the pictures, chosen by a hash of their URIs: the same in every run.
        limit: most pictures, the first ones; None for no bound.
        retry_rejected: whether pictures that were rejected before are done again.
    """

    sample: float = 1.0
    limit: int | None = None
    retry_rejected: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it takes all pictures, so that one that is not seen is not there."""
        return self.sample == 1 and self.limit is None


@dataclass
class Remaining:
    """The pictures of an archive that have no row, or a stale one, each once.

    A row is stale if the picture's size is not the row's any more, if it was modified after work
    on the row began, if it lies in a Parquet or zip file that was replaced (see `find_replaced`),
    or if it could not be read then and the listing finds nothing wrong with it now; with
    `Selection.retry_rejected` also if it tells of a reject. A size of 0 and a time that lies in the
    future tell nothing. It counts as it is iterated.

    Attributes:
        images: the pictures of all inputs; one that two inputs list counts once.
        ledger: the rows that there are.
        selection: which of the pictures count.
        inputs: pictures seen so far.
        changed: those of them whose file is another one than that of their row.
        retried_uris: those of them that are done again because they were rejected.
        already_rejected: those of them whose row stays and tells of a reject.
        by_container: pictures to do, by the container that holds them.
    """

    images: Iterable[ImageFile]
    ledger: Ledger
    selection: Selection = Selection()
    inputs: int = 0
    changed: int = 0
    retried_uris: set[str] = field(default_factory=set)
    already_rejected: int = 0
    by_container: Counter[str | None] = field(default_factory=Counter)
    _seen: list[pa.Array] = field(default_factory=list)

    @property
    def retried(self) -> int:
        """How many are done again because they were rejected."""
        return len(self.retried_uris)

    @property
    def to_do(self) -> int:
        """Pictures seen so far that have no row, or a stale one."""
        return self.by_container.total()

    @property
    def already_done(self) -> int:
        """Pictures seen so far whose row stays."""
        return self.inputs - self.to_do

    def __iter__(self) -> Iterator[ImageFile]:
        sample, limit = self.selection.sample, self.selection.limit
        images = (i for i in self.images if sample == 1 or hash_fraction(i.uri) < sample)
        while limit is None or self.inputs < limit:
            wanted = max(_CHUNK, (len(self.ledger.rows) + self.inputs) // _CHUNKS_OF_ALL)
            wanted = wanted if limit is None else min(wanted, limit - self.inputs)
            chunk = list(itertools.islice(images, wanted))
            if not chunk:
                return
            new, uris = self._unseen(chunk)
            self.inputs += len(new)
            to_do = list(itertools.compress(new, self._lacks_row(new, uris)))
            self.by_container.update(image.container for image in to_do)
            yield from to_do

    def listed_at_last(self) -> list[str]:
        """URIs of rejects that stood for a folder, an archive or its end, which is listed by now.

        Known once all pictures were iterated.
        """
        if not self.selection.is_complete:
            return []  # what was not seen may be there all the same
        rows, seen = self.ledger.rows, self._all_seen()
        told = _that_stand_for_more(rows["image_uri"].filter(rows["unread"]))
        told = told.filter(pc.invert(pc.is_in(told, seen)))
        told = told.to_pylist()
        _, spans = _find_below(seen, told)
        return [uri for uri, span in zip(told, spans, strict=True) if span.start < span.stop]

    def unlisted(self) -> pa.ChunkedArray:
        """URIs of rows whose pictures no input lists, without those of `listed_at_last`.

        A folder or an archive that cannot be listed whole just now may hold its pictures all the
        same: theirs are not among them. Known once all pictures were iterated.
        """
        uris = self.ledger.rows["image_uri"]
        if not self.selection.is_complete:
            return uris.slice(0, 0)
        seen = self._all_seen()
        uris = uris.filter(pc.invert(pc.is_in(uris, seen)))
        order, spans = _find_below(uris, _that_stand_for_more(seen).to_pylist())
        told = np.ones(len(uris), bool)
        for span in spans:
            told[order[span]] = False
        uris = uris.filter(pa.array(told))
        at_last = pa.array(self.listed_at_last(), pa.large_string())
        return uris.filter(pc.invert(pc.is_in(uris, at_last)))

    def _all_seen(self) -> pa.ChunkedArray:
        return pa.chunked_array(self._seen, pa.large_string())

    def _unseen(self, chunk: list[ImageFile]) -> tuple[list[ImageFile], pa.Array]:
        """The pictures of `chunk` that no input has listed before, and their URIs."""
        by_uri: dict[str, ImageFile] = {}
        for image in chunk:
            by_uri.setdefault(image.uri, image)
        new = list(by_uri.values())
        uris = pa.array([image.uri for image in new], pa.large_string())
        if self._seen:
            is_new = pc.invert(pc.is_in(uris, pa.chunked_array(self._seen)))
            new, uris = list(itertools.compress(new, is_new.to_pylist())), uris.filter(is_new)
        self._seen.append(uris)
        return new, uris

    def _lacks_row(self, images: list[ImageFile], uris: pa.Array) -> list[bool]:
        """For each picture, whether it is to be done; its stale row is noted."""
        found = pc.index_in(uris, self.ledger.rows["image_uri"])
        has_row = found.is_valid().to_numpy(zero_copy_only=False)
        index = found.fill_null(0).to_numpy()[has_row]
        listed = list(itertools.compress(images, has_row))
        changed = self._changed(listed, index)
        rejected = self.ledger.rows["rejected"].take(index).to_numpy()
        again = rejected if self.selection.retry_rejected else self._readable(listed, index)
        retried = ~changed & again
        stale = changed | retried
        self.already_rejected += int((rejected & ~stale).sum())
        self.changed += int(changed.sum())
        self.retried_uris.update(image.uri for image in itertools.compress(listed, retried))
        to_do = ~has_row
        to_do[has_row] = stale
        return to_do.tolist()

    def _readable(self, images: list[ImageFile], index: np.ndarray) -> np.ndarray:
        """Whether the pictures could not be read for their rows, and may be by now."""
        unread = self.ledger.rows["unread"].take(index).to_numpy()
        # Of a file far away a manifest tells no size; on a local disk 0 says that it is not there.
        sound = [
            image.flaw is None and (image.byte_size > 0 or not files.is_local(image.uri))
            for image in images
        ]
        return unread & np.array(sound, bool)

    def _changed(self, images: list[ImageFile], index: np.ndarray) -> np.ndarray:
        """Whether the pictures are others than those that rows number `index` tell of."""
        # Of a row of a Parquet file the listing knows the size of the whole file alone.
        sizes = [0 if is_parquet_row(image) else image.byte_size for image in images]
        listed = np.array(sizes, np.int64)
        modified = np.array([image.modified_usec or 0 for image in images], np.int64)
        rows = self.ledger.rows.select(["byte_size", "captioned_usec"]).take(index)
        byte_size = rows["byte_size"].fill_null(0).to_numpy()
        other_size = (listed > 0) & (listed != byte_size)
        captioned, now_usec = rows["captioned_usec"].to_numpy(), time.time_ns() // 1000
        changed = other_size | ((modified > captioned) & (modified <= now_usec))
        others = np.flatnonzero(~changed)
        changed[others] = find_replaced(
            [images[number] for number in others],
            captioned[others],
            lambda number: self.ledger.sha256_of(index[others[number]]),
        )
        return changed


def unit_id(images: Iterable[ImageFile]) -> str:
    """An id derived from the pictures of a unit: the same unit has it in every run."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.uri}\0{image.byte_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:20]


def plan_units(
    images: Iterable[ImageFile], unit_size: int, plan_uri: str, taken: Iterable[str] = ()
) -> list[Unit]:
    """Writes the plan, a listing of `images` in units of up to `unit_size`; returns its units.

    Args:
        taken: URIs of files that are there: of the same pictures, before they were done again.
    """
    names = {uri.rpartition("/")[2] for uri in taken}
    batches = write_listing(images, ImageFile, plan_uri, unit_size)
    return [Unit(_free_id(batch, names), plan_uri, n) for n, batch in enumerate(batches)]


def _free_id(images: list[ImageFile], names: set[str]) -> str:
    """The id of the unit of `images`, or one derived from it, whose file is not among `names`."""
    free = unit_id(images)
    while _file_name(free) in names:
        free = hashlib.sha256(free.encode()).hexdigest()[:20]
    return free


def unit_uri(folder: str, unit: Unit) -> str:
    """The Parquet file that commits `unit`."""
    return f"{folder}/{_file_name(unit.unit_id)}"


def lacks_file(units: list[Unit], folder: str) -> bool:
    """Whether one of `units` is still to be done: a runner repeats what a lost worker was given."""
    return not all(files.exists(unit_uri(folder, unit)) for unit in units)


def _file_name(unit_id: str) -> str:
    return f"part-{unit_id}.parquet"
