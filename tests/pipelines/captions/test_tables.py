"""Tests of captions in tables: what is written is read back, and flaws name their line."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from container_builders import hub_images, parquet_bytes, write
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from model.errors import CaptionerError
from pipelines.archives.containers import list_container
from pipelines.archives.members import SkippedFiles
from pipelines.captions.parsing import CaptionColumns, FoundCaption
from pipelines.captions.tables import (
    read_delimited_captions,
    read_json_lines_captions,
    read_parquet_captions,
)

# Line breaks of all kinds, quotes, delimiters and brackets among them.
unicode = st.text(st.characters(exclude_categories=["Cs"]))
texts = unicode | st.sampled_from(['"', '""', ",", "a\nb", "a\r\nb", "\r", "\t", "[x", "a\u2028b"])
rows = st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=20)
NO_COLUMNS = CaptionColumns()


def read(folder: Path, data: str | bytes, suffix: str = ".csv", **columns: str) -> list[tuple]:
    """The captions of `data`, as `(image_id, text, split, place)`."""
    data = data if isinstance(data, bytes) else data.encode()
    uri = write(folder / f"captions{suffix}", data)
    named = CaptionColumns(**columns)
    if suffix == ".parquet":
        found = read_parquet_captions(uri, named)
    elif suffix == ".jsonl":
        found = read_json_lines_captions(uri, named)
    else:
        found = read_delimited_captions(uri, suffix, named)
    return [tuple(caption) for caption in found]


def error_of(folder: Path, data: str | bytes, suffix: str = ".csv", **columns: str) -> str:
    with pytest.raises(CaptionerError) as error:
        read(folder, data, suffix, **columns)
    assert f"captions file {folder}/captions{suffix}" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def lines(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def delimited(rows: list[Any], delimiter: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


def is_json_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


@given(rows, st.sampled_from([".csv", ".tsv"]))
def test_whatever_is_written_as_csv_or_tsv_is_read_back(rows: list, suffix: str) -> None:
    assume(not any(is_json_list(text) for _, text in rows))
    data = delimited([("image", "caption"), *rows], "," if suffix == ".csv" else "\t")
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), data, suffix)
    assert [caption[:2] for caption in found] == rows


@given(rows, st.booleans())
@example([("a", "\u2028\x85\x0b")], False)
def test_whatever_is_written_as_json_lines_is_read_back(rows: list, ascii: bool) -> None:
    objects = ({"image": image, "caption": text} for image, text in rows)
    data = "".join(json.dumps(value, ensure_ascii=ascii) + "\n" for value in objects)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), data, ".jsonl")
    assert [caption[:2] for caption in found] == rows
    assert [caption[3] for caption in found] == [f"line {n}" for n in range(1, len(rows) + 1)]


@given(st.lists(st.tuples(texts.filter(bool), st.lists(texts)), min_size=1, max_size=9))
@settings(max_examples=50)
def test_lists_of_captions_are_read_back_from_every_table(rows: list) -> None:
    expected = [(image, text) for image, captions in rows for text in captions]
    cells = [(image, json.dumps(captions)) for image, captions in rows]
    objects = [{"image": image, "captions": captions} for image, captions in rows]
    images, captions = map(list, zip(*rows, strict=True))
    column = pa.array(captions, pa.list_(pa.string()))
    written: dict[str, str | bytes] = {
        ".csv": delimited([("image", "captions"), *cells], ","),
        ".jsonl": lines(*objects),
        ".parquet": parquet_bytes({"image": images, "captions": column}, row_group_size=2),
    }
    with tempfile.TemporaryDirectory() as folder:
        for suffix, data in written.items():
            found = read(Path(folder), data, suffix)
            assert [caption[:2] for caption in found] == expected, suffix


@given(
    rows, st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.utf8())])
)
@settings(max_examples=50)
def test_whatever_is_written_as_parquet_is_read_back(rows: list, type: pa.DataType) -> None:
    images, captions = (pa.array(values, type) for values in zip(*rows, strict=True))
    data = parquet_bytes({"file_name": images, "text": captions}, row_group_size=7)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Path(folder), data, ".parquet")
    assert [caption[:2] for caption in found] == rows
    assert [caption[3] for caption in found] == [f"row {n}" for n in range(len(rows))]


def test_lines_are_numbered_where_their_row_starts(tmp_path: Path) -> None:
    data = '\ufeffimage,caption\r\na.jpg,"one\r\ntwo"\r\n\r\nb.jpg,three\r\n'
    assert read(tmp_path, data) == [
        ("a.jpg", "one\r\ntwo", None, "line 2"),
        ("b.jpg", "three", None, "line 5"),
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("caption,image_id,image", "3"),
        ("caption,file_name,path", "2"),
        ("caption,id,uri", "3"),
        ("Caption,id, Image ", "3"),
    ],
)
def test_the_likeliest_column_of_pictures_is_found(
    tmp_path: Path, header: str, expected: str
) -> None:
    assert read(tmp_path, f"{header}\n1,2,3\n") == [(expected, "1", None, "line 2")]


def test_columns_can_be_named(tmp_path: Path) -> None:
    row = {"image": "x", "caption": "y", "photo": "a.jpg", "alt": "A dog", "part": "dev"}
    named = {"image": "photo", "caption": "alt", "split": "part"}
    table = {name: [value] for name, value in row.items()}
    data = {".csv": delimited([row, row.values()], ","), ".jsonl": lines(row)}
    for suffix, text in data.items():
        ((*found, _),) = read(tmp_path, text, suffix, **named)
        assert found == ["a.jpg", "A dog", "dev"]
    ((*found, _),) = read(tmp_path, parquet_bytes(table), ".parquet", **named)
    assert found == ["a.jpg", "A dog", "dev"]


@pytest.mark.parametrize("role", ["image", "caption", "split"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_column_that_is_absent_is_an_error_that_lists_the_columns(
    tmp_path: Path, suffix: str, role: str
) -> None:
    row = {"image": "a.jpg", "caption": "A dog"}
    data: dict[str, str | bytes] = {
        ".csv": delimited([row, row.values()], ","),
        ".jsonl": lines(row),
        ".parquet": parquet_bytes({name: [value] for name, value in row.items()}),
    }
    message = error_of(tmp_path, data[suffix], suffix, **{role: "absent"})
    assert "got no column 'absent', expected one of ['image', 'caption']" in message


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("id,caption", "expected a column of pictures named image, file_name"),
        ("image,id", "expected a column of captions named caption, captions"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_a_known_column_is_an_error_that_lists_the_columns(
    tmp_path: Path, suffix: str, header: str, words: str
) -> None:
    names = header.split(",")
    data: dict[str, str | bytes] = {
        ".csv": f"{header}\n1,2\n",
        ".jsonl": lines(dict.fromkeys(names, "1")),
        ".parquet": parquet_bytes({name: ["1"] for name in names}),
    }
    message = error_of(tmp_path, data[suffix], suffix)
    assert words in message
    assert f"got the columns {names}" in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("image,image,caption\n", "line 1: got the columns ['image', 'image', 'caption']"),
        ('image,caption\na.jpg,"A" dog\n', "line 2: malformed (',' expected after '\"')"),
        ('image,caption\na.jpg,x\nb.jpg,"A dog\nc.jpg,A cat\n', "line 3: malformed"),
        ("image,caption\na.jpg\n", "line 2: got 1 cells ['a.jpg'], expected 2"),
        ("image,caption\na.jpg,A dog, two\n", "line 2: got 3 cells"),
        ("image,caption\n\n,A dog\n", "line 3: got '', expected the name of a picture; leave out"),
    ],
)
def test_malformed_csv_is_an_error_that_names_the_line(
    tmp_path: Path, data: str, words: str
) -> None:
    assert words in error_of(tmp_path, data)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"image": ', "line 3, column 11: malformed JSON"),
        ("a.jpg", "line 3, column 1: malformed JSON"),
        ('["a.jpg"]', "line 3: got ['a.jpg'], expected a JSON object"),
        ("[" * 100_000, "line 3: JSON that cannot be read"),
        ('{"caption": "A dog"}', "line 3: got None, expected the name of a picture"),
        ('{"image": 7, "caption": "A dog"}', "line 3: got 7, expected the name of a picture"),
        ('{"image": "a.jpg", "caption": 7}', "line 3: got 7, expected a caption or a list"),
        ('{"image": "a.jpg", "caption": ["A", 7]}', "line 3: got ['A', 7], expected a caption"),
    ],
)
def test_malformed_json_lines_are_an_error_that_names_the_line(
    tmp_path: Path, line: str, words: str
) -> None:
    good = lines({"image": "a.jpg", "caption": "A dog"})
    assert words in error_of(tmp_path, f"{good}\n{line}\n", ".jsonl")


def test_lines_of_blanks_and_cells_of_any_length_are_fine(tmp_path: Path) -> None:
    text = "x" * 200_000
    found = read(tmp_path, f"image,caption\na.jpg,{text}\n   \nb.jpg,A dog\n  ", ".csv")
    assert [caption[:2] for caption in found] == [("a.jpg", text), ("b.jpg", "A dog")]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_cells_of_nothing_that_excel_adds_are_no_rows_and_no_columns(
    tmp_path: Path, delimiter: str
) -> None:
    rows = [("image", "caption", "", ""), ("a.jpg", "A dog", "", "x"), ("",) * 4, ("",) * 4]
    assert read(tmp_path, delimited(rows, delimiter)) == [("a.jpg", "A dog", None, "line 2")]
    assert "is empty; expected the names of its columns" in error_of(tmp_path, ",,\na.jpg,A dog,\n")


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ("""['A dog runs .', "A man's hat"]""", ["A dog runs .", "A man's hat"]),  # by pandas
        ("""['A dog', None]""", ["A dog", ""]),
        ("""["A dog", null]""", ["A dog", ""]),
        ("[blurred] a dog", ["[blurred] a dog"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[Untitled]", ["[Untitled]"]),
        ("""['Untitled'], in oil""", ["['Untitled'], in oil"]),
    ],
)
def test_a_cell_may_be_a_list_as_json_or_as_python_writes_it(
    tmp_path: Path, cell: str, captions: list[str]
) -> None:
    found = read(tmp_path, delimited([("image", "caption"), ("a.jpg", cell)], ","), ".csv")
    assert [caption[1] for caption in found] == captions


@pytest.mark.parametrize(
    "cell",
    [
        """['A dog' 'A cat']""",  # an array: commas would be guesses
        """['A dog'\n "A man's hat"]""",
        """ ["A dog", "A cat",] """,
    ],
)
def test_a_list_in_another_spelling_is_an_error_that_names_the_line(
    tmp_path: Path, cell: str
) -> None:
    text = delimited([("image", "caption"), ("a.jpg", "A dog"), ("b.jpg", cell)], ",")
    message = error_of(tmp_path, text, ".csv")
    assert f"line 3: got {cell!r}, the text of an array" in message
    assert message.endswith("write lists as JSON")


def test_empty_json_lines_are_an_error(tmp_path: Path) -> None:
    assert "is empty" in error_of(tmp_path, "\n", ".jsonl")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_text_that_is_no_utf8_is_an_error_that_names_the_byte(tmp_path: Path, suffix: str) -> None:
    message = error_of(tmp_path, "image,caption\na,ä".encode("latin-1"), suffix)
    assert "got the byte 0xe4 at position 16; convert the file to UTF-8" in message
    assert "Excel" in message
    assert "position 0; convert" in error_of(tmp_path, "image".encode("utf-16"), suffix)


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;;\n"])
def test_a_line_that_tells_excel_the_delimiter_is_no_row(tmp_path: Path, first: str) -> None:
    table = f"\ufeff{first}image;caption;name, short\na.jpg;3,5 cm;x\n"
    assert read(tmp_path, table) == [("a.jpg", "3,5 cm", None, "line 3")]


@pytest.mark.parametrize("given", ["train", " val", ""])
def test_splits_are_told_as_they_are(tmp_path: Path, given: str) -> None:
    assert read(tmp_path, f"image,caption,Split\na.jpg,x,{given}\n")[0][2] == given
    data = lines({"image": "a.jpg", "caption": "x"}, {"image": "b", "caption": "", "split": given})
    assert [caption[2] for caption in read(tmp_path, data, ".jsonl")] == [None, given]
    table = {"image": ["a.jpg"], "caption": ["x"], "split": [given]}
    assert read(tmp_path, parquet_bytes(table), ".parquet")[0][2] == given


def test_a_nameless_index_column_is_no_split(tmp_path: Path) -> None:
    assert read(tmp_path, ",image,caption\n0,a.jpg,x\n") == [("a.jpg", "x", None, "line 2")]


def test_a_caption_that_starts_with_a_bracket_is_text_unless_it_is_a_list_of_texts(
    tmp_path: Path,
) -> None:
    cells = ["[unknown] dog", "[1, 2]", '["a", "b"]', "[]", "[" * 5000]
    data = delimited([("image", "caption"), *(("a.jpg", cell) for cell in cells)], ",")
    texts = [caption[1] for caption in read(tmp_path, data)]
    assert texts == ["[unknown] dog", "[1, 2]", "a", "b", "[" * 5000]


def test_a_caption_of_nothing_is_an_empty_one_that_will_be_counted(tmp_path: Path) -> None:
    table = {"image": ["a", "b"], "captions": pa.array([None, ["x", None]])}
    assert [c[:2] for c in read(tmp_path, parquet_bytes(table), ".parquet")] == [
        ("a", ""),
        ("b", "x"),
        ("b", ""),
    ]
    assert read(tmp_path, lines({"image": "a", "text": None}), ".jsonl")[0][:2] == ("a", "")


@pytest.mark.parametrize(
    "data",
    [
        "image;caption\na.jpg;A dog, and a cat\n",
        "image_name| comment_number| comment\na.jpg| 0| A dog, and a cat\n",
        "image\tcaption\na.jpg\tA dog, and a cat\n",
        'image, caption\na.jpg, "A dog, and a cat"\n',
    ],
)
def test_what_stands_in_place_of_commas_is_seen_in_the_first_row(tmp_path: Path, data: str) -> None:
    assert read(tmp_path, data) == [("a.jpg", "A dog, and a cat", None, "line 2")]


def test_a_text_of_json_lines_is_never_a_list(tmp_path: Path) -> None:
    text = json.dumps(["A dog", "A cat"])
    found = read(tmp_path, lines({"image": "a.jpg", "caption": text}), ".jsonl")
    assert [caption[:2] for caption in found] == [("a.jpg", text)]


# Parquet


@pytest.mark.parametrize("type", [pa.large_list(pa.large_string()), pa.list_(pa.string(), 2)])
def test_lists_of_every_type_hold_captions(tmp_path: Path, type: pa.DataType) -> None:
    data = parquet_bytes({"image": ["a.jpg"], "captions": pa.array([["One", "Two"]], type)})
    found = [caption[:2] for caption in read(tmp_path, data, ".parquet")]
    assert found == [("a.jpg", "One"), ("a.jpg", "Two")]


@pytest.mark.parametrize("type", [pa.binary(), pa.large_binary()])
def test_rows_with_pictures_have_the_names_that_the_listing_gives(
    tmp_path: Path, type: pa.DataType
) -> None:
    tables = {
        "hub": hub_images([("x/a.jpg", b"a"), (None, b"b"), ("", b"c")]),
        "plain": pa.array([b"a", b"b", b"c"], type),
        "nameless": pa.array([{"bytes": b"a"}] * 3, pa.struct([("bytes", type)])),
    }
    for name, images in tables.items():
        table = {"image_id": ["1", "2", "3"], "image": images, "caption": ["A", "B", "C"]}
        uri = write(tmp_path / f"{name}.parquet", parquet_bytes(table, row_group_size=2))
        found = list(read_parquet_captions(uri, NO_COLUMNS))
        listed = [image.image_id for image in list_container(uri, SkippedFiles())]
        assert [caption.image_id for caption in found] == listed
        assert [caption.text for caption in found] == ["A", "B", "C"]
    assert listed == [f"{tmp_path.name}/nameless-{row:06d}" for row in range(3)]


def test_a_column_of_names_can_be_named_beside_pictures(tmp_path: Path) -> None:
    table = {"id": ["7"], "image": [b"a"], "caption": ["A"]}
    data = parquet_bytes(table)
    assert read(tmp_path, data, ".parquet", image="id") == [("7", "A", None, "row 0")]


def test_the_bytes_of_pictures_are_not_read(tmp_path: Path) -> None:
    size, number = 10_000, 300
    images = hub_images([(f"{i}.jpg", bytes([i % 256]) * size) for i in range(number)])
    options = {"use_dictionary": ["caption"], "compression": "none"}
    table = {"image": images, "caption": ["A dog"] * number}
    uri = write(tmp_path / "a.parquet", parquet_bytes(table, **options))
    del images, table
    pool, most = pa.default_memory_pool(), 0
    before = pool.bytes_allocated()
    for _ in read_parquet_captions(uri, NO_COLUMNS):
        most = max(most, pool.bytes_allocated() - before)
    assert most < number * size / 4


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": [7], "caption": ["A"]}, "column 'image' is int64, expected text for pictures"),
        ({"image": ["a"], "caption": [7]}, "column 'caption' is int64, expected text for captions"),
        ({"image": ["a"], "caption": [[7]]}, "column 'caption' is list<element: int64>"),
        ({"image": [{"path": "a"}], "caption": ["A"]}, "column 'image' is struct<path: string>"),
    ],
)
def test_a_column_of_another_type_is_an_error_that_names_it(
    tmp_path: Path, columns: dict[str, Any], words: str
) -> None:
    assert words in error_of(tmp_path, parquet_bytes(columns), ".parquet")


def test_a_named_column_of_another_type_is_an_error_that_names_it(tmp_path: Path) -> None:
    data = parquet_bytes({"id": [7], "image": ["a"], "caption": ["A"]})
    message = error_of(tmp_path, data, ".parquet", image="id")
    assert "column 'id' is int64, expected text for pictures" in message


def test_a_later_column_of_the_right_type_is_found(tmp_path: Path) -> None:
    table = {"image_id": [7], "file_name": ["a.jpg"], "captions": [7], "text": ["A"]}
    assert read(tmp_path, parquet_bytes(table), ".parquet") == [("a.jpg", "A", None, "row 0")]


@pytest.mark.parametrize("name", [None, ""])
def test_a_row_that_names_no_picture_is_named(tmp_path: Path, name: str | None) -> None:
    table = {"image": ["a.jpg", name], "caption": ["A", "B"]}
    message = error_of(tmp_path, parquet_bytes(table), ".parquet")
    assert f"row 1: got {name!r}, expected the name of a picture" in message


@pytest.mark.parametrize("data", [b"", b"no Parquet at all"])
def test_a_broken_parquet_is_an_error(tmp_path: Path, data: bytes) -> None:
    assert "cannot be read as Parquet" in error_of(tmp_path, data, ".parquet")


def test_text_in_parquet_that_is_no_utf8_is_an_error(tmp_path: Path) -> None:
    bad = pa.array([b"\xff"], pa.binary()).view(pa.string())
    data = parquet_bytes({"image": ["a.jpg"], "caption": bad})
    assert "utf-8" in error_of(tmp_path, data, ".parquet")


def test_found_captions_compare_as_tuples(tmp_path: Path) -> None:
    (caption,) = read_json_lines_captions(
        write(tmp_path / "a.jsonl", lines({"image": "a", "caption": "A"}).encode()), NO_COLUMNS
    )
    assert caption == FoundCaption("a", "A", None, "line 1")
