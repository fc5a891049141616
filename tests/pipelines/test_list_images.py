"""Tests of listing pictures: folders, globs and containers, in one order, none passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from container_builders import hub_images, parquet_bytes, tar_bytes, write, zip_bytes

from model.errors import CaptionerError
from pipelines import files
from pipelines.records import ImageFile
from pipelines.sources import SkippedFiles, list_all_images, list_images

ODD = ["a b.jpg", "ünï.jpg", "new\nline.jpg", "tab\t.jpg", "hash#0.jpg", "100%.jpg", "'\".jpg"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1234")


def ids(source: object, skipped: SkippedFiles | None = None) -> list[str]:
    images = list_images(str(source), SkippedFiles() if skipped is None else skipped)
    return [image.image_id for image in images]


def test_a_folder_gives_its_pictures_and_those_of_its_subfolders(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "A.PNG", "deep/er/c.jpeg", "deep/a.webp")
    images = list(list_images(str(tmp_path), SkippedFiles()))
    names = ["A.PNG", "b.jpg", "deep/a.webp", "deep/er/c.jpeg"]
    assert images == [ImageFile(str(tmp_path / name), name, 4) for name in names]


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = [f"{i % 3}/{i * 7 % 40:02d}.jpg" for i in range(40)]
    touch(tmp_path, *names)
    assert ids(tmp_path) == sorted(names)
    assert ids(tmp_path / "*" / "*.jpg") == sorted(names)


def test_a_glob_follows_links_and_takes_those_that_lead_nowhere(tmp_path: Path) -> None:
    archive, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    touch(archive, "2019/a.jpg", "2019/.hidden.jpg", "2019/a.txt")
    touch(elsewhere, "b.jpg", "c.jpg")
    (archive / "2020").symlink_to(elsewhere)
    (archive / "2019" / "loop.jpg").symlink_to(archive / "2019" / "loop.jpg")
    (archive / "2019" / "nowhere.jpg").symlink_to(archive / "gone.jpg")
    (archive / "2019" / "up").symlink_to(archive)
    names = ["2019/a.jpg", "2019/loop.jpg", "2019/nowhere.jpg", "2020/b.jpg", "2020/c.jpg"]
    assert ids(archive / "*" / "*.jpg") == names == ids(archive)
    assert ids(archive / "**.jpg") == names
    assert ids(archive / "20?9" / "*") == ["2019/a.jpg", "2019/a.txt", *names[1:3]]


def test_hidden_objects_are_no_part_of_a_remote_folder(memory: dict[str, bytes]) -> None:
    for name in ("a.jpg", "._a.jpg", ".cache/b.jpg", "deep/c.jpg"):
        memory[f"memory://bucket/.in/{name}"] = b"1234"
    assert ids("memory://bucket/.in") == ["a.jpg", "deep/c.jpg"]
    assert ids("memory://bucket/.in/") == ["a.jpg", "deep/c.jpg"]


def test_hidden_files_and_folders_are_no_part_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".hidden.jpg", ".thumbnails/a.jpg", "deep/.b.jpg")
    skipped = SkippedFiles()
    assert ids(tmp_path, skipped) == ["a.jpg"]
    assert skipped.by_suffix == {}


def test_files_of_other_kinds_are_counted_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.txt", "b.TXT", "deep/d.json", "e.json", "README")
    skipped = SkippedFiles()
    assert ids(tmp_path, skipped) == ["a.jpg"]
    assert skipped.by_suffix == {".txt": 2, ".json": 2, "": 1}
    assert str(skipped) == "5 (.txt: 2, .json: 2, no suffix: 1)"
    assert str(SkippedFiles()) == "none"


def test_a_suffix_moves_no_cursor(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.\x1b[2J")
    skipped = SkippedFiles()
    assert ids(tmp_path, skipped) == ["a.jpg"]
    assert str(skipped) == r"1 (.\x1b[2j: 1)"


def test_a_glob_gives_files_of_any_name_but_no_folders(tmp_path: Path) -> None:
    touch(tmp_path, "deep/a.jpg", "deep/b.dat", "deep/c.jpg/d.jpg", "other.jpg")
    assert ids(tmp_path / "deep" / "*") == ["a.jpg", "b.dat"]
    assert ids(tmp_path / "*" / "*.jpg") == ["deep/a.jpg"]
    assert ids(tmp_path / "**.jpg") == ["deep/a.jpg", "deep/c.jpg/d.jpg", "other.jpg"]


def test_a_relative_folder_has_absolute_uris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "archive/a.jpg")
    monkeypatch.chdir(tmp_path)
    for source in ("archive", "./archive/", "archive/*.jpg", "other/../archive"):
        (image,) = list_images(source, SkippedFiles())
        assert image == ImageFile(str(tmp_path / "archive" / "a.jpg"), "a.jpg", 4)


@pytest.mark.parametrize("name", ODD)
def test_a_picture_of_an_odd_name_is_listed_and_can_be_read(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"deep/{name}")
    for source, image_id in ((tmp_path, f"deep/{name}"), (tmp_path / "deep" / "*", name)):
        (image,) = list_images(str(source), SkippedFiles())
        assert image.image_id == image_id
        assert files.read_bytes(image.uri) == b"1234"


@pytest.mark.parametrize("name", ["[1].jpg", "star*.jpg", "what?.jpg"])
def test_a_picture_named_like_a_glob_is_listed_with_its_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    (image,) = list_images(str(tmp_path), SkippedFiles())
    assert files.read_bytes(image.uri) == b"1234"


@pytest.mark.parametrize("pattern", ["", "*"])
def test_a_name_that_is_no_utf8_costs_its_picture_alone(tmp_path: Path, pattern: str) -> None:
    """Neither Parquet nor a captions file can hold such a name."""
    touch(tmp_path, "a.jpg")
    with open(os.path.join(os.fsencode(tmp_path), b"bad\xff.jpg"), "wb") as file:
        file.write(b"1234")
    skipped = SkippedFiles()
    with open(os.path.join(os.fsencode(tmp_path), b"Dr. Andr\xe9"), "wb"):
        pass
    images = {i.image_id: i for i in list_images(str(tmp_path / pattern), skipped)}
    assert images["a.jpg"].flaw is None
    flawed = images["bad\\xff.jpg"]
    assert flawed.uri == f"{tmp_path}/bad\\xff.jpg"
    assert str(flawed.flaw).startswith("unsafe_name: the name")
    others = set(images) - {"a.jpg", "bad\\xff.jpg"}
    assert others == ({"Dr. Andr\\xe9"} if pattern else set())
    assert str(skipped).encode() == (b"none" if pattern else b"1 (. andr\\xe9: 1)")


def test_archives_whose_names_are_no_utf8_give_flawed_pictures(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xfcber")
    Path(folder).mkdir()
    Path(folder, "a.tar").write_bytes(tar_bytes({"a.jpg": b"a"}))
    for source in (f"{folder}/a.tar", f"{folder}/*"):
        (image,) = list_images(source, SkippedFiles())
        assert (image.uri, image.container) == (
            f"{tmp_path}/\\xfcber/a.tar!/a.jpg",
            f"{tmp_path}/\\xfcber/a.tar",
        )
        assert str(image.flaw).startswith("unsafe_name")


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match=r"absent cannot be listed.*check the path"):
        ids(tmp_path / "absent")


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(CaptionerError, match=r"a\.jpg cannot be listed"):
        ids(tmp_path / "a.jpg")


def test_a_source_without_pictures_is_an_error_that_tells_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", ".hidden.jpg")
    with pytest.raises(CaptionerError, match=r"no pictures found.*1 \(\.txt: 1\)"):
        ids(tmp_path)
    for pattern in ("*.png", "absent/*.jpg"):
        with pytest.raises(CaptionerError, match="no pictures found"):
            ids(tmp_path / pattern)


def test_a_dangling_link_is_a_picture_that_is_missing_not_one_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "absent.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    assert ids(tmp_path) == ["a.jpg", "gone.jpg", "link.jpg"]


def test_a_folder_that_links_to_itself_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "archive/deep/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "archive" / "deep" / "loop").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "linked").symlink_to(tmp_path / "elsewhere")
    assert ids(tmp_path / "archive") == ["deep/a.jpg", "linked/b.jpg"]


def test_remote_folders_and_globs_are_listed(memory: dict[str, bytes]) -> None:
    for name in ("images/b.jpg", "images/deep/a.png", "images/notes.txt", "images2/c.jpg"):
        memory[f"memory://bucket/{name}"] = b"1234"
    skipped = SkippedFiles()
    for folder in ("memory://bucket/images", "memory://bucket/images/"):
        images = list(list_images(folder, skipped))
        assert [image.image_id for image in images] == ["b.jpg", "deep/a.png"]
        assert images[0] == ImageFile("memory://bucket/images/b.jpg", "b.jpg", 4)
    assert skipped.by_suffix == {".txt": 2}
    assert ids("memory://bucket/images*/*.jpg") == ["images/b.jpg", "images2/c.jpg"]
    with pytest.raises(CaptionerError, match="no pictures found"):
        ids("memory://bucket/absent")


def write_containers(folder: Path) -> list[str]:
    """A tar, a zip and a Parquet file, each with a picture."""
    pictures = parquet_bytes({"image": hub_images([("p.jpg", b"1")])})
    return [
        write(folder / "a.tar", tar_bytes({"t.jpg": b"1", "t.txt": b"A dog"})),
        write(folder / "b.zip", zip_bytes({"z.jpg": b"1", "notes.md": b"2"})),
        write(folder / "c.parquet", pictures),
    ]


def test_a_container_gives_its_members(tmp_path: Path) -> None:
    skipped = SkippedFiles()
    uris = write_containers(tmp_path)
    assert [ids(uri, skipped) for uri in uris] == [["t.jpg"], ["z.jpg"], ["p.jpg"]]
    assert skipped.by_suffix == {".txt": 1, ".md": 1}


def test_a_glob_gives_the_members_of_containers_and_plain_files(tmp_path: Path) -> None:
    uris = write_containers(tmp_path)
    touch(tmp_path, "b.jpg", "d.txt")
    write(tmp_path / "e.parquet", parquet_bytes({"path": ["a.jpg"]}))
    skipped = SkippedFiles()
    images = list(list_images(str(tmp_path / "*"), skipped))
    assert [(image.image_id, image.container) for image in images] == [
        ("t.jpg", uris[0]),
        ("b.jpg", None),
        ("z.jpg", uris[1]),
        ("p.jpg", uris[2]),
        ("d.txt", None),
        ("e.parquet", None),
    ]
    assert skipped.by_suffix == {".txt": 1, ".md": 1}


def test_containers_in_a_folder_are_not_opened_but_counted(tmp_path: Path) -> None:
    write_containers(tmp_path)
    touch(tmp_path, "a.jpg")
    skipped = SkippedFiles()
    assert ids(tmp_path, skipped) == ["a.jpg"]
    assert skipped.by_suffix == {".tar": 1, ".zip": 1, ".parquet": 1}
    assert {Path(uri).suffix for uri in skipped.archives} == set(skipped.by_suffix)


def test_archives_that_are_given_beside_their_folder_are_not_told(tmp_path: Path) -> None:
    for name in ("a.tar", "deep/b.tar", "deep/c.tar"):
        write(tmp_path / name, tar_bytes({"1.jpg": b"1"}))
    touch(tmp_path, "a.jpg")
    skipped = SkippedFiles()
    sources = [str(tmp_path), f"{tmp_path}/deep/../a.tar", f"{tmp_path}/deep/b*"]
    assert len(list(list_all_images(sources, skipped))) == 3
    plain, archives = skipped.lines()
    assert plain.endswith("no pictures: none")
    assert "not opened: 1 (.tar: 1)" in archives
    list(list_images(f"{tmp_path}/**.tar", skipped))
    assert list(skipped.lines()) == [plain]


def test_an_archive_of_a_folder_that_is_given_twice_is_one(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "b.tar", tar_bytes({"1.jpg": b"1"}))
    touch(tmp_path, "deep/a.jpg")
    skipped = SkippedFiles()
    list(list_all_images([str(tmp_path), str(tmp_path / "deep")], skipped))
    plain, archives = skipped.lines()
    assert plain.endswith("no pictures: none")
    assert "not opened: 1 (.tar: 1)" in archives


def test_archives_in_a_folder_are_told_apart_and_how_to_give_them(tmp_path: Path) -> None:
    write(tmp_path / "A.TAR", tar_bytes({"1.jpg": b"1", "inner.zip": b""}))
    write(tmp_path / "deep" / "b.tar", tar_bytes({"2.jpg": b"2"}))
    write(tmp_path / "deep" / "c.zip", zip_bytes({"3.jpg": b"3"}))
    touch(tmp_path, "a.jpg", "b.txt", "c.tar.gz")
    skipped = SkippedFiles()
    ids(tmp_path, skipped)
    assert list(skipped.lines()) == [
        "  files of the folders that are no pictures: 2 (.txt: 1, .gz: 1)",
        "  archives in the folders, which were not opened: 3 (.tar: 2, .zip: 1); give them too, as "
        "'FOLDER/**.tar', 'FOLDER/**.zip'",
    ]
    # As it says, archives right in the folder and those below are found.
    (tmp_path / "A.TAR").rename(tmp_path / "a.tar")
    inside = SkippedFiles()
    images = list_images(f"{tmp_path}/**.tar", inside)
    assert [image.image_id for image in images] == ["1.jpg", "2.jpg"]
    # What is packed in an archive cannot be given.
    assert list(inside.lines()) == ["  files of the folders that are no pictures: 1 (.zip: 1)"]


def test_a_compressed_tar_is_an_error_in_a_glob_too(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.tar.gz")
    for source in (tmp_path / "b.tar.gz", tmp_path / "*"):
        with pytest.raises(CaptionerError, match=r"b\.tar\.gz: got a compressed tar"):
            ids(source)


def test_a_container_without_pictures_is_an_error_that_tells_what_is_there(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.tar", tar_bytes({"a.txt": b"1"}))
    with pytest.raises(CaptionerError, match=r"a\.tar: no pictures found.*1 \(\.txt: 1\)"):
        ids(uri)
    uri = write(tmp_path / "a.parquet", parquet_bytes({"image": hub_images([])}))
    with pytest.raises(CaptionerError, match=r"a\.parquet: no pictures found"):
        ids(uri)


@pytest.mark.parametrize("name", ["folder [2019]", "what?", "*"])
def test_a_folder_named_like_a_glob_is_a_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/a.jpg", "other/b.jpg")
    assert ids(tmp_path / name) == ["a.jpg"]


def test_several_sources_are_listed_one_after_the_other(tmp_path: Path) -> None:
    touch(tmp_path, "folder/b.jpg", "folder/notes.txt", "a.jpg")
    tar, _, parquet = write_containers(tmp_path / "containers")
    manifest = write(tmp_path / "list.csv", b"where\na.jpg\n")
    skipped = SkippedFiles()
    sources = [manifest, f"{tmp_path}/folder", tar, parquet]
    images = list(list_all_images(sources, skipped))
    assert [image.image_id for image in images] == ["a.jpg", "b.jpg", "t.jpg", "p.jpg"]
    assert skipped.by_suffix == {".txt": 2}
    assert list(list_all_images([], skipped)) == []


def test_the_column_of_pictures_can_be_named_for_all_sources(tmp_path: Path) -> None:
    parquet = write(tmp_path / "a.parquet", parquet_bytes({"left": [b"l"], "right": [b"r"]}))
    manifest = write(tmp_path / "a.csv", b"left,right\nl.jpg,r.jpg\n")
    images = list_all_images([parquet, manifest], SkippedFiles(), image_column="right")
    assert [image.uri for image in images] == [f"{parquet}!/right/0", f"{tmp_path}/r.jpg"]


def test_remote_containers_are_listed(memory: dict[str, bytes]) -> None:
    memory["memory://bucket/a.tar"] = tar_bytes({"t.jpg": b"1"})
    memory["memory://bucket/b.zip"] = zip_bytes({"z.jpg": b"1"})
    memory["memory://bucket/c.jpg"] = b"1"
    assert ids("memory://bucket/a.tar") == ["t.jpg"]
    assert ids("memory://bucket/*") == ["t.jpg", "z.jpg", "c.jpg"]
    for name in ("absent.tar", "absent.parquet", "absent.txt"):
        with pytest.raises(CaptionerError, match=r"absent\.\w+ cannot be read"):
            ids(f"memory://bucket/{name}")
