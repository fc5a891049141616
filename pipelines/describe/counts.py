"""Counts the tables of a dataset, some thousands of rows at a time.

What is kept grows with how many different lengths, sizes, words and captions of very many pictures
there are, never with the number of pictures.
"""

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.artifacts import SPLITS
from model.concepts import parse_frequencies
from pipelines.describe.summaries import (
    OCTAVE,
    DuplicateSummary,
    ExampleSummary,
    PictureSummary,
    RejectSummary,
    Row,
    SplitSummary,
    Spread,
    WordSummary,
)
from pipelines.schemas import DUPLICATES

WORDS_SHOWN, PAIRS_SHOWN, LONGEST_SHOWN, REJECTS_SHOWN = 20, 20, 5, 5
# A caption of fewer is no common one.
_COMMON_SHARE, _COMMON_COUNT = 0.01, 10
# Of a batch: what is rarer is not kept, for common captions lie spread over all batches.
_KEPT_SHARE = _COMMON_SHARE / 10
# What HTML alone has: a tag's end, a line's end, an entity.
_MARKUP = r"</[a-zA-Z][^<>]*>|<br ?/?>|&(#[0-9]+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,8});"
_CURVE_POINTS = 200
_KIB = 1024
_LONGEST = pa.schema(
    [(name, pa.string()) for name in ("image_id", "split", "caption")] + [("tokens", pa.int32())]
)
_LONGEST_KEYS = [("tokens", "descending"), ("image_id", "ascending"), ("caption", "ascending")]
# Descending, so that `reported` comes first: those pairs are still in two splits.
_PAIR_KEYS = [("action", "descending")] + [
    (name, "ascending") for name in ("distance", "image_id", "other_image_id")
]


def _tally(counts: Counter, values: pa.ChunkedArray) -> None:
    for pair in pc.value_counts(values).to_pylist():
        counts[pair["values"]] += pair["counts"]


def _spread(counts: Counter) -> Spread:
    return Spread(dict(sorted(counts.items())))


def _first(rows: pa.Table, keys: Sequence[tuple[str, str]], count: int) -> pa.Table:
    """The first `count` of `rows` in the order of `keys`, whatever order they come in."""
    return rows.take(pc.select_k_unstable(rows, count, keys)) if rows.num_rows else rows


@dataclass
class _SplitTally:
    per_image: Counter = field(default_factory=Counter)
    lengths: Counter = field(default_factory=Counter)
    unknown: int = 0

    def add(self, rows: pa.Table) -> None:
        _tally(self.per_image, pc.list_value_length(rows["token_counts"]))
        _tally(self.lengths, pc.list_flatten(rows["token_counts"]))
        self.unknown += pc.sum(pc.list_flatten(rows["unknown_counts"])).as_py() or 0

    def summary(self, name: str) -> SplitSummary:
        return SplitSummary(name, _spread(self.per_image), _spread(self.lengths), self.unknown)


@dataclass
class _CaptionTally:
    captions: Counter = field(default_factory=Counter)
    total: int = 0
    markup: int = 0

    def add(self, rows: pa.Table) -> None:
        texts = pc.list_flatten(rows["captions"])
        self.total += len(texts)
        self.markup += pc.sum(pc.match_substring_regex(texts, _MARKUP)).as_py() or 0
        counts = pc.value_counts(texts)
        kept = pc.greater_equal(counts.field("counts"), _KEPT_SHARE * len(texts))
        for pair in counts.filter(kept).to_pylist():
            self.captions[pair["values"]] += pair["counts"]

    def common(self) -> Mapping[str, int]:
        least = max(_COMMON_COUNT, _COMMON_SHARE * self.total)
        found = [(-count, text) for text, count in self.captions.items() if count >= least]
        return {text: -count for count, text in sorted(found)}


@dataclass
class _PictureTally:
    counts: defaultdict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    byte_size: int = 0

    def add(self, rows: pa.Table) -> None:
        width, height = (rows[name].to_numpy() for name in ("width_px", "height_px"))
        sizes = rows["byte_size"].to_numpy()
        self.byte_size += int(sizes.sum())
        numbers = {
            "widths": width,
            "heights": height,
            "shorter_sides": np.minimum(width, height),
            "aspects": np.rint(100 * width / height).astype(int),
            "kibibytes": np.rint(sizes / _KIB).astype(int),
        }
        for name, values in numbers.items():
            _tally(self.counts[name], pa.array(values))
        for name, column in (("modes", "mode"), ("formats", "format")):
            _tally(self.counts[name], rows[column])
        steps = np.floor(OCTAVE * np.log2(np.stack([width, height], axis=1))).astype(int)
        cells, counts = np.unique(steps, axis=0, return_counts=True)
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
            self.counts["sizes"][tuple(cell)] += count

    def summary(self) -> PictureSummary:
        counts = self.counts
        return PictureSummary(
            widths=_spread(counts["widths"]),
            heights=_spread(counts["heights"]),
            shorter_sides=_spread(counts["shorter_sides"]),
            aspects=_spread(counts["aspects"]),
            kibibytes=_spread(counts["kibibytes"]),
            byte_size=self.byte_size,
            sizes=dict(counts["sizes"]),
            modes=dict(counts["modes"].most_common()),
            formats=dict(counts["formats"].most_common()),
        )


