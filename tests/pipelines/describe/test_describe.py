"""Tests of the description of a dataset: what it counts, warns of, escapes and refuses."""

import argparse
import base64
import dataclasses
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifacts import DatasetInfo
from model.config import ImageConfig
from model.config_json import to_json
from model.errors import CaptionerError
from pipelines.describe.counts import count_duplicates, count_examples, count_rejects, count_words
from pipelines.describe.findings import LONGEST_UNCUT, find, tiny_limit_px
from pipelines.describe.plots import MAX_BINS, histogram, length_bins, plots
from pipelines.describe.run import describe, render, run
from pipelines.describe.summaries import Spread
from pipelines.describe.tables import sections
from pipelines.describe.text import as_text
from pipelines.readable import byte_size
from pipelines.schemas import DUPLICATES, EXAMPLES, REJECTS

SPLITS = ("train", "validation", "test")
BAD = "<script>alert('&')</script>"
LENGTHS = st.dictionaries(st.integers(0, 5000), st.integers(1, 10**6), min_size=1)
Rows = Sequence[dict[str, Any]]


def example(
    number: int, split: str = "train", lengths: Sequence[int] = (9, 11), **more: Any
) -> Any:
    """A row of `EXAMPLES`; one token of the first caption is unknown."""
    row = {
        "image_id": f"{split}/{number:04}.jpg",
        "image_uri": f"/pictures/{split}/{number:04}.jpg",
        "split": split,
        "captions": [" ".join([f"{split}-{number}"] * length) for length in lengths],
        "token_counts": list(lengths),
        "unknown_counts": [int(not i) for i in range(len(lengths))],
        "width_px": 300 + 7 * number,
        "height_px": 300,
        "mode": "RGB",
        "format": "PNG" if number % 3 else "JPEG",
        "byte_size": 1000 * (number + 1),
        "pixel_sha256": "0" * 64,
        "perceptual_hash": "0" * 16,
    }
    return row | more


def reject(number: int, reason: str = "missing", **more: Any) -> dict[str, Any]:
    """A row of `REJECTS`."""
    fixed = {"image_id": f"gone/{number:04}.jpg", "stage": "join", "error": f"no file {number}"}
    return {"image_uri": None, "caption": None, "reason": reason, **fixed, **more}


def pair(number: int, action: str = "reported", distance: int = 0) -> dict[str, Any]:
    """A row of `DUPLICATES`."""
    ids = {"image_id": f"test/{number:04}.jpg", "other_image_id": f"train/{number:04}.jpg"}
    splits = {"split": "test", "other_split": "train"}
    return {**ids, **splits, "distance": distance, "action": action}


def write(
    folder: Path,
    rows: Rows,
    rejects: Rows = (),
    duplicates: Rows = (),
    words: Sequence[tuple[str, int]] = (("a", 9), ("dog", 4)),
    **changes: Any,
) -> Path:
    """Writes a dataset folder without its TFRecords, a file of examples for each split."""
    tables = {f"examples/{split}-00000.parquet": (EXAMPLES, rows) for split in SPLITS}
    tables |= {"rejects/part-0.parquet": (REJECTS, rejects)} if rejects else {}
    tables |= {"duplicates.parquet": (DUPLICATES, duplicates)} if duplicates else {}
    for name, (schema, of_table) in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        of_file = [row for row in of_table if schema != EXAMPLES or row["split"] in name]
        pq.write_table(pa.Table.from_pylist(of_file, schema), folder / name)
    lines = [f"{word}\t{count}\n" for word, count in words]
    (folder / "vocabulary_frequencies.tsv").write_text("".join(lines), encoding="utf-8")
    counts = Counter(row["split"] for row in rows)
    info = DatasetInfo(
        fingerprint="f1",
        request="r",
        decoder_version="pillow-x",
        image=ImageConfig(64),
        vocabulary_size=len(words) + 4,
        examples={split: counts[split] for split in SPLITS},
        captions={},
        rejects={},
        inputs=len(rows) + sum(row["caption"] is None for row in rejects),
    )
    text = to_json(dataclasses.replace(info, **changes))
    (folder / "dataset.json").write_text(text, encoding="utf-8")
    return folder


