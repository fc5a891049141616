"""Tests of the writer of files: whole under their final name, or not there at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from pipeline_builders import files_of

from model.errors import CaptionerError
from pipelines import files
from pipelines.folders import walk


def write_partly(uri: str, error: type[BaseException] = OSError) -> None:
    """A writer that fails in the middle."""
    with files.atomic_path(uri) as path:
        Path(path).write_bytes(b"half")
        raise error("disk full")


def test_a_file_appears_under_its_name_only_when_whole(tmp_path: Path) -> None:
    goal = tmp_path / "new" / "folder" / "file.parquet"
    with files.atomic_path(str(goal)) as path:
        Path(path).write_bytes(b"whole")
        assert not goal.exists()
        assert Path(path).parent == goal.parent, "a rename must not cross file systems"
    assert files_of(tmp_path) == {"new/folder/file.parquet": b"whole"}


def test_readers_of_parquet_pass_a_temporary_over(tmp_path: Path) -> None:
    with files.atomic_path(str(tmp_path / "file.parquet")) as path:
        Path(path).write_bytes(b"half")
        assert Path(path).name.startswith("_")
        assert not Path(path).name.endswith(".parquet")


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_exception_leaves_neither_file_nor_temporary_nor_folder(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error, match="disk full"):
        write_partly(str(tmp_path / "new" / "folder" / "file"), error)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        write_partly(str(tmp_path / "file"))
    assert files_of(tmp_path) == {"file": b"old"}


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    files.write_text(str(tmp_path / "file"), "naïve")
    assert files_of(tmp_path) == {"file": "naïve".encode()}


def test_a_name_without_folder_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_text("file", "text")
    assert files_of(tmp_path) == {"file": b"text"}


def test_bytes_are_read_as_they_are_stored_whatever_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"no gzip")
    assert files.read_bytes(str(path)) == b"no gzip"
    assert files.sha256_of(str(path)) == hashlib.sha256(b"no gzip").hexdigest()


def test_only_temporaries_are_deleted(tmp_path: Path) -> None:
    kept = ["part-1.parquet", "_SUCCESS", "notes.tmp", "_runs/a.json", "deep/_x.tmp.parquet"]
    left = ["_part-2.parquet.ab12.tmp", "deep/er/_part-3.parquet.cd34.tmp"]
    for name in kept + left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert files.delete_temporaries(str(tmp_path)) == len(left)
    assert sorted(files_of(tmp_path)) == sorted(kept)
    assert files.delete_temporaries(str(tmp_path / "absent")) == 0


def test_what_a_killed_writer_leaves_is_a_temporary(tmp_path: Path) -> None:
    writer = files.atomic_path(str(tmp_path / "part.parquet"))
    Path(writer.__enter__()).write_bytes(b"half")  # and no __exit__: the process is gone
    assert files.delete_temporaries(str(tmp_path)) == 1
    assert files_of(tmp_path) == {}


def write_tree(folder: Path) -> dict[str, bytes]:
    tree = {"a.txt": b"a", "marker": b"m", "z.txt": b"z", "deep/marker": b"other"}
    for name, data in tree.items():
        files.write_text(str(folder / name), data.decode())
    return tree


def record_renames(monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> list[str]:
    """The names of the files moved from now on; the move number `fails_at` fails."""
    moved: list[str] = []
    rename = FileSystems.rename

    def recorded(sources: list[str], goals: list[str]) -> None:
        if len(moved) == fails_at:
            raise OSError("disk full")
        moved.extend(goals)
        rename(sources, goals)

    monkeypatch.setattr(FileSystems, "rename", recorded)
    return moved


def test_a_tree_is_moved_with_its_marker_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(tmp_path / "from")
    moved = record_renames(monkeypatch)
    files.move_tree(str(tmp_path / "from"), str(tmp_path / "to"), last="marker", leave="moving")
    assert files_of(tmp_path / "to") == tree
    assert not (tmp_path / "from").exists()
    assert moved[-1] == str(tmp_path / "to" / "marker")


@pytest.mark.parametrize("fails_at", range(4))
def test_a_move_that_fails_leaves_no_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    write_tree(tmp_path / "from")
    record_renames(monkeypatch, fails_at)
    with pytest.raises(OSError, match="disk full"):
        files.move_tree(str(tmp_path / "from"), str(tmp_path / "to"), last="marker", leave="moving")
    assert not (tmp_path / "to" / "marker").exists()


def test_a_tree_is_copied_as_often_as_one_likes(tmp_path: Path, memory: dict[str, bytes]) -> None:
    tree = write_tree(tmp_path / "from")
    for hidden in (".a", ".deep/a"):
        files.write_text(str(tmp_path / "from" / hidden), "hidden")
    for _ in range(2):
        files.copy_tree(str(tmp_path / "from"), str(tmp_path / "to"))
        assert files_of(tmp_path / "to") == tree
        files.copy_tree(str(tmp_path / "from"), "memory://bucket/to")
        assert memory == {f"memory://bucket/to/{name}": data for name, data in tree.items()}


def test_a_remote_file_is_one_whole_object(memory: dict[str, bytes]) -> None:
    files.write_text("memory://bucket/new/file", "text")
    assert memory == {"memory://bucket/new/file": b"text"}
    with pytest.raises(OSError, match="disk full"):
        write_partly("memory://bucket/other")
    assert list(memory) == ["memory://bucket/new/file"]


def test_a_remote_tree_is_listed_moved_and_deleted(memory: dict[str, bytes]) -> None:
    for name in ("a", "marker", "deep/z"):
        files.write_text(f"memory://bucket/from/{name}", name)
    files.write_text("memory://bucket/from-another/a", "kept")
    files.move_tree("memory://bucket/from", "memory://bucket/to", last="marker", leave="moving")
    names = ["a", "deep/z", "marker"]
    assert files.list_tree("memory://bucket/to") == [f"memory://bucket/to/{n}" for n in names]
    files.delete_tree("memory://bucket/to/")
    files.delete_tree("memory://bucket/absent")
    assert list(memory) == ["memory://bucket/from-another/a"]
    assert files.delete_temporaries("memory://bucket") == 0


def test_an_object_that_stands_for_a_folder_is_no_file(memory: dict[str, bytes]) -> None:
    memory.update(dict.fromkeys(["memory://bucket/a/", "memory://bucket/a/b/"], b""))
    files.write_text("memory://bucket/a/b/c", "text")
    assert files.list_tree("memory://bucket/a") == ["memory://bucket/a/b/c"]


def test_a_name_is_no_pattern_when_it_is_deleted(tmp_path: Path) -> None:
    for name in ("a1", "a?", "[1]"):
        (tmp_path / name).write_bytes(b"")
    files.delete(str(tmp_path / "a?"))
    files.delete(str(tmp_path / "[1]"))
    files.delete(str(tmp_path / "a*"))  # there is none of this name
    assert [path.name for path in tmp_path.iterdir()] == ["a1"]


def test_a_remote_file_that_is_there_and_cannot_be_deleted_is_an_error(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    files.write_text("memory://bucket/a", "text")
    files.delete("memory://bucket/absent")
    refused = BeamIOError("Delete operation failed", {"memory://bucket/a": "403: not yours"})

    def refuse(*_: object) -> None:
        raise refused

    monkeypatch.setattr(cloud, "delete", refuse)
    with pytest.raises(BeamIOError, match="Delete operation failed"):
        files.delete("memory://bucket/a")
    files.delete("memory://bucket/absent")


def test_paths_have_one_spelling() -> None:
    for path in ("/a/b", "//a/b", "///a//b/", "/c/../a/./b"):
        assert files.normalise_path(path) == "/a/b"


def test_times_are_told_in_microseconds_where_they_are_known(
    tmp_path: Path, memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    os.utime(path, ns=(0, 1_600_000_000_123_456_789))
    assert files.modified_usec(str(path)) == 1_600_000_000_123_456
    assert files.size_and_time(path.stat()) == (4, 1_600_000_000_123_456)
    assert files.modified_usec("memory://bucket/a") is None
    monkeypatch.setattr(cloud, "last_updated", lambda *_: 1_600_000_000.25)
    assert files.modified_usec("memory://bucket/a") == 1_600_000_000_250_000


def test_what_cannot_be_listed_is_told(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    def refuse(*_: object) -> None:
        raise BeamIOError("List operation failed", {"memory://bucket/a": "403: not yours"})

    monkeypatch.setattr(cloud, "match", refuse)
    told = r"memory://bucket/a/\*\* cannot be listed: .*403: not yours.*check the path, and your"
    for list_them in (files.list_tree, lambda uri: list(walk(uri))):
        with pytest.raises(CaptionerError, match=told):
            list_them("memory://bucket/a")


def test_a_client_that_fails_to_write_is_an_error_of_writing(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LookupError("403: not yours")

    monkeypatch.setattr(cloud, "create", refuse)
    with pytest.raises(OSError, match="memory://bucket/a: LookupError: 403: not yours") as told:
        files.write_text("memory://bucket/a", "text")
    assert not isinstance(told.value, FileNotFoundError), "that it is not there is no failure"
    assert memory == {}


def test_what_one_may_not_look_for_is_told(
    memory: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cloud: type
) -> None:
    def refuse(*_: Any) -> bool:
        raise BeamIOError("exists() operation failed", {"a": PermissionError("403")})

    monkeypatch.setattr(cloud, "exists", refuse)
    with pytest.raises(CaptionerError, match=r"bucket/a cannot be looked for: .*403.* your rights"):
        files.exists("memory://bucket/a")


def test_objects_that_stand_for_folders_are_deleted_with_them(memory: dict[str, bytes]) -> None:
    for name in ("a/", "a/b", "a/c/", "a/c/d", "ab"):
        memory[f"memory://bucket/{name}"] = b""
    files.delete_tree("memory://bucket/a")
    assert list(memory) == ["memory://bucket/ab"]
    files.delete_tree("memory://bucket/a")
