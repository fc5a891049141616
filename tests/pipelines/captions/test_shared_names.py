"""Tests of shards that start their names over: their file becomes part of such names alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from container_builders import hub_images, parquet_bytes, tar_bytes, write

from pipelines.captions.formats import detect_sources, image_sources_of, read_all_captions
from pipelines.captions.shared_names import SharedNames, find_shared_names
from pipelines.sources import SkippedFiles, list_all_images


def shard(name: str, keys: Iterable[str]) -> bytes:
    """A WebDataset tar or a hub's Parquet file, by its name; captions tell the file."""
    keys = list(keys)
    if name.endswith(".tar"):
        return tar_bytes(
            [m for k in keys for m in ((f"./{k}.jpg", b""), (f"{k}.txt", name.encode()))]
        )
    images = hub_images((f"{key}.jpg", b"") for key in keys)
    return parquet_bytes({"image": images, "caption": [name] * len(keys)})


def names_of(folder: Path, shards: Mapping[str, str]) -> dict[str, list[str]]:
    """What the pictures of shards (name: a letter for each) are called; captions agree."""
    sources = detect_sources(
        [write(folder / n, shard(n, keys)) for n, keys in shards.items()], None
    )
    uris = image_sources_of(sources)
    shared = find_shared_names(uris)
    images = [
        (image.container or "", shared.name(image.container or "", image.image_id))
        for image in list_all_images(uris, SkippedFiles())
    ]
    captions = [
        (str(folder / c.text), c.image_id) for c in read_all_captions(sources, shared=shared)
    ]
    assert captions == images
    return {name: [id for uri, id in images if uri == str(folder / name)] for name in shards}


@pytest.mark.parametrize("suffix", ["tar", "parquet"])
def test_names_of_several_shards_have_their_file_before_them(tmp_path: Path, suffix: str) -> None:
    one, two, three = (f"train-00{i}.{suffix}" for i in range(3))
    shards = {one: "ab", two: "bcd", three: "de"}
    expected = {
        one: ["a.jpg", f"{one}!/b.jpg"],
        two: [f"{two}!/b.jpg", "c.jpg", f"{two}!/d.jpg"],
        three: [f"{three}!/d.jpg", "e.jpg"],
    }
    assert names_of(tmp_path / "here", shards) == expected
    assert names_of(tmp_path / "moved" / "there", shards) == expected


def test_a_name_may_be_of_shards_far_apart(tmp_path: Path) -> None:
    assert names_of(tmp_path, {"0.tar": "ab", "1.tar": "bc", "2.tar": "da"}) == {
        "0.tar": ["0.tar!/a.jpg", "0.tar!/b.jpg"],
        "1.tar": ["1.tar!/b.jpg", "c.jpg"],
        "2.tar": ["d.jpg", "2.tar!/a.jpg"],
    }


def test_the_path_below_the_common_folder_tells_shards_of_one_name_apart(tmp_path: Path) -> None:
    shards = {"wds/train/0.tar": "a", "wds/val/0.tar": "ab", "hf/0.parquet": "a"}
    assert names_of(tmp_path, shards) == {
        "wds/train/0.tar": ["wds/train/0.tar!/a.jpg"],
        "wds/val/0.tar": ["wds/val/0.tar!/a.jpg", "b.jpg"],
        "hf/0.parquet": ["hf/0.parquet!/a.jpg"],
    }


def test_names_twice_in_one_shard_stay_as_they_are(tmp_path: Path) -> None:
    assert names_of(tmp_path, {"0.parquet": "aa", "1.parquet": "b"}) == {
        "0.parquet": ["a.jpg", "a.jpg"],
        "1.parquet": ["b.jpg"],
    }
    assert find_shared_names([str(tmp_path / "0.parquet"), str(tmp_path / "1.parquet")]).names == (
        frozenset()
    )


def test_one_file_is_not_even_listed() -> None:
    assert find_shared_names(["/absent.tar"]) == find_shared_names([]) == SharedNames()


def test_shards_far_away_are_named_below_their_bucket(memory: dict[str, bytes]) -> None:
    for bucket in ("one", "two"):
        memory[f"memory://{bucket}/0.tar"] = shard("0.tar", "a")
    shared = find_shared_names(sorted(memory))
    assert shared.name("memory://two/0.tar", "a.jpg") == "two/0.tar!/a.jpg"
    assert shared.name("memory://two/0.tar", "b.jpg") == "b.jpg"


def test_accents_may_be_spelled_differently_in_each_shard(tmp_path: Path) -> None:
    spellings = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    uris = [write(tmp_path / f"{s}.tar", shard("0.tar", [s])) for s in spellings]
    names = {find_shared_names(uris).name(uris[1], f"{s}.jpg") for s in spellings}
    assert names == {unicodedata.normalize("NFC", "é.tar!/é.jpg")}


def test_captions_of_a_file_without_pictures_are_not_of_a_shard(tmp_path: Path) -> None:
    uris = [write(tmp_path / f"{i}.tar", shard("0.tar", "a")) for i in range(2)]
    assert find_shared_names(uris).name(str(tmp_path / "more.csv"), "a.jpg") == "a.jpg"
