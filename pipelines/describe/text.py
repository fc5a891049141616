"""A dataset's description as aligned plain text, for a terminal."""

import textwrap
import unicodedata
from collections.abc import Iterator

from pipelines.describe.findings import find
from pipelines.describe.summaries import Description
from pipelines.describe.tables import Table, sections

# Longer cells are cut; the page shows them whole.
_MOST_COLUMNS = 60


def as_text(description: Description) -> str:
    """The findings and all tables, for a terminal."""
    inputs = description.images + description.rejected
    lines = [
        f"dataset {_plain(description.name)}, fingerprint {description.info.fingerprint}",
        f"{inputs:,} inputs = {description.images:,} examples + {description.rejected:,} rejected",
        "",
        "Findings" if find(description) else "No findings",
        *(_wrap(found.text, "! ") for found in find(description)),
    ]
    for section in sections(description):
        lines += ["", section.title, _wrap(section.note)]
        for table in section.tables:
            lines += ["", f"  {table.title}", *_lines(table)]
    return "\n".join(lines)


def _wrap(text: str, mark: str = "") -> str:
    """`text` in lines of at most 100 columns, `mark` before the first of them."""
    first, others = f"  {mark}", "  " + " " * len(mark)
    lines = textwrap.wrap(_plain(text), 100 - len(first), break_on_hyphens=False)
    return "\n".join((others if number else first) + line for number, line in enumerate(lines))


def _lines(table: Table) -> Iterator[str]:
    rows = [[_cut(_plain(cell)) for cell in row] for row in (table.header, *table.rows)]
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = []
        for cell, width, side in zip(row, widths, table.align, strict=True):
            space = " " * (width - _columns(cell))
            cells.append(space + cell if side == "r" else cell + space)
        yield "  " + "  ".join(cells).rstrip()


def _plain(text: str) -> str:
    """`text` with escapes for what would move a terminal's cursor or cannot be written."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def _columns(text: str) -> int:
    """Columns of a terminal that `text` takes: none for a combining mark, two for a Han sign."""
    seen = [c for c in text if unicodedata.category(c) not in ("Mn", "Me")]
    return len(seen) + sum(unicodedata.east_asian_width(c) in "WF" for c in seen)


def _cut(text: str) -> str:
    if _columns(text) <= _MOST_COLUMNS:
        return text
    while _columns(text) >= _MOST_COLUMNS:
        text = text[: len(text) - max(1, (_columns(text) - _MOST_COLUMNS) // 2)]
    return text + "…"
