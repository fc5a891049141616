"""Tests of finding captions files: formats told apart, options that fit none, splits that agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from container_builders import (
    caption_row,
    hub_images,
    parquet_bytes,
    tar_bytes,
    write,
    write_part,
)

from model.errors import CaptionerError
from pipelines.captions.formats import (
    FORMATS,
    CaptionColumns,
    CaptionSource,
    detect_sources,
    image_sources_of,
    list_captioned_images,
    read_all_captions,
)
from pipelines.records import Caption, ImageFile

TOKENS = "a.jpg#0\tA dog\n"
COCO = {
    "info": {"year": 2014},
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"image_id": 1, "caption": "A dog"}],
}
KARPATHY = {"images": [{"filename": "a.jpg", "sentids": [1], "sentences": [{"raw": "A dog"}]}]}
OBJECT = {"image": "a.jpg", "sentences": ["A dog"]}
CSV = "image,caption\na.jpg,A dog\n"
PARQUET = parquet_bytes({"image": ["a.jpg"], "caption": ["A dog"]})
TAR = tar_bytes({"a.jpg": b"", "a.txt": b"A dog"})
DOCUMENTS = {"flickr": TOKENS, "coco": json.dumps(COCO), "karpathy": json.dumps(KARPATHY)}


def detect(folder: Path, name: str, data: str | bytes) -> str:
    (source,) = detect_sources([write(folder / name, _bytes(data))], None)
    return source.format


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def error_of(paths: Sequence[object], format: str | None = None) -> str:
    with pytest.raises(CaptionerError) as error:
        detect_sources([str(path) for path in paths], format)
    assert "\n" not in str(error.value)
    return str(error.value)


def read(folder: Path, *data: str, **options: Any) -> list[Caption]:
    """The captions of token files, CSV files and JSON documents."""
    paths = [write(folder / f"{i}.txt", text.encode()) for i, text in enumerate(data)]
    return list(read_all_captions(detect_sources(paths, None), **options))


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("Flickr8k.token.txt", TOKENS, "flickr"),
        ("results_20130124.token", f"\ufeff\n{TOKENS}", "flickr"),
        ("brackets.txt", "[1].jpg#0\tA dog\n", "flickr"),
        ("coco.json", json.dumps(COCO), "coco"),
        ("pretty.json", json.dumps(COCO, indent=2), "coco"),
        ("bare", json.dumps(COCO), "coco"),
        ("instances-first.json", json.dumps({"annotations": [], **COCO}), "coco"),
        ("broken.json", '{"images": [', "coco"),
        ("dataset_coco.json", json.dumps(KARPATHY), "karpathy"),
        ("pretty-karpathy.json", json.dumps(KARPATHY, indent=1), "karpathy"),
        ("a.csv", CSV, "csv"),
        ("captions.txt", CSV, "csv"),
        ("quoted.txt", '"image_name","image","Caption"\n', "csv"),
        ("a.TSV", CSV.replace(",", "\t"), "tsv"),
        ("tabs.txt", CSV.replace(",", "\t"), "tsv"),
        ("semicolons.txt", CSV.replace(",", ";"), "csv"),
        ("for-excel.txt", f"sep=^\n{CSV.replace(',', '^')}", "csv"),
        ("a.jsonl", json.dumps(OBJECT), "jsonl"),
        ("a.ndjson", json.dumps(OBJECT), "jsonl"),
        ("lines.json", f"{json.dumps(OBJECT)}\n{json.dumps(OBJECT)}\n", "jsonl"),
        ("line.json", json.dumps(OBJECT), "jsonl"),
        ("a.parquet", PARQUET, "parquet"),
        ("a.tar", TAR, "webdataset"),
    ],
)
def test_formats_are_told_by_name_and_content(
    tmp_path: Path, name: str, data: str | bytes, format: str
) -> None:
    assert detect(tmp_path, name, data) == format


def test_every_format_is_read(tmp_path: Path) -> None:
    objects = json.dumps({"image": "a.jpg", "caption": "A dog"})
    written = {
        **DOCUMENTS,
        "csv": CSV,
        "tsv": CSV.replace(",", "\t"),
        "jsonl": objects,
        "parquet": PARQUET,
        "webdataset": TAR,
    }
    for format, data in written.items():
        # Its name tells nothing: the format is given.
        sources = detect_sources([write(tmp_path / f"{format}.dat", _bytes(data))], format)
        assert sources == [CaptionSource(str(tmp_path / f"{format}.dat"), format)]
        assert list(read_all_captions(sources)) == [Caption("a.jpg", 0, "A dog")]
    part = write_part(tmp_path / "part.dat", [caption_row("a.jpg")])
    own = detect_sources([part], "captions")
    assert list(read_all_captions(own)) == [Caption("a.jpg", 0, "A dog")]
    assert {*written, "captions"} == set(FORMATS)


def test_the_head_of_a_large_file_is_enough(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in range(3000)]
    assert detect(tmp_path, "a.json", json.dumps({**COCO, "images": images})) == "coco"
    annotations = [{"image_id": 1, "caption": "A dog"}] * 3000
    first = {"annotations": annotations, "images": COCO["images"]}
    assert detect(tmp_path, "b.json", json.dumps(first)) == "coco"
    (image,) = KARPATHY["images"]
    late = {"images": [{"imgid": 0, "note": "x" * 10_000, **image}]}
    assert detect(tmp_path, "c.json", json.dumps(late)) == "karpathy"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "is empty"),
        ("\ufeff \n", "is empty"),
        ("{}", "got a JSON object with keys [], expected COCO captions JSON with 'images'"),
        ('{"a": 1}', "keys ['a'], expected COCO captions JSON with 'images' (id, file_name) and"),
        ('{"a": 1}', "or Karpathy JSON with 'images' (filename) of 'sentences' (raw)"),
        ("[]", "got a JSON list, expected COCO captions JSON"),
        ('{"a": ', "line 1, column 7: malformed JSON"),
        ("\n\nno captions", "line 3: got 'no captions', expected 'IMAGE#NUMBER<TAB>CAPTION'"),
        ("x" * 10_000, "line 1: got 'xxxxx"),
        ("naïve".encode("latin-1"), "got the byte 0xef at position 2; convert the file to UTF-8"),
        (CSV.encode("utf-16"), "got the byte 0xff at position 0; convert the file to UTF-8"),
    ],
)
def test_a_file_of_no_known_format_is_an_error_that_says_what_was_seen(
    tmp_path: Path, data: str | bytes, words: str
) -> None:
    uri = write(tmp_path / "captions.txt", _bytes(data))
    message = error_of([uri])
    assert f"captions file {uri}" in message
    assert words in message
    assert len(message) < 900 + len(str(tmp_path))


def test_a_compressed_tar_is_an_error(tmp_path: Path) -> None:
    assert "decompress it first" in error_of([write(tmp_path / "a.tar.gz", b"")])


def test_an_unknown_format_is_an_error_that_lists_the_formats(tmp_path: Path) -> None:
    message = error_of([write(tmp_path / "a.txt", b"")], "xml")
    assert message == f"got the format 'xml', expected one of {', '.join(FORMATS)}"


def test_a_wrong_format_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.json", json.dumps(COCO).encode())
    for format, words in {
        "flickr": "expected 'IMAGE#NUMBER<TAB>CAPTION'",
        "karpathy": "expected Karpathy JSON with 'images' (filename) of 'sentences' (raw)",
        "jsonl": "expected a column of pictures",
        "parquet": "cannot be read as Parquet",
        "webdataset": "got no tar file",
        "captions": "cannot be read as Parquet",
    }.items():
        with pytest.raises(CaptionerError) as error:
            list(read_all_captions(detect_sources([uri], format)))
        assert words in str(error.value), format


def test_files_globs_and_folders_of_captions_are_found_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "[1].csv"):
        write(tmp_path / name, CSV.encode())
    (tmp_path / "folder.csv").mkdir()
    paths = [str(tmp_path / name) for name in ("b.csv", "*.csv", "[1].csv")]
    names = [Path(source.uri).name for source in detect_sources(paths, None)]
    assert names == ["[1].csv", "a.csv", "b.csv"]
    parts = [
        write_part(tmp_path / "out" / f"model={m}" / "part-0.parquet", [caption_row(f"/{m}.jpg")])
        for m in "ba"
    ]
    expected = [CaptionSource(part, "captions") for part in sorted(parts)]
    for path in ("out", "out/", "out/*/*.parquet"):
        assert detect_sources([f"{tmp_path}/{path}"], None) == expected
    assert detect_sources([f"{tmp_path}/out/model=a"], "captions") == expected[:1]


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write(tmp_path / "a.csv", CSV.encode())
    monkeypatch.chdir(tmp_path)
    assert detect_sources(["./a.csv"], None) == [CaptionSource(uri, "csv")]


def test_what_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "a.csv", CSV.encode())
    assert f"captions file {tmp_path}/absent.csv is missing" in error_of([tmp_path / "absent.csv"])
    assert "absent.tar is missing" in error_of([tmp_path / "absent.tar"], "webdataset")
    assert "folder without model=*/part-*.parquet" in error_of([tmp_path / "folder"])
    assert "the glob matches no file" in error_of([tmp_path / "*.tsv"])


def test_own_captions_are_not_mixed_with_others(tmp_path: Path) -> None:
    part = write_part(tmp_path / "out" / "model=0" / "part-0.parquet", [caption_row("/a.jpg")])
    other = write(tmp_path / "a.csv", CSV.encode())
    message = error_of([tmp_path / "out", other])
    assert part in message
    assert f"{other} (csv)" in message
    assert "leave the format out" in error_of([tmp_path / "out"], "csv")


def test_remote_files_globs_and_folders_are_found(memory: dict[str, bytes], tmp_path: Path) -> None:
    part = write_part(tmp_path / "part.parquet", [caption_row("/a.jpg")])
    memory["memory://bucket/b.csv"] = memory["memory://bucket/a.csv"] = CSV.encode()
    memory["memory://bucket/out/model=0/part-0.parquet"] = Path(part).read_bytes()
    sources = detect_sources(["memory://bucket/*.csv"], None)
    assert sources == [CaptionSource(f"memory://bucket/{name}.csv", "csv") for name in "ab"]
    assert [c.position for c in read_all_captions(sources)] == [0, 1]
    own = detect_sources(["memory://bucket/out"], None)
    assert own == [CaptionSource("memory://bucket/out/model=0/part-0.parquet", "captions")]
    assert "absent is missing" in error_of(["memory://bucket/absent"])


def test_positions_are_counted_through_all_files(tmp_path: Path) -> None:
    captions = read(tmp_path, "b.jpg#0\tOne\nb.jpg#1\tTwo\n", CSV, DOCUMENTS["karpathy"])
    assert [(c.image_id, c.position) for c in captions] == [
        ("b.jpg", 0),
        ("b.jpg", 1),
        ("a.jpg", 2),
        ("a.jpg", 3),
    ]


def test_captions_are_read_as_they_are_taken(tmp_path: Path) -> None:
    captions = read_all_captions(
        detect_sources([write(tmp_path / "a.csv", f"{CSV}broken\n".encode())], None)
    )
    assert next(captions).text == "A dog"
    with pytest.raises(CaptionerError, match="line 3"):
        next(captions)


@pytest.mark.parametrize(
    "data", ["image,caption\n", '{"images": [], "annotations": []}', '{"images": [],"sentences":1}']
)
def test_a_file_without_captions_is_an_error_that_names_it(tmp_path: Path, data: str) -> None:
    with pytest.raises(CaptionerError, match=r"captions file .*0\.txt holds no captions"):
        read(tmp_path, data)


def test_parts_without_captions_are_no_error_unless_all_are(tmp_path: Path) -> None:
    for i, score in enumerate((-1.0, -2.0)):
        write_part(tmp_path / f"part-{i}.parquet", [caption_row(f"/{i}.jpg", score=score)])
    sources = detect_sources([str(tmp_path)], None)
    assert [c.image_id for c in read_all_captions(sources, min_score=-1.5)] == ["/0.jpg"]
    assert list(list_captioned_images(sources, -1.5)) == [ImageFile("/0.jpg", "/0.jpg", 4)]
    with pytest.raises(CaptionerError, match=r"hold none of a score of -0\.5 or more"):
        list(read_all_captions(sources, min_score=-0.5))


def test_a_least_score_of_other_captions_is_an_error_at_once(tmp_path: Path) -> None:
    sources = detect_sources([write(tmp_path / "a.csv", CSV.encode())], None)
    with pytest.raises(CaptionerError, match=r"--min-score: got -1\.0, .* the format csv"):
        read_all_captions(sources, min_score=-1.0)


def test_columns_of_captions_without_any_are_an_error_at_once(tmp_path: Path) -> None:
    sources = detect_sources([write(tmp_path / "a.txt", TOKENS.encode())], None)
    with pytest.raises(CaptionerError, match=r"flickr, which has no columns; .*--images-column"):
        read_all_captions(sources, CaptionColumns(image="image"))
    # They are of the one that has some.
    sources += detect_sources([write(tmp_path / "a.csv", b"text,image\nA cat,b.jpg\n")], None)
    found = read_all_captions(sources, CaptionColumns(image="image"))
    assert [(caption.image_id, caption.text) for caption in found] == [
        ("a.jpg", "A dog"),
        ("b.jpg", "A cat"),
    ]


def test_two_rows_that_disagree_on_a_split_are_an_error_that_names_both(tmp_path: Path) -> None:
    data = "image,caption,split\na.jpg,x,train\nb.jpg,x,\na.jpg,x,val\n"
    with pytest.raises(CaptionerError) as error:
        read(tmp_path, data)
    message = str(error.value)
    assert f"captions file {tmp_path}/0.txt, line 4: 'a.jpg' is in validation, but in" in message
    assert f"train in {tmp_path}/0.txt, line 2" in message


def test_two_files_that_disagree_on_a_split_are_an_error_that_names_both(tmp_path: Path) -> None:
    data = "image,caption,split\na.jpg,x,{}\nb.jpg,x,{}\n"
    with pytest.raises(CaptionerError) as error:
        read(tmp_path, data.format("train", ""), CSV, data.format("test", "test"))
    message = str(error.value)
    assert f"{tmp_path}/2.txt, line 2: 'a.jpg' is in test" in message
    assert f"train in {tmp_path}/0.txt, line 2" in message
    data = (data.format("train", ""), data.format("test", "test"))
    assert {caption.split for caption in read(tmp_path, *data, with_splits=False)} == {None}


@pytest.mark.parametrize(
    ("given", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("restval", "train"),
        (" val", "validation"),
        ("valid", "validation"),
        ("validation", "validation"),
        ("DEV", "validation"),
        ("test", "test"),
        ("", None),
    ],
)
def test_splits_go_by_several_names(tmp_path: Path, given: str, split: str | None) -> None:
    assert read(tmp_path, f"image,caption,split\na.jpg,x,{given}\n")[0].split == split


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("image,caption,split\na.jpg,A dog,other\n", "line 2: got the split 'other'"),
        ('{"image": "a.jpg", "caption": "", "split": 7}', "line 1: got the split 7"),
    ],
)
def test_a_split_that_is_none_is_an_error_only_where_it_counts(
    tmp_path: Path, data: str, named: str
) -> None:
    with pytest.raises(CaptionerError, match=f"{named}, expected one of train, .* or give --split"):
        read(tmp_path, data)
    assert [caption.split for caption in read(tmp_path, data, with_splits=False)] == [None]


def test_both_spellings_of_a_name_are_one_picture_of_one_split(tmp_path: Path) -> None:
    data = "image,caption,split\ncaf\u00e9.jpg,x,train\ncafe\u0301.jpg,y,{}\n"
    with pytest.raises(CaptionerError, match=r"line 3: 'café.jpg' is in test, but in train"):
        read(tmp_path, data.format("test"))
    assert {caption.image_id for caption in read(tmp_path, data.format("train"))} == {
        "caf\u00e9.jpg"
    }


def test_a_parquet_column_of_no_splits_at_all_gives_none(tmp_path: Path) -> None:
    columns = {"image": ["a.jpg"], "caption": ["A dog"]}
    empty = write(tmp_path / "a.parquet", parquet_bytes({**columns, "split": pa.nulls(1)}))
    numbers = write(tmp_path / "b.parquet", parquet_bytes({**columns, "split": [7]}))
    (caption,) = read_all_captions(detect_sources([empty], None))
    assert caption.split is None
    with pytest.raises(CaptionerError, match=r"b\.parquet, row 0: got the split 7"):
        list(read_all_captions(detect_sources([numbers], None)))
    (caption,) = read_all_captions(detect_sources([numbers], None), with_splits=False)
    assert caption.split is None


def test_captions_that_agree_on_a_split_or_give_none_are_fine(tmp_path: Path) -> None:
    data = "image,caption,split\na.jpg,x,train\na.jpg,y,\na.jpg,z,restval\nb.jpg,x,dev\n"
    splits = [caption.split for caption in read(tmp_path, data, CSV)]
    assert splits == ["train", None, "train", "validation", None]


@pytest.mark.parametrize(
    "row", [{"image": "a", "caption": "\ud800"}, {"image": "\ud800", "text": ""}]
)
def test_half_a_character_is_an_error_that_names_its_place(tmp_path: Path, row: dict) -> None:
    with pytest.raises(CaptionerError, match=r"0\.txt, line 1: got '\\ud800', expected text that"):
        read(tmp_path, json.dumps(row))


def test_captions_files_that_hold_their_pictures_are_known(tmp_path: Path) -> None:
    with_bytes = {"image": hub_images([("a.jpg", b"")]), "caption": ["A"], "name": ["n"]}
    paths = [
        write(tmp_path / "a.tar", TAR),
        write(tmp_path / "b.parquet", parquet_bytes(with_bytes)),
        write(tmp_path / "c.parquet", PARQUET),
        write(tmp_path / "d.csv", CSV.encode()),
    ]
    sources = detect_sources(paths, None)
    assert image_sources_of(sources) == paths[:2]
    assert image_sources_of(sources[:2], CaptionColumns(image="name")) == paths[:1]
    with pytest.raises(CaptionerError, match=r"c\.parquet: got no column 'name'"):
        image_sources_of(sources, CaptionColumns(image="name"))