class Page(HTMLParser):
    """A parsed page: tags, the text of elements with an id, tables as cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.by_id: dict[str, str] = {}
        self.tables: dict[str | None, list[list[str]]] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "wbr":
            return
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.cells = self.tables.setdefault(dict(attrs)["id"], [])
        elif tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("td", "th"):
            self.cells[-1][-1] += data.strip("\n")
        if attributes.get("id") and data.strip():
            self.by_id.setdefault(attributes["id"] or "", data.strip())

    def rows(self, table: str) -> list[dict[str, str]]:
        """The rows of a table by its header."""
        header, *rows = self.tables[table]
        return [dict(zip(header, row, strict=True)) for row in rows]


def make(folder: Path) -> Page:
    """Runs the command; returns its page."""
    assert run(argparse.Namespace(dataset=str(folder), output=None)) == 0
    return Page((folder / "description.html").read_text(encoding="utf-8"))


def findings(folder: Path) -> str:
    """All findings, a line each."""
    return "\n".join(finding.text for finding in find(describe(folder)))


@pytest.fixture
def examples() -> Rows:
    """A hundred examples of uneven lengths and sizes in each of two splits, none in test."""
    rng = np.random.default_rng(1)
    return [
        example(n, split, rng.integers(1, 30, rng.integers(1, 6)).tolist(), height_px=n + 20)
        for split in SPLITS[:2]
        for n in range(100)
    ]


def test_the_page_tells_the_truth(tmp_path: Path, examples: Rows) -> None:
    rejects = [reject(n) for n in range(7)] + [reject(8, "empty_caption", caption="...")]
    page = make(write(tmp_path / "data", examples, rejects))
    totals = {"inputs": "207", "examples": "200", "rejected": "7", "vocabulary": "6"}
    assert totals.items() <= page.by_id.items()
    assert page.by_id["captions-total"] == str(sum(len(row["captions"]) for row in examples))
    tables = ("split-sizes", "per-image", "lengths", "coverage")
    for number, split in enumerate(SPLITS[:2]):
        rows = [row for row in examples if row["split"] == split]
        lengths = [n for row in rows for n in row["token_counts"]]
        sizes, per_image, length, unknown = (page.rows(name)[number] for name in tables)
        assert sizes == {
            "split": split,
            "images": "100",
            "share": "50.0%",
            "captions": str(len(lengths)),
        }
        assert spread(per_image) == expected([len(row["captions"]) for row in rows])
        assert spread(length) == expected(lengths)
        long = sum(n > LONGEST_UNCUT for n in lengths)
        assert length[f"above {LONGEST_UNCUT}"] == f"{long / len(lengths):.1%}"
        assert unknown["tokens"] == f"{sum(lengths):,}"
        assert (unknown["unknown"], unknown["share"]) == ("100", f"{100 / sum(lengths):.1%}")


def test_the_page_tells_the_truth_of_rejects_and_pairs(tmp_path: Path) -> None:
    rejects = [reject(0), reject(1), reject(2, "empty_caption", caption="...")]
    page = make(write(tmp_path / "data", [example(n) for n in range(6)], rejects, [pair(1)]))
    assert [(row["reason"], row["images"], row["share"]) for row in page.rows("reasons")] == [
        ("missing", "2", "25.0%"),
        ("empty_caption", "0", "0.0%"),
    ]
    (shown,) = page.rows("pair-list")
    assert shown == {
        "image": "test/0001.jpg",
        "split": "test",
        "other image": "train/0001.jpg",
        "other split": "train",
        "distance": "0",
        "action": "reported",
    }


def spread(row: dict[str, str]) -> list[float]:
    """The numbers of a row: min, median, mean, 95th percentile, max."""
    names = ("min", "median", "mean", "p95", "max")
    return [float(row[name].replace(",", "")) for name in names]


def expected(values: Sequence[float], decimals: int = 0) -> list[float]:
    """What `spread` ought to be."""
    mean = round(statistics.fmean(values), max(1, decimals))
    low, top = min(values), max(values)
    middle, high = statistics.median(values), np.percentile(values, 95)
    first, second, fourth, last = (round(float(v), decimals) for v in (low, middle, high, top))
    return [first, second, mean, fourth, last]


def test_the_page_tells_the_truth_of_pictures(tmp_path: Path, examples: Rows) -> None:
    page = make(write(tmp_path / "data", examples))
    width, height, shorter, aspect, file = page.rows("sizes")
    sides = [(row["width_px"], row["height_px"]) for row in examples]
    assert spread(width) == expected([width for width, _ in sides])
    assert spread(height) == expected([height for _, height in sides])
    assert spread(shorter) == expected([min(pair) for pair in sides])
    assert spread(aspect) == pytest.approx(expected([w / h for w, h in sides], 2), abs=0.011)
    assert spread(file) == expected([round(row["byte_size"] / 1024) for row in examples])
    kinds = {row["kind"]: int(row["images"]) for row in page.rows("kinds")}
    assert kinds["JPEG"] == sum(row["format"] == "JPEG" for row in examples)
    assert kinds["RGB"] == kinds["landscape"] == 200
    assert kinds["portrait"] == kinds["square"] == 0
    assert kinds["below 64 px"] == sum(min(pair) < 64 for pair in sides)
    assert kinds["below 32 px: tiny"] == sum(min(pair) < 32 for pair in sides)
    assert f"The files take {byte_size(sum(row['byte_size'] for row in examples))}" in page.text


def test_pictures_are_landscapes_portraits_or_squares(tmp_path: Path) -> None:
    sides = [(3, 2)] * 3 + [(2, 3)] * 2 + [(2, 2)]
    rows = [example(n, width_px=width, height_px=height) for n, (width, height) in enumerate(sides)]
    tables = [t for s in sections(describe(write(tmp_path, rows))) for t in s.tables]
    (kinds,) = (table for table in tables if table.id == "kinds")
    assert [row[1:] for row in kinds.rows if row[0] == "shape"] == [
        ("landscape", "3", "50.0%"),
        ("portrait", "2", "33.3%"),
        ("square", "1", "16.7%"),
    ]


def test_the_terminal_shows_what_the_page_shows(
    tmp_path: Path, examples: Rows, capsys: pytest.CaptureFixture
) -> None:
    folder = write(tmp_path / "data", examples, [reject(1)], [pair(1)])
    page, printed = make(folder), capsys.readouterr().out
    shown = [line.split() for line in printed.splitlines()]
    for name in ("split-sizes", "per-image", "coverage", "sizes", "reasons", "pair-list"):
        for row in page.tables[name]:
            assert " ".join(row).split() in shown
    assert printed.startswith(
        "dataset data, fingerprint f1\n201 inputs = 200 examples + 1 rejected"
    )
    assert printed.endswith(f"page in {folder / 'description.html'}\n")


def test_columns_are_aligned_and_escapes_do_no_harm(tmp_path: Path) -> None:
    words = [("\u72ac", 1200), ("e\u0301te", 30), ("a\x1b[2Jb", 5), ("\u0e2b\u0e21\u0e36", 4)]
    lines = as_text(describe(write(tmp_path, [example(1)], words=words))).splitlines()
    start = next(i for i, line in enumerate(lines) if "most frequent  count" in line)
    assert lines[start : start + 5] == [
        "  most frequent  count  rarest  count",
        "  \u72ac             1,200",
        "  e\u0301te               30",
        "  a\\x1b[2Jb          5",
        "  \u0e2b\u0e21\u0e36                 4",
    ]


def test_captions_stand_in_the_direction_of_their_writing(tmp_path: Path) -> None:
    caption = "\u0643\u0644\u0628!"
    page = make(write(tmp_path, [example(1, captions=[caption, "a dog"])]))
    assert caption in [row["caption"] for row in page.rows("longest")]
    cells = [dict(attributes) for tag, attributes in page.tags if tag == "td"]
    assert {"auto"} == {cell.get("dir") for cell in cells if "name" not in cell["class"]}


def test_text_is_escaped(tmp_path: Path) -> None:
    page = make(
        write(
            tmp_path / "<b>data",
            [example(1, image_id=BAD, captions=["a dog", BAD], mode=BAD)],
            [reject(1, error=BAD, caption=BAD)],
            [pair(1) | {"image_id": BAD}],
            [(BAD, 2)],
        )
    )
    assert page.rows("longest")[0]["image"] == page.rows("longest")[0]["caption"] == BAD
    assert page.rows("reject-list")[0]["error"] == page.rows("reject-list")[0]["caption"] == BAD
    assert page.rows("pair-list")[0]["image"] == page.rows("word-list")[0]["most frequent"] == BAD
    assert not {"script", "b"} & {tag for tag, _ in page.tags}


def test_a_name_that_is_no_text_is_written_with_escapes(tmp_path: Path) -> None:
    description = describe(write(tmp_path, [example(1)]))
    odd = dataclasses.replace(description, name="caf\udce9")
    assert r"<h1>caf\udce9</h1>" in render(odd)
    assert r"dataset caf\udce9, " in as_text(odd)


def test_plots_are_pictures_inside_the_page_and_fit_both_papers(
    tmp_path: Path, examples: Rows
) -> None:
    folder = write(tmp_path / "data", examples)
    page = make(folder)
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    dark = [a["srcset"] for tag, a in page.tags if tag == "source"]
    assert len(images) == len(dark) == 4
    assert len({*images, *dark}) == 8
    for uri in (*images, *dark):
        kind, data = (uri or "").split(",")
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data, validate=True)).tag.endswith("svg")
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#"))
    before = (folder / "description.html").read_bytes()
    make(folder)
    assert (folder / "description.html").read_bytes() == before


def test_a_dataset_without_any_example_has_a_page_without_plots(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", [], words=[])
    page = make(folder)
    assert page.by_id["examples"] == "0"
    assert page.rows("lengths")[0]["median"] == "\N{EN DASH}"
    assert plots(describe(folder)) == ()
    assert findings(folder).count("split has no examples") == 3
    assert "Nothing was rejected." in page.text


@pytest.mark.parametrize(
    ("rows", "more", "warning"),
    [
        ([example(n) for n in range(9)], {}, "The test split has no examples."),
        ([example(n, "test") for n in range(9)], {}, "The test split has 9 images; with fewer"),
        ([example(n, "test", (9,)) for n in range(9)], {}, "11.1% of the test split's tokens are"),
        ([example(n, lengths=(9,)) for n in range(9)], {}, "has 1.0 captions on average"),
        ([example(1, lengths=(20, 19))], {}, "50.0% of the captions have more than 19 tokens"),
        ([example(1, width_px=31)], {}, "100.0% of the images are tiny, with a side below 32 px"),
        ([example(1)], {"duplicates": [pair(1), pair(2)]}, "2 pairs of (nearly) the same picture"),
        ([example(1)], {"rejects": [reject(1)]}, "50.0% of the inputs are rejected (more than 5%)"),
        ([example(1)], {"inputs": 3}, "rejects/ holds 0 images, dataset.json says 2"),
        ([example(1)], {"examples": {"train": 2}}, "holds 1 train image, dataset.json says 2"),
        ([example(1)], {"vocabulary_size": 5}, "lists 2 words, dataset.json says 1"),
    ],
)
def test_what_is_remarkable_is_told(
    tmp_path: Path, rows: Rows, more: dict[str, Any], warning: str
) -> None:
    folder = write(tmp_path / "data", rows, **more)
    assert warning in findings(folder)
    assert warning in " ".join(as_text(describe(folder)).split()), "printed in lines of its own"


@pytest.mark.parametrize(
    ("most", "of", "split", "flaw", "warning"),
    [
        (1, 50, "train", {"lengths": (20, 9)}, "of the captions have more than 19 tokens"),
        (1, 100, "train", {"width_px": 31}, "of the images are tiny"),
        (2, 100, "train", {"captions": ["A dog<br>", "R&D; x < y > z"]}, "have HTML in them"),
        (2, 100, "train", {"captions": ["A dog", "<p>A&nbsp;dog"]}, "have HTML in them"),
        (24, 600, "train", {"captions": ["No title", "A dog"]}, "are 'No title', and the model"),
        (3, 10, "test", {"unknown_counts": [2, 0]}, "tokens are not in the vocabulary"),
    ],
)
def test_a_flaw_is_remarkable_from_its_share_on(
    tmp_path: Path, most: int, of: int, split: str, flaw: dict[str, Any], warning: str
) -> None:
    for count in (most, most + 1):
        flaws = [flaw if number < count else {} for number in range(of)]
        rows = [example(n, split, **{"unknown_counts": [0, 0], **f}) for n, f in enumerate(flaws)]
        assert (warning in findings(write(tmp_path, rows))) == (count > most)


def test_rejects_are_remarkable_from_their_share_of_the_inputs_on(tmp_path: Path) -> None:
    for count in (5, 6):
        rejects = [reject(number) for number in range(count)]
        folder = write(tmp_path, [example(n) for n in range(95)], rejects)
        assert ("of the inputs are rejected" in findings(folder)) == (count > 5)


def test_the_number_of_training_pictures_is_no_matter_of_luck(tmp_path: Path) -> None:
    assert "The train split" not in findings(write(tmp_path, [example(1)]))


def test_a_picture_is_tiny_that_is_enlarged_more_than_twice() -> None:
    assert (tiny_limit_px(64), tiny_limit_px(65)) == (32, 33)


def test_a_good_dataset_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = [example(n, split, (19, 19)) for split in SPLITS for n in range(100)]
    moved = [pair(n, "moved") for n in range(3)]
    folder = write(tmp_path / "data", rows, [reject(1)], moved)
    assert findings(folder) == ""
    assert "No findings" in make(folder).text
    assert "No findings" in capsys.readouterr().out


def test_rejects_are_grouped_with_some_of_each() -> None:
    rows = [reject(n) for n in range(9)]
    rows += [reject(n, "bomb", stage="decode") for n in range(12)]
    rows += [reject(n, "empty_caption", stage="text", caption="...") for n in range(20)]
    table = pa.Table.from_pylist(rows, REJECTS)
    groups = count_rejects(table.slice(start, 7) for start in range(0, 41, 7))
    assert [(g.stage, g.reason, g.images, g.captions) for g in groups] == [
        ("decode", "bomb", 12, 0),
        ("join", "missing", 9, 0),
        ("text", "empty_caption", 0, 20),
    ]
    assert [row["error"] for row in groups[1].examples] == [f"no file {n}" for n in range(5)]
    assert groups == count_rejects([table])


def test_some_of_each_reason_are_of_its_stage_too() -> None:
    kinds = [("decode", "bomb"), ("decode", "duplicate_name"), ("join", "duplicate_name")]
    rows = [reject(n, kinds[n % 3][1], stage=kinds[n % 3][0]) for n in range(9)]
    groups = count_rejects([pa.Table.from_pylist(rows, REJECTS)])
    assert [(g.stage, g.reason) for g in groups] == kinds
    for group in groups:
        assert len(group.examples) == 3
        assert {(row["stage"], row["reason"]) for row in group.examples} == {
            (group.stage, group.reason)
        }


def test_pairs_that_are_still_there_are_shown_first() -> None:
    rows = [pair(n, "moved", n % 3) for n in range(30)]
    rows += [pair(n, "reported", 4 - n % 2) for n in range(30, 36)]
    duplicates = count_duplicates([pa.Table.from_pylist(rows, DUPLICATES)])
    assert list(duplicates.pairs.items()) == [
        (("reported", 3), 3),
        (("reported", 4), 3),
        (("moved", 0), 10),
        (("moved", 1), 10),
        (("moved", 2), 10),
    ]
    shown = [(row["action"], row["distance"]) for row in duplicates.shown]
    assert (
        shown
        == [("reported", 3)] * 3 + [("reported", 4)] * 3 + [("moved", 0)] * 10 + [("moved", 1)] * 4
    )


def test_batches_do_not_matter(examples: Rows) -> None:
    untitled = [dict(example(n), captions=["No <br>", "title"]) for n in range(11)]
    table = pa.Table.from_pylist([*examples[:189], *untitled], EXAMPLES)
    parts = [table.slice(start, 13) for start in range(0, 200, 13)]
    summary = count_examples([table])
    assert summary == count_examples(parts[::-1]) == count_examples([pa.concat_tables(parts)])
    assert (summary.common, summary.markup) == ({"No <br>": 11, "title": 11}, 11)
    assert summary.longest[0]["tokens"] == max(n for r in examples for n in r["token_counts"])
    assert all(len(row["caption"].split()) == row["tokens"] for row in summary.longest)


def test_sizes_are_counted_in_eighths_of_an_octave_the_width_first() -> None:
    sizes = [(256, 64), (278, 64), (280, 64), (64, 256)]
    rows = [example(1, width_px=width, height_px=height) for width, height in sizes]
    pictures = count_examples([pa.Table.from_pylist(rows, EXAMPLES)]).pictures
    assert pictures.sizes == {(64, 48): 2, (65, 48): 1, (48, 64): 1}


def test_a_split_of_another_name_is_counted_after_the_usual_ones() -> None:
    rows = [example(1, split) for split in ("odd", "train", "even")]
    splits = count_examples([pa.Table.from_pylist(rows, EXAMPLES)]).splits
    assert [(split.name, split.images) for split in splits] == [
        ("train", 1),
        ("validation", 0),
        ("test", 0),
        ("even", 1),
        ("odd", 1),
    ]


def test_both_ends_of_the_words_are_shown_once() -> None:
    words = count_words(f"w{n}\u2028x\t{100 - n}\n" for n in range(50))
    assert (words.words, len(words.frequent), len(words.rarest)) == (50, 20, 20)
    # The pictures of each are counted by newer datasets.
    assert count_words(f"w{n}\u2028x\t{100 - n}\t3\n" for n in range(50)) == words
    assert words.frequent[0] == ("w0\u2028x", 100)
    assert words.rarest[0] == ("w49\u2028x", 51)
    assert (words.curve[0], words.curve[-1]) == ((1, 100), (50, 51))
    few = count_words(f"w{n}\t1\n" for n in range(23))
    assert [word for word, _ in (*few.frequent, *few.rarest[::-1])] == [f"w{n}" for n in range(23)]


@given(LENGTHS)
def test_histogram_holds_every_caption(counts: dict[int, int]) -> None:
    spread = Spread(counts)
    width, bins = length_bins([spread])
    binned = histogram(counts, width, bins)
    assert sum(binned) == spread.total == sum(counts.values())
    assert 1 <= len(binned) <= MAX_BINS + 1
    for number, count in enumerate(binned[:-1]):
        values = range(number * width, number * width + width)
        assert count == sum(counts.get(value, 0) for value in values)


@given(st.lists(st.integers(0, 10**6), min_size=1), st.floats(0, 1))
def test_quantiles_are_those_of_all_numbers(values: list[int], quantile: float) -> None:
    spread = Spread(Counter(values))
    assert spread.quantile(quantile) == pytest.approx(np.quantile(values, quantile))
    assert spread.mean == pytest.approx(statistics.fmean(values))
    assert spread.below(values[0]) == sum(value < values[0] for value in values)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("dataset.json", None, "data is no dataset: it has no dataset.json"),
        ("dataset.json", b"{}", "it was written by another version"),
        ("examples", None, r"has no examples/\*.parquet: it was made by another version"),
        ("vocabulary_frequencies.tsv", None, "has no vocabulary_frequencies.tsv"),
        ("vocabulary_frequencies.tsv", b"a\t9\na dog\n", "line 2: got 'a dog.n', expected TOKEN"),
        ("vocabulary_frequencies.tsv", b"\xff\t9\n", "vocabulary_frequencies.tsv: .*can't decode"),
        ("examples/train-00000.parquet", b"cut", "train-00000.parquet: .*; run captioner"),
        ("rejects/part-1.parquet", EXAMPLES, "part-1.parquet: columns missing: caption, error,"),
        ("duplicates.parquet", b"", "duplicates.parquet: .*; run captioner preprocess again"),
    ],
)
def test_what_is_no_dataset_is_told(
    tmp_path: Path, path: str, content: bytes | pa.Schema | None, message: str
) -> None:
    folder = write(tmp_path / "data", [example(1)], [reject(1)])
    if isinstance(content, bytes):
        (folder / path).write_bytes(content)
    elif content is not None:
        pq.write_table(content.empty_table(), folder / path)
    elif (folder / path).is_dir():
        shutil.rmtree(folder / path)
    else:
        (folder / path).unlink()
    with pytest.raises(CaptionerError, match=message):
        make(folder)
    assert not (folder / "description.html").exists()


def test_what_others_leave_beside_the_tables_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path, [example(1)], [reject(1)])
    before = describe(folder)
    for name in ("examples/._train-00000.parquet", "rejects/_part-0.parquet"):
        (folder / name).write_bytes(b"what macOS or a run cut short leaves")
    assert describe(folder) == before


def test_a_null_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", [example(1)])
    loose = pa.schema([field.with_nullable(True) for field in EXAMPLES])
    table = pa.Table.from_pylist([example(1, width_px=None)], loose)
    pq.write_table(table, folder / "examples" / "train-00000.parquet")
    with pytest.raises(CaptionerError, match=r"train-00000.parquet: .*null"):
        describe(folder)


def test_the_output_may_be_elsewhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", [example(1)])
    page = tmp_path / "pages" / "page.html"
    assert run(argparse.Namespace(dataset=str(folder), output=str(page))) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not (folder / "description.html").exists()
    with pytest.raises(CaptionerError, match=r"page.html/x.html: .*choose another file"):
        run(argparse.Namespace(dataset=str(folder), output=str(page / "x.html")))


def test_tables_are_whole_and_ids_unique(tmp_path: Path, examples: Rows) -> None:
    folder = write(tmp_path / "data", examples, [reject(1)], [pair(1)])
    tables = [table for section in sections(describe(folder)) for table in section.tables]
    for table in tables:
        assert {len(table.align), len(table.header)} == {len(row) for row in table.rows} | {
            len(table.header)
        }
    ids = [attributes["id"] for _, attributes in make(folder).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > len(tables)


def test_it_starts_without_tensorflow_and_pyplot() -> None:
    heavy = {"tensorflow", "matplotlib.pyplot"}
    code = f"import sys, pipelines.describe; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless browser that has never run before."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no browser: chromium and chromedriver come with chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in "headless=new no-sandbox disable-gpu no-first-run disable-sync".split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


def test_page_in_a_browser(tmp_path: Path, examples: Rows, browser: Any) -> None:
    rejects = [reject(n, error="long " * 40) for n in range(5)]
    folder = write(tmp_path / "data", examples, rejects, [pair(n) for n in range(5)])
    make(folder)
    browser.get((folder / "description.html").as_uri())
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        widths = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
        assert len(widths) == 4
        assert min(widths) > 0
    for width in (400, 1280):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        root = "const root = document.documentElement; return "
        assert browser.execute_script(f"{root} innerWidth") == width
        assert browser.execute_script(f"{root} root.scrollWidth <= root.clientWidth")
    assert browser.get_log("browser") == []
