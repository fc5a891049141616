"""A dataset's description as tables: the same for the terminal and for the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from model.vocabulary import SPECIAL_TOKENS
from pipelines.describe.findings import LONGEST_UNCUT, tiny_limit_px
from pipelines.describe.summaries import Description, PictureSummary, Spread
from pipelines.readable import byte_size, decimal, plural, share

_SPREAD = ("min", "median", "mean", "p95", "max")


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        id: of the page's element.
        title: says what a row is.
        align: a letter for each column, l or r.
        header: names of the columns.
        rows: as many cells each as there are columns.
        wide: whether it needs the whole width of a page.
    """

    id: str
    title: str
    align: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """Tables under a heading, with a note that says how to read them."""

    id: str
    title: str
    note: str
    tables: tuple[Table, ...]


def sections(description: Description) -> tuple[Section, ...]:
    """All tables; those of nothing are left out."""
    return (
        _splits(description),
        _captions(description),
        _words(description),
        _pictures(description),
        _rejects(description),
        _duplicates(description),
    )


def _section(id: str, title: str, note: str, *tables: Table) -> Section:
    return Section(id, title, note, tuple(table for table in tables if table.rows))


def _table(
    id: str,
    title: str,
    align: str,
    header: Iterable[str],
    rows: Iterable[Iterable[object]],
    wide: bool = False,
) -> Table:
    """A table of texts and of whole numbers."""
    cells = tuple(tuple(map(_cell, row)) for row in rows)
    return Table(id, title, align, tuple(header), cells, wide)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _spread_cells(spread: Spread, scale: int = 1, decimals: int = 0) -> list[str]:
    """The cells below `_SPREAD`, each number divided by `scale`."""
    low, median, high, top = (spread.quantile(q) for q in (0, 0.5, 0.95, 1))
    mean = decimal(spread.mean / scale, max(1, decimals))
    first, second, *rest = (decimal(value / scale, decimals) for value in (low, median, high, top))
    return [first, second, mean, *rest]


def _splits(description: Description) -> Section:
    splits, images = description.examples.splits, description.images
    return _section(
        "splits",
        "Splits",
        "An image belongs to one split, with all its captions.",
        _table(
            "split-sizes",
            "Images and captions",
            "lrrr",
            ("split", "images", "share", "captions"),
            [(s.name, s.images, share(s.images, images), s.captions) for s in splits],
        ),
        _table(
            "per-image",
            "Captions per image",
            "lrrrrr",
            ("split", *_SPREAD),
            [(s.name, *_spread_cells(s.captions_per_image)) for s in splits],
        ),
    )


def _captions(description: Description) -> Section:
    splits = description.examples.splits
    cut = [share(s.captions - s.lengths.below(LONGEST_UNCUT + 1), s.captions) for s in splits]
    names = ("image_id", "split", "tokens", "caption")
    return _section(
        "captions",
        "Caption lengths",
        f"In tokens. Those of more than {LONGEST_UNCUT} are cut in training by default.",
        _table(
            "lengths",
            "Tokens per caption",
            "lrrrrrr",
            ("split", *_SPREAD, f"above {LONGEST_UNCUT}"),
            [(s.name, *_spread_cells(s.lengths), c) for s, c in zip(splits, cut, strict=True)],
        ),
        _table(
            "longest",
            "The longest",
            "llrl",
            ("image", "split", "tokens", "caption"),
            [[row[name] for name in names] for row in description.examples.longest],
            wide=True,
        ),
    )


def _words(description: Description) -> Section:
    words, splits = description.words, description.examples.splits
    ends = zip_longest(words.frequent, words.rarest, fillvalue=(None, None))
    return _section(
        "words",
        "Words",
        f"The vocabulary has {plural(words.words, 'word')} of the train split, and "
        f"{len(SPECIAL_TOKENS)} tokens that are no words.",
        _table(
            "coverage",
            "Tokens that are not in the vocabulary",
            "lrrr",
            ("split", "tokens", "unknown", "share"),
            [(s.name, s.tokens, s.unknown, share(s.unknown, s.tokens)) for s in splits],
        ),
        _table(
            "word-list",
            "The most frequent and the rarest words",
            "lrlr",
            ("most frequent", "count", "rarest", "count"),
            [(*frequent, *rare) for frequent, rare in ends],
        ),
    )