def count_examples(tables: Iterable[pa.Table]) -> ExampleSummary:
    """Counts rows of `schemas.EXAMPLES`."""
    splits: defaultdict[str, _SplitTally] = defaultdict(_SplitTally)
    captions, pictures, longest = _CaptionTally(), _PictureTally(), _LONGEST.empty_table()
    for rows in tables:
        for split in pc.unique(rows["split"]).to_pylist():
            splits[split].add(rows.filter(pc.field("split") == split))
        captions.add(rows)
        pictures.add(rows)
        longest = _first(pa.concat_tables([longest, _captions(rows)]), _LONGEST_KEYS, LONGEST_SHOWN)
    # The usual splits are there even where they are empty.
    names = [*SPLITS, *sorted(splits.keys() - set(SPLITS))]
    return ExampleSummary(
        tuple(splits[name].summary(name) for name in names),
        pictures.summary(),
        tuple(longest.to_pylist()),
        captions.common(),
        captions.markup,
    )


def _captions(rows: pa.Table) -> pa.Table:
    """The longest captions of `rows`, a row each."""
    parents = pc.list_parent_indices(rows["captions"])
    columns = {name: rows[name].take(parents) for name in ("image_id", "split")}
    columns["caption"] = pc.list_flatten(rows["captions"])
    columns["tokens"] = pc.list_flatten(rows["token_counts"])
    return _first(pa.table(columns, _LONGEST), _LONGEST_KEYS, LONGEST_SHOWN)


def count_rejects(tables: Iterable[pa.Table]) -> tuple[RejectSummary, ...]:
    """Counts rows of `schemas.REJECTS`; the most frequent reasons come first."""
    images: Counter[tuple[str, str]] = Counter()
    captions: Counter[tuple[str, str]] = Counter()
    examples: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for rows in tables:
        groups = rows.group_by(["stage", "reason"])
        # A count leaves nulls out: only a caption that was rejected alone has a text.
        for group in groups.aggregate([("image_id", "count"), ("caption", "count")]).to_pylist():
            key = group["stage"], group["reason"]
            captions[key] += group["caption_count"]
            images[key] += group["image_id_count"] - group["caption_count"]
            same = (pc.field("stage") == key[0]) & (pc.field("reason") == key[1])
            missing = REJECTS_SHOWN - len(examples[key])
            examples[key] += rows.filter(same).slice(0, missing).to_pylist()
    summaries = [RejectSummary(*k, images[k], captions[k], tuple(examples[k])) for k in images]
    return tuple(sorted(summaries, key=lambda s: (-s.images, -s.captions, s.stage, s.reason)))


def count_duplicates(tables: Iterable[pa.Table]) -> DuplicateSummary:
    """Counts rows of `schemas.DUPLICATES`."""
    pairs: Counter[tuple[str, int]] = Counter()
    shown = DUPLICATES.empty_table()
    for rows in tables:
        groups = rows.group_by(["action", "distance"])
        for group in groups.aggregate([("image_id", "count")]).to_pylist():
            pairs[group["action"], group["distance"]] += group["image_id_count"]
        shown = _first(pa.concat_tables([shown, rows]), _PAIR_KEYS, PAIRS_SHOWN)
    # Stable: by distance within an action.
    ordered = sorted(sorted(pairs.items()), key=lambda pair: pair[0][0], reverse=True)
    return DuplicateSummary(dict(ordered), tuple(shown.to_pylist()))


def count_words(lines: Iterable[str]) -> WordSummary:
    """Reads the lines of `vocabulary_frequencies.tsv`, the most frequent word first.

    Raises:
        CaptionerError: if one is none of these; the message names its number.
    """
    frequent: list[tuple[str, int]] = []
    rarest: deque[tuple[str, int]] = deque(maxlen=WORDS_SHOWN)
    counts = array("q")
    for number, (token, count, _) in enumerate(parse_frequencies(lines), 1):
        counts.append(count)
        (frequent if number <= WORDS_SHOWN else rarest).append((token, count))
    ranks = np.unique(np.geomspace(1, max(1, len(counts)), _CURVE_POINTS).round().astype(int))
    curve = tuple((rank, counts[rank - 1]) for rank in ranks.tolist() if rank <= len(counts))
    return WordSummary(len(counts), tuple(frequent), tuple(reversed(rarest)), curve)
