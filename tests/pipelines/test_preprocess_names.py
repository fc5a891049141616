"""Tests of what pictures are called before work starts: as their captions call them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pyarrow.dataset as pads
import pytest
from container_builders import hub_images, parquet_bytes, tar_bytes, write, zip_bytes

from model.errors import CaptionerError
from pipelines.arguments import preprocess_parser
from pipelines.listing import read_batch
from pipelines.preprocess_config import PreprocessConfig, read_config, request_digest
from pipelines.preprocess_inputs import Listings, digest_pictures, write_listings
from pipelines.records import Caption, ImageFile, SplitEntry
from pipelines.sources import SkippedFiles


class Named(NamedTuple):
    """What captions and pictures are called; `uncaptioned` are pictures that no caption names."""

    listings: Listings
    captions: list[str]
    pictures: dict[str, str]
    uncaptioned: dict[str, str]


def config_of(*arguments: str | Path) -> PreprocessConfig:
    options = preprocess_parser().parse_args([*map(str, arguments), "--output", "unused"])
    return read_config(options)


def name(folder: Path, *arguments: str | Path) -> Named:
    """The listings of ``captioner preprocess ARGUMENTS``; pictures by URIs below `folder`."""
    config = config_of(*arguments)
    rejects = folder / "rejects"
    listings = write_listings(config, str(folder / "listings"), str(rejects), SkippedFiles())
    assert listings.digest == digest_pictures(config, None)
    captions = [c.image_id for i in range(listings.captions[1]) for c in _captions(listings, i)]
    images = [image for i in range(listings.images[1]) for image in _images(listings, i)]
    found = [(image.uri, image.image_id) for image in images]
    lost = _uncaptioned(rejects) if listings.uncaptioned else []
    assert len(lost) == listings.uncaptioned
    pictures, uncaptioned = (
        {uri.removeprefix(f"{folder}/"): name for uri, name in some} for some in (found, lost)
    )
    return Named(listings, captions, pictures, uncaptioned)


def _uncaptioned(rejects: Path) -> list[tuple[str, str]]:
    table = pads.dataset(str(rejects), format="parquet").to_table()
    assert set(table["reason"].to_pylist()) == {"no_caption"}
    return list(zip(table["image_uri"].to_pylist(), table["image_id"].to_pylist(), strict=True))


def _captions(listings: Listings, number: int) -> list[Caption]:
    return read_batch(listings.captions[0], number, Caption)


def _images(listings: Listings, number: int) -> list[ImageFile]:
    return read_batch(listings.images[0], number, ImageFile)


def write_shards(folder: Path) -> None:
    """Two tars and two Parquet files; each has a ``0.jpg``."""
    for number in range(2):
        keys = ["0", f"{number}-only"]
        members = [m for key in keys for m in ((f"{key}.jpg", b""), (f"{key}.txt", b"A dog"))]
        write(folder / f"{number}.tar", tar_bytes(members))
        images = hub_images((f"{key}.jpg", b"") for key in keys)
        columns = {"image": images, "caption": ["A dog", "A cat"]}
        write(folder / f"{number}.parquet", parquet_bytes(columns))


def test_names_of_several_shards_have_their_file_before_them(tmp_path: Path) -> None:
    write_shards(tmp_path)
    named = name(tmp_path, "--captions", tmp_path / "*.tar", "--captions", tmp_path / "0.parquet")
    assert named.pictures == {
        "0.tar!/0.jpg": "0.tar!/0.jpg",
        "0.tar!/0-only.jpg": "0.tar!/0-only.jpg",
        "1.tar!/0.jpg": "1.tar!/0.jpg",
        "1.tar!/1-only.jpg": "1-only.jpg",
        "0.parquet!/0": "0.parquet!/0.jpg",
        "0.parquet!/1": "0.parquet!/0-only.jpg",
    }
    assert sorted(named.captions) == sorted(named.pictures.values())


def test_names_are_as_captions_have_them_where_pictures_lie_elsewhere(tmp_path: Path) -> None:
    write_shards(tmp_path)
    write(tmp_path / "images" / "0.jpg", b"")
    named = name(tmp_path, "--captions", tmp_path / "*.tar", "--images", tmp_path / "images")
    assert named.pictures == {"images/0.jpg": "0.jpg"}
    assert set(named.captions) == {"0.jpg", "0-only.jpg", "1-only.jpg"}


@pytest.mark.parametrize("missing", [0, 3])
def test_it_is_told_which_pictures_have_one_name_if_none_is_left(
    tmp_path: Path, missing: int
) -> None:
    write_shards(tmp_path)
    tars = tmp_path / "*.tar"
    listings = name(tmp_path, "--captions", tars, "--images", tars).listings
    said = listings.why_none_is_left({"ambiguous": 2, "missing": missing})
    uris = f"{tmp_path}/0.tar!/0.jpg and {tmp_path}/1.tar!/0.jpg"
    assert said.startswith(f"several pictures have one name, e.g. '0.jpg': {uris}; rename them")
    assert ("names agree" in said) == bool(missing)
    assert listings.why_none_is_left({"missing": 9}).startswith(
        "captions call their images e.g. '0"
    )


def test_names_are_not_blamed_for_files_that_a_manifest_has_and_a_disk_has_not(
    tmp_path: Path,
) -> None:
    rows = write(tmp_path / "moved.csv", b"image,caption\n/gone/a.jpg,A dog\n/gone/b.jpg,A cat\n")
    listings = name(tmp_path, "--captions", rows, "--images", rows).listings
    assert listings.why_none_is_left({"missing": 2}) == ""


def test_a_later_member_of_a_name_is_not_told_as_another_picture(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,A\nb.jpg,B\n", encoding="utf-8")
    members = [(name, b"") for name in ("a.jpg", "a.jpg", "b.jpg", "c.jpg", "c.jpg")]
    tars = [
        write(tmp_path / "0.tar", tar_bytes(members)),
        write(tmp_path / "1.tar", tar_bytes([("b.jpg", b"")])),
    ]
    sources = [part for tar in tars for part in ("--images", tar)]
    named = name(tmp_path, "--captions", tmp_path / "captions.csv", *sources)
    said = named.listings.why_none_is_left({"ambiguous": 2, "duplicate_name": 1})
    assert f"e.g. 'b.jpg': {tars[0]}!/b.jpg and {tars[1]}!/b.jpg" in said
    flaws = [image.flaw or "" for image in _images(named.listings, 0) if image.image_id == "c.jpg"]
    assert [flaw.split(":")[0] for flaw in flaws] == ["duplicate_name"]
    assert list(named.uncaptioned.values()) == ["c.jpg"]


def test_captions_may_name_a_folder_that_is_given(tmp_path: Path) -> None:
    rows = ["image,caption", "pics/a.jpg,A", "pics/b.jpg,B", f"{tmp_path}/pics/c.jpg,C"]
    (tmp_path / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    for path in ("pics/a.jpg", "pics/b.jpg", "pics/c.jpg", "more/c.jpg", "more/d.jpg"):
        write(tmp_path / path, b"")
    sources = ["--images", tmp_path / "pics", "--images", tmp_path / "more"]
    named = name(tmp_path, "--captions", tmp_path / "captions.csv", *sources)
    assert named.pictures == {
        "pics/a.jpg": "pics/a.jpg",
        "pics/b.jpg": "pics/b.jpg",
        "pics/c.jpg": f"{tmp_path}/pics/c.jpg",
    }
    # The name that ends in its path is the whole path of another picture.
    assert named.uncaptioned == {"more/c.jpg": "c.jpg", "more/d.jpg": "d.jpg"}


def test_captions_may_have_what_find_and_other_tools_write_before_paths(tmp_path: Path) -> None:
    rows = ["image,caption", "./a.jpg,A", "./pics/b.jpg,B", f"file://{tmp_path}/pics/c%20d.jpg,C"]
    (tmp_path / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    for path in ("pics/a.jpg", "pics/b.jpg", "pics/c d.jpg"):
        write(tmp_path / path, b"")
    named = name(tmp_path, "--captions", tmp_path / "captions.csv", "--images", tmp_path / "pics")
    assert named.pictures == {
        "pics/a.jpg": "a.jpg",
        "pics/b.jpg": "pics/b.jpg",
        "pics/c d.jpg": f"{tmp_path}/pics/c d.jpg",
    }


def write_tables(folder: Path) -> None:
    """A manifest and a Parquet file of two columns each, and captions for either of each."""
    images = {name: hub_images([(f"{name}.jpg", b"")]) for name in ("left", "right")}
    write(folder / "rows.parquet", parquet_bytes(images))
    write(folder / "paths.csv", b"left,right\nleft.jpg,right.jpg\n")
    write(folder / "captions.csv", b"name,caption\nleft.jpg,A\nright.jpg,B\n")


@pytest.mark.parametrize("table", ["paths.csv", "rows.parquet"])
@pytest.mark.parametrize("column", ["left", "right"])
def test_the_columns_of_images_and_of_captions_are_named_apart(
    tmp_path: Path, table: str, column: str
) -> None:
    write_tables(tmp_path)
    captions = ["--captions", tmp_path / "captions.csv", "--image-column", "name"]
    images = ["--images", tmp_path / table, "--images-column", column]
    named = name(tmp_path, *captions, *images)
    assert list(named.pictures.values()) == [f"{column}.jpg"]


@pytest.mark.parametrize("column", ["left", "right"])
def test_captions_may_hold_their_pictures_in_one_of_several_columns(
    tmp_path: Path, column: str
) -> None:
    images = {name: hub_images([(f"{name}.jpg", b"")]) for name in ("left", "right")}
    table = write(tmp_path / "both.parquet", parquet_bytes({**images, "caption": ["A dog"]}))
    named = name(tmp_path, "--captions", table, "--image-column", column)
    assert list(named.pictures.values()) == named.captions == [f"{column}.jpg"]


def test_the_column_of_images_is_part_of_the_request(tmp_path: Path) -> None:
    write_tables(tmp_path)
    inputs = ["--captions", tmp_path / "captions.csv", "--images", tmp_path / "paths.csv"]
    requests = {request_digest(config_of(*inputs, "--images-column", c)) for c in ("left", "right")}
    assert len(requests) == 2


def test_a_column_of_images_without_images_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path)
    with pytest.raises(CaptionerError, match=r"^--images-column: got 'left' without --images"):
        config_of("--captions", tmp_path / "captions.csv", "--images-column", "left")


def test_errors_tell_the_option_that_names_a_column(tmp_path: Path) -> None:
    write_tables(tmp_path)
    captions = ["--captions", tmp_path / "captions.csv", "--image-column", "name"]
    for table in ("paths.csv", "rows.parquet"):
        with pytest.raises(CaptionerError, match=r"\(--image-column; of --images, --images-column"):
            name(tmp_path, *captions, "--images", tmp_path / table)


def write_pictures(folder: Path, *names: str) -> list[str | Path]:
    """Empty files, and captions of ``a.jpg`` and ``b.jpg``; returns the option of these."""
    for picture in names:
        write(folder / picture, b"")
    (folder / "captions.csv").write_text("image,caption\na.jpg,A\nb.jpg,B\n", encoding="utf-8")
    return ["--captions", folder / "captions.csv"]


def test_a_picture_that_two_sources_list_is_one(tmp_path: Path) -> None:
    captions = write_pictures(tmp_path, "images/a.jpg", "images/b.jpg")
    sources = ["--images", tmp_path / "images", "--images", tmp_path / "images" / "*.jpg"]
    assert name(tmp_path, *captions, *sources).listings.listed == 2


def test_the_digest_is_of_names_and_sizes(tmp_path: Path) -> None:
    captions, images = write_pictures(tmp_path, "images/a.jpg"), tmp_path / "images"
    config = config_of(*captions, "--images", images)
    digests = {digest_pictures(config, None)}
    (images / "a.jpg").rename(images / "b.jpg")
    digests.add(digest_pictures(config, None))
    write(images / "b.jpg", b"longer")
    assert len(digests | {digest_pictures(config, None)}) == 3


def test_the_digest_is_another_one_once_a_zip_was_packed_anew(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\na.bmp,A\n", encoding="utf-8")
    packed = write(tmp_path / "images.zip", zip_bytes({"a.bmp": b"1234"}))
    config = config_of("--captions", tmp_path / "captions.csv", "--images", packed)
    made_usec = 10**15
    os.utime(packed, (made_usec // 10**6 - 9,) * 2)
    before = digest_pictures(config, made_usec)
    assert before == digest_pictures(config, None)
    os.utime(packed, (made_usec // 10**6 + 9,) * 2)
    assert digest_pictures(config, made_usec) != before == digest_pictures(config, None)


def test_captions_may_name_pictures_by_their_whole_path(tmp_path: Path) -> None:
    path = write(tmp_path / "images" / "a.jpg", b"")
    (tmp_path / "captions.csv").write_text(f"image,caption\n{path},A\n", encoding="utf-8")
    captions = ["--captions", tmp_path / "captions.csv"]
    assert name(tmp_path, *captions, "--images", tmp_path / "images").pictures == {
        "images/a.jpg": path
    }


@pytest.mark.parametrize("manifest_first", [False, True])
def test_corrected_captions_join_those_that_know_nothing_of_folders(
    tmp_path: Path, manifest_first: bool
) -> None:
    members = ("Dataset/a.jpg", "Dataset/b.jpg", "1/twice.jpg", "2/twice.jpg", "Dataset/new.jpg")
    packed = write(tmp_path / "official.zip", zip_bytes(dict.fromkeys(members, b"")))
    captions = ["a.jpg", "b.jpg", "twice.jpg"]
    corrected = [f"{packed}!/{member}" for member in (members[0], members[2], members[4])]
    for file, names in (("captions.csv", captions), ("corrected.csv", corrected)):
        rows = ["image,caption", *(f"{name},A" for name in names)]
        (tmp_path / file).write_text("\n".join(rows), encoding="utf-8")
    tables = [tmp_path / "captions.csv", tmp_path / "corrected.csv"]
    options = [part for table in tables for part in ("--captions", table)]
    sources = [tables[1], packed] if manifest_first else [packed, tables[1]]
    named = name(tmp_path, *options, *(p for source in sources for p in ("--images", source)))
    assert named.pictures == {
        "official.zip!/Dataset/a.jpg": "a.jpg",
        "official.zip!/Dataset/b.jpg": "b.jpg",
        # The name of both is no name of the one that captions know by its URI.
        "official.zip!/1/twice.jpg": corrected[1],
        "official.zip!/2/twice.jpg": "twice.jpg",
        "official.zip!/Dataset/new.jpg": corrected[2],
    }
    assert named.captions == [*captions, "a.jpg", *corrected[1:]]


def test_captions_may_have_the_backslashes_of_windows_between_folders(tmp_path: Path) -> None:
    rows = "image,caption\nhall 1\\a.jpg,A\nBestand\\hall 2\\b.jpg,B\npacked/c.jpg,C\n"
    write(tmp_path / "captions.csv", rows.encode())
    write(tmp_path / "Bestand" / "hall 1" / "a.jpg", b"")
    write(tmp_path / "Bestand" / "hall 2" / "b.jpg", b"")
    write(tmp_path / "c.zip", zip_bytes({"packed\\c.jpg": b""}))
    sources = ["--images", tmp_path / "Bestand", "--images", tmp_path / "c.zip"]
    named = name(tmp_path, "--captions", tmp_path / "captions.csv", *sources)
    assert set(named.pictures.values()) == set(named.captions)
    assert not named.uncaptioned


def test_captions_may_know_nothing_of_the_folder_in_an_archive(tmp_path: Path) -> None:
    captions = write_pictures(tmp_path, "images/b.jpg")
    members = {"Flicker8k_Dataset/a.jpg": b"", "uncaptioned/c.jpg": b""}
    write(tmp_path / "half.zip", zip_bytes(members))
    sources = ["--images", tmp_path / "images", "--images", tmp_path / "half.zip"]
    named = name(tmp_path, *captions, *sources)
    assert named.pictures == {"images/b.jpg": "b.jpg", "half.zip!/Flicker8k_Dataset/a.jpg": "a.jpg"}
    assert named.uncaptioned == {"half.zip!/uncaptioned/c.jpg": "uncaptioned/c.jpg"}


def test_a_file_name_says_nothing_where_captions_call_another_picture_by_it(tmp_path: Path) -> None:
    captions = write_pictures(tmp_path, "images/0/a.jpg", "images/1/a.jpg", "images/1/b.jpg")
    images = ["--images", tmp_path / "images"]
    assert name(tmp_path, *captions, *images).pictures == {
        "images/0/a.jpg": "a.jpg",
        "images/1/a.jpg": "a.jpg",
        "images/1/b.jpg": "b.jpg",
    }
    write(tmp_path / "images" / "a.jpg", b"")
    named = name(tmp_path, *captions, *images)
    assert named.pictures == {"images/a.jpg": "a.jpg", "images/1/b.jpg": "b.jpg"}
    assert named.uncaptioned == {"images/0/a.jpg": "0/a.jpg", "images/1/a.jpg": "1/a.jpg"}


def test_captions_of_two_files_may_call_a_picture_by_its_path_and_by_its_whole_one(
    tmp_path: Path,
) -> None:
    captions, images = write_pictures(tmp_path, "images/a.jpg", "images/b.jpg"), tmp_path / "images"
    rows = f"image_uri,caption\n{images}/a.jpg,A corrected one\n{images}/gone.jpg,C\n"
    write(tmp_path / "corrected.csv", rows.encode())
    train_list = write(tmp_path / "train.txt", f"{images}/a.jpg\n".encode())
    more = ["--captions", tmp_path / "corrected.csv", "--train-list", train_list]
    named = name(tmp_path, *captions, *more, "--images", images)
    assert named.pictures == {"images/a.jpg": "a.jpg", "images/b.jpg": "b.jpg"}
    assert sorted(named.captions) == sorted(["a.jpg", "b.jpg", "a.jpg", f"{images}/gone.jpg"])
    assert read_batch(named.listings.splits[0], 0, SplitEntry) == [SplitEntry("a.jpg", "train")]


def test_two_names_of_a_picture_in_two_splits_are_told(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.jpg", b"")
    whole = f"{tmp_path}/images/a.jpg"
    for file, image, split in (("0", "a.jpg", "train"), ("1", whole, "test")):
        rows = f"image,caption,split\n{image},A,{split}\n"
        write(tmp_path / f"{file}.csv", rows.encode())
    lists = [write(tmp_path / f"{n}.txt", row.encode()) for n, row in enumerate(("a.jpg", whole))]
    options = ["--captions", tmp_path / "*.csv", "--images", tmp_path / "images"]
    same = "is in test, but as 'a.jpg' the same picture is in train"
    with pytest.raises(CaptionerError, match=same):
        name(tmp_path, *options)
    with pytest.raises(CaptionerError, match=same):
        name(tmp_path, *options, "--train-list", lists[0], "--test-list", lists[1])
    named = name(tmp_path, *options, "--train-list", lists[0])
    assert named.pictures == {"images/a.jpg": "a.jpg"}