def _pictures(description: Description) -> Section:
    pictures, images = description.examples.pictures, description.images
    size_px = description.info.image.image_size_px
    return _section(
        "pictures",
        "Pictures",
        f"As the files have them, orientation applied; the model sees {size_px} x {size_px} px. "
        f"The files take {byte_size(pictures.byte_size)}.",
        _table(
            "sizes",
            "Sizes",
            "lrrrrr",
            ("", *_SPREAD),
            [
                ("width, px", *_spread_cells(pictures.widths)),
                ("height, px", *_spread_cells(pictures.heights)),
                ("shorter side, px", *_spread_cells(pictures.shorter_sides)),
                ("width / height", *_spread_cells(pictures.aspects, scale=100, decimals=2)),
                ("file, KiB", *_spread_cells(pictures.kibibytes)),
            ],
        ),
        _table(
            "kinds",
            "Kinds",
            "llrr",
            ("", "kind", "images", "share"),
            [
                (what, kind, count, share(count, images))
                for what, counts in _kinds(pictures, size_px).items()
                for kind, count in counts.items()
            ],
        ),
    )


def _kinds(pictures: PictureSummary, size_px: int) -> dict[str, Mapping[str, int]]:
    """Pictures by kind, in several ways of telling kinds apart."""
    portrait, not_landscape = pictures.aspects.below(100), pictures.aspects.below(101)
    sides, limit_px = pictures.shorter_sides, tiny_limit_px(size_px)
    return {
        "format": pictures.formats,
        "mode": pictures.modes,
        "shape": {
            "landscape": pictures.aspects.total - not_landscape,
            "portrait": portrait,
            "square": not_landscape - portrait,
        },
        "shorter side": {
            f"below {size_px} px": sides.below(size_px),
            f"below {limit_px} px: tiny": sides.below(limit_px),
        },
    }


def _rejects(description: Description) -> Section:
    rejects, inputs = description.rejects, description.images + description.rejected
    reasons = [(r.stage, r.reason, r.images, share(r.images, inputs), r.captions) for r in rejects]
    note = "Inputs that gave no example, and captions that were left out of one."
    names = ("reason", "image_id", "error", "caption")
    return _section(
        "rejects",
        "Rejects",
        note if rejects else "Nothing was rejected.",
        _table(
            "reasons",
            "By reason",
            "llrrr",
            ("stage", "reason", "images", "share", "captions"),
            reasons,
        ),
        _table(
            "reject-list",
            "Some of each",
            "llll",
            ("reason", "image", "error", "caption"),
            [[row[name] for name in names] for reject in rejects for row in reject.examples],
            wide=True,
        ),
    )


def _duplicates(description: Description) -> Section:
    duplicates = description.duplicates
    pairs = [(*key, count) for key, count in duplicates.pairs.items()]
    note = (
        "Pairs of (nearly) the same picture in two splits; the distance is the number of bits, of "
        "64, in which their perceptual hashes differ. A pair that is reported is still there."
    )
    names = ("image_id", "split", "other_image_id", "other_split", "distance", "action")
    return _section(
        "duplicates",
        "Duplicates",
        note if pairs else "No pair of pictures in two splits is known to be (nearly) the same.",
        _table("pairs", "By action", "lrr", ("action", "distance", "pairs"), pairs),
        _table(
            "pair-list",
            "Some of them",
            "llllrl",
            ("image", "split", "other image", "other split", "distance", "action"),
            [[row[name] for name in names] for row in duplicates.shown],
            wide=True,
        ),
    )
