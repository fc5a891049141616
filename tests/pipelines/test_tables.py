"""Tests of tables as text: which column is meant, what lies between cells; see also captions."""

from __future__ import annotations

import pytest

from pipelines.tables import delimiter_of, find_column


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["uri", "File_Name", "caption"], "File_Name"),
        (["URI", "uri"], "URI"),
        (["uri", "URI"], "uri"),
        (["caption"], None),
    ],
)
def test_the_likeliest_column_is_found_and_of_equals_the_first(
    columns: list[str], found: str | None
) -> None:
    assert find_column(columns, ["file_name", "uri"]) == found


@pytest.mark.parametrize(
    ("header", "expected", "delimiter"),
    [
        ("image,caption", ",", ","),
        ("image;caption", ",", ";"),
        ("image|caption", ",", "|"),
        ("image\tcaption", ",", "\t"),
        ("image,caption;note|more\t", ",", ","),
        ("image\tcaption; or a text, say", "\t", "\t"),
        ('"picture, file";caption', ",", ";"),
        ('"picture,\nfile";"the\ncaption"\na.jpg;A dog, say', ",", ";"),
        ("image;caption (short, German)", ",", ";"),
        ("image,caption (short; German)", ",", ","),
        ("image", ",", ","),
        ('"image"\na;b.jpg', ",", ","),
    ],
)
def test_another_delimiter_counts_only_where_the_expected_one_is_not(
    header: str, expected: str, delimiter: str
) -> None:
    assert delimiter_of(header, expected) == delimiter
