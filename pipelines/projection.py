"""From what a sample took to what the whole archive would take: time, bytes and cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.readable import byte_size, duration, plural
from pipelines.stages import CAPTION, DECODE, READ, WRITE

_HOUR_SEC = 3600.0
_ADVICE = {
    READ: "a faster disk, or workers nearer to the archive, would help most",
    DECODE: "more cores would help most",
    CAPTION: "a GPU, a smaller model or a narrower beam would help most",
    WRITE: "a faster disk for the captions would help most",
}


@dataclass(frozen=True)
class Measured:
    """What a sample took on this machine.

    Attributes:
        images: pictures of it, rejects included.
        stages: seconds of each of `stages.STAGES`, in all threads.
        readers: threads that read and decode while another one captions.
        decoders: how many of them decode at a time.
        busy_sec: seconds in which a worker did all of it, its stages side by side.
        start_up_sec: seconds before the first picture.
        byte_size: of the files of captions.
    """

    images: int
    stages: Mapping[str, float]
    readers: int
    decoders: int
    busy_sec: float
    start_up_sec: float
    byte_size: int

    @property
    def rate(self) -> float:
        """Images a second of one worker."""
        return self.images / self.busy_sec

    @property
    def stage_sec(self) -> dict[str, float]:
        """Seconds that a worker would take for the sample if it did nothing but one stage."""
        side_by_side = {READ: self.readers, DECODE: self.decoders}
        return {stage: sec / side_by_side.get(stage, 1) for stage, sec in self.stages.items()}

    @property
    def bottleneck(self) -> str:
        """The stage that the others wait for."""
        spent = self.stage_sec
        # The same threads read and decode, and another one captions and writes.
        sides = ((READ, DECODE), (CAPTION, WRITE))
        slower = max(sides, key=lambda side: sum(spent[stage] for stage in side))
        return max(slower, key=spent.__getitem__)


@dataclass(frozen=True)
class Archive:
    """A whole archive, to be captioned.

    Attributes:
        images: pictures of it.
        listing_sec: seconds to list it, which no worker speeds up.
        unit_size: pictures that one worker takes at a time.
    """

    images: int
    listing_sec: float
    unit_size: int

    @property
    def units(self) -> int:
        """Units of work: more workers than these have nothing to do."""
        return -(-self.images // self.unit_size)

    def images_of_busiest(self, workers: int) -> int:
        """Pictures of the worker that has most of them: it gets whole units."""
        return min(self.images, -(-self.units // workers) * self.unit_size)


def projected_hours(archive: Archive, measured: Measured, workers: int) -> float:
    """Hours from start to end: the listing, the start of the workers, the busiest one's work."""
    work_sec = archive.images_of_busiest(workers) / measured.rate
    return (archive.listing_sec + measured.start_up_sec + work_sec) / _HOUR_SEC


def projected_bytes(archive: Archive, measured: Measured) -> int:
    """Bytes of the captions of the whole archive."""
    return round(archive.images * measured.byte_size / measured.images)


def stage_table(measured: Measured) -> Iterator[str]:
    """What a person is told of the stages, line by line."""
    yield f"  {'stage':<8} {'ms an image':>12} {'images/s':>12}"
    spent = {**measured.stage_sec, "all": measured.busy_sec}
    for stage, seconds in spent.items():
        rate = f"{measured.images / seconds:,.1f}" if seconds else "-"
        yield f"  {stage:<8} {1000 * seconds / measured.images:12.2f} {rate:>12}"
    yield f"bottleneck: {measured.bottleneck}; {_ADVICE[measured.bottleneck]}"


def projection_table(
    archive: Archive, measured: Measured, workers: Sequence[int], price: float | None
) -> Iterator[str]:
    """What a person is told of the whole archive, line by line.

    Args:
        workers: numbers of workers, a line each.
        price: of a worker for an hour, in any currency; None to leave the costs out.
    """
    in_all = projected_bytes(archive, measured)
    a_row = measured.byte_size / measured.images
    yield f"output: {a_row:,.0f} bytes an image, {byte_size(in_all)} in all"
    yield f"  {'workers':>8} {'hours':>10} {'time':>12} {'cost':>12}"
    for number in workers:
        hours = projected_hours(archive, measured, number)
        cost = "-" if price is None else f"{price * number * hours:,.2f}"
        yield f"  {number:>8,} {hours:>10,.2f} {duration(hours * _HOUR_SEC):>12} {cost:>12}"
    if max(workers) > archive.units:
        units = plural(archive.units, "unit")
        yield f"  no more than {archive.units:,} of them would work: the archive is {units} of work"
