"""Tests of runs over captions that are there: what changed is done again, one row a picture."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from container_builders import parquet_bytes, tar_bytes, write, zip_bytes
from pipeline_builders import (
    BROKEN,
    FINGERPRINT,
    caption_arguments,
    captioner,
    files_of,
    read_rows,
    statuses,
    write_archive,
    write_picture,
)

from pipelines import caption
from pipelines.captions.own import list_parts

PICTURES = 30


@pytest.fixture
def done(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A folder with an archive and all its captions, to be changed at will."""
    write_archive(tmp_path / "archive")
    arguments = caption_arguments(tiny_bundle, tmp_path / "archive", tmp_path / "captions")
    assert captioner(*arguments) == 0
    return tmp_path


def again(
    folder: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> list[str]:
    """Runs the command once more; returns what it prints."""
    capsys.readouterr()
    arguments = caption_arguments(tiny_bundle, folder / "archive", folder / "captions", *more)
    assert captioner(*arguments) == 0
    return capsys.readouterr().out.splitlines()


def rows_by_uri(folder: Path) -> dict[str, dict[str, Any]]:
    rows = read_rows(folder / "captions")
    by_uri = {row["image_uri"]: row for row in rows}
    assert len(by_uri) == len(rows), "a picture has two rows"
    return by_uri


def test_a_file_that_changed_is_done_again(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_by_uri(done)
    names = sorted((done / "archive").glob("*.jpg"))
    write_picture(names[0], 77, (90, 36))  # another size, and newer
    data = bytearray(names[1].read_bytes())
    data[-20] ^= 1  # the same size, newer
    names[1].write_bytes(data)
    other = names[2].stat().st_mtime
    write_picture(names[2], 78, (91, 36))
    os.utime(names[2], (other, other))  # another size, as old as before
    printed = again(done, tiny_bundle, capsys)
    assert printed[0] == "30 images = 27 already done + 3 captioned + 0 rejected"
    after = rows_by_uri(done)
    assert sorted(after) == sorted(before)
    changed = {uri for uri in before if before[uri] != after[uri]}
    assert changed == {str(name) for name in names[:3]}
    assert after[str(names[0])]["width_px"] == 90
    assert again(done, tiny_bundle, capsys)[1] == "Nothing to do: every image has its row."


def test_a_unit_of_which_every_file_changed_is_replaced(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (done / "archive").rglob("*.*"):
        path.touch()
    before = files_of(done / "captions" / f"model={FINGERPRINT}")
    printed = again(done, tiny_bundle, capsys)
    assert printed[0] == "30 images = 0 already done + 27 captioned + 3 rejected"
    assert len(rows_by_uri(done)) == PICTURES
    # In files of other names: until the new ones were there, the old ones were.
    after = files_of(done / "captions" / f"model={FINGERPRINT}")
    assert len(after) == len(before)
    assert not set(after) & set(before)


def test_a_run_that_fails_costs_no_caption(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_by_uri(done)
    for path in (done / "archive").rglob("*.*"):
        path.touch()
    broken = shutil.copytree(tiny_bundle, done / "broken")
    (broken / "saved_model.pb").write_bytes((broken / "saved_model.pb").read_bytes()[:1000])
    assert captioner(*caption_arguments(broken, done / "archive", done / "captions")) == 2
    assert rows_by_uri(done) == before
    assert "0 already done" in again(done, tiny_bundle, capsys)[0]


def test_a_disk_that_is_gone_costs_no_caption(
    done: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, planned = rows_by_uri(done), caption.plan
    for path in (done / "archive").rglob("*.*"):
        path.touch()

    def plan(*arguments: Any) -> Any:
        units = planned(*arguments)
        (done / "archive").rename(done / "away")
        return units

    monkeypatch.setattr(caption, "plan", plan)
    arguments = caption_arguments(tiny_bundle, done / "archive", done / "captions")
    assert captioner(*arguments) == 3
    assert "rejected: missing 30" in capsys.readouterr().out
    assert rows_by_uri(done) == before
    monkeypatch.undo()
    (done / "away").rename(done / "archive")
    printed = again(done, tiny_bundle, capsys)
    assert printed[0] == "30 images = 0 already done + 27 captioned + 3 rejected"
    assert rows_by_uri(done) == before


def test_a_changed_member_of_a_tar_is_done_again(
    tmp_path: Path, tiny_bundle: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [path.read_bytes() for path in sorted(archive.glob("*.jpg"))[:3]]
    members = {f"{i}.jpg": data for i, data in enumerate(pictures)}
    write(tmp_path / "archive" / "a.tar", tar_bytes(members))
    (tmp_path / "archive" / "list.txt").write_text("a.tar", encoding="utf-8")

    def run() -> str:
        capsys.readouterr()
        source = tmp_path / "archive" / "*.tar"
        assert captioner(*caption_arguments(tiny_bundle, source, tmp_path / "captions")) == 0
        return capsys.readouterr().out.splitlines()[0]

    assert run() == "3 images = 0 already done + 3 captioned + 0 rejected"
    write(tmp_path / "archive" / "a.tar", tar_bytes({**members, "3.jpg": pictures[0]}))
    assert run() == "4 images = 3 already done + 1 captioned + 0 rejected"
    write(tmp_path / "archive" / "a.tar", tar_bytes({**members, "1.jpg": pictures[0]}))
    assert run() == "3 images = 2 already done + 1 captioned + 0 rejected"
    assert len(rows_by_uri(tmp_path)) == 4


def test_rejected_pictures_are_done_again_if_asked(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_by_uri(done)
    mended = done / "archive" / "deep" / "half.jpg"
    status = mended.stat()
    write_picture(done / "tiny.png", 1, (2, 2))
    mended.write_bytes((done / "tiny.png").read_bytes().ljust(status.st_size, b"\0"))
    os.utime(mended, (status.st_mtime, status.st_mtime))
    # Nothing in a listing tells that it is another file.
    assert again(done, tiny_bundle, capsys)[1] == "Nothing to do: every image has its row."
    printed = again(done, tiny_bundle, capsys, "--retry-rejected", "--max-reject-ratio", "1")
    assert printed[0] == "30 images = 27 already done + 1 captioned + 2 rejected"
    after = rows_by_uri(done)
    assert {uri for uri in before if before[uri] != after[uri]} == {str(mended)}
    assert (after[str(mended)]["width_px"], after[str(mended)]["reason"]) == (2, None)


@pytest.mark.parametrize("stage", ["plan", "pipeline", "removal"])
def test_a_retry_that_ends_anywhere_is_finished_by_the_next_run(
    done: Path,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    before = rows_by_uri(done)
    place = {"plan": "plan", "pipeline": "build", "removal": "remove_rows"}[stage]
    monkeypatch.setattr(caption, place, killed)
    arguments = caption_arguments(
        tiny_bundle, done / "archive", done / "captions", "--retry-rejected"
    )
    with pytest.raises(KilledError):
        captioner(*arguments)
    monkeypatch.undo()
    left = read_rows(done / "captions")
    assert len(left) == PICTURES + (len(BROKEN) if stage == "removal" else 0)
    # Of two rows of a picture, which a run leaves that dies between them, the later one stays.
    again(done, tiny_bundle, capsys, "--max-reject-ratio", "1")
    assert rows_by_uri(done) == before


def test_two_rows_of_a_picture_become_one(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_by_uri(done)
    parts = done / "captions" / f"model={FINGERPRINT}"
    shutil.copy(next(parts.iterdir()), parts / "part-copy.parquet")
    assert len(read_rows(done / "captions")) > PICTURES
    assert again(done, tiny_bundle, capsys)[1] == "Nothing to do: every image has its row."
    assert rows_by_uri(done) == before


def test_a_picture_that_a_manifest_still_names_keeps_its_row_when_it_is_gone(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(str(path) for path in (done / "archive").rglob("*.jpg"))
    manifest = done / "names.txt"
    manifest.write_text("\n".join(names), encoding="utf-8")
    Path(names[0]).unlink()
    arguments = caption_arguments(tiny_bundle, manifest, done / "captions")
    capsys.readouterr()
    assert captioner(*arguments) == 0
    assert f"{len(names)} images = {len(names)} already done" in capsys.readouterr().out


def test_the_column_of_a_manifest_may_be_named(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.jpg", 1)
    (tmp_path / "m.csv").write_text("ident,place\n7,a.jpg\n", encoding="utf-8")
    arguments = caption_arguments(tiny_bundle, tmp_path / "m.csv", tmp_path / "captions")
    assert captioner(*arguments, "--dry-run") == 2
    assert "expected a column of paths" in capsys.readouterr().err
    assert captioner(*arguments, "--dry-run", "--image-column", "place") == 0
    assert "1 images = 0 already done + 1 to do" in capsys.readouterr().out


def test_a_missing_picture_that_comes_back_is_done(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "names.txt"
    manifest.write_text("a.jpg\nb.jpg", encoding="utf-8")
    write_picture(tmp_path / "a.jpg", 1)
    arguments = caption_arguments(
        tiny_bundle, manifest, tmp_path / "captions", "--max-reject-ratio", "1"
    )
    assert captioner(*arguments) == 0
    assert statuses(read_rows(tmp_path / "captions")) == {None: 1, "missing": 1}
    write_picture(tmp_path / "b.jpg", 2)
    assert captioner(*arguments) == 0
    assert statuses(read_rows(tmp_path / "captions")) == {None: 2}


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(done / "archive" / "new.jpg", 5)
    write_picture(done / "archive" / "picture-00.jpg", 77, (90, 36))
    before = files_of(done)
    printed = again(done, tiny_bundle, capsys, "--dry-run", "--retry-rejected")
    assert files_of(done) == before
    assert printed == [
        "Dry run: nothing is written.",
        "31 images = 26 already done + 5 to do",
        "  1 of them again: changed",
        "  3 of them again: rejected before",
        "  units of up to 8 images: 1",
        "  to do in files of their own: 5",
        "  files of the folders that are no pictures: 1 (.txt: 1)",
        f"captions would go to {done}/captions/model={FINGERPRINT}",
    ]
    fresh = caption_arguments(tiny_bundle, done / "archive", done / "new", "--dry-run")
    assert captioner(*fresh) == 0
    assert "31 images = 0 already done + 31 to do" in capsys.readouterr().out
    assert not (done / "new").exists()


def test_limits_and_samples_go_on_where_they_ended(
    archive: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def first_line(*more: str) -> str:
        capsys.readouterr()
        arguments = caption_arguments(tiny_bundle, archive, tmp_path, "--max-reject-ratio", "1")
        assert captioner(*arguments, *more) == 0
        return capsys.readouterr().out.splitlines()[0]

    assert first_line("--limit", "5").startswith("5 images = 0 already done")
    assert first_line("--limit", "7").startswith("7 images = 5 already done")
    sampled = first_line("--sample", "0.5").split()[0]
    assert first_line("--sample", "0.5").startswith(f"{sampled} images = {sampled} already done")
    assert first_line().startswith("30 images")
    assert len(read_rows(tmp_path)) == PICTURES


def test_other_decode_options_write_a_partition_of_their_own(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = caption_arguments(tiny_bundle, done / "archive", done / "captions")
    other, note = ["--sampler=greedy", "--min-length=2"], "note: no caption will be flagged as low"
    assert note not in capsys.readouterr().err
    assert captioner(*arguments, *other) == 0
    assert capsys.readouterr().err.count(note) == 1
    assert captioner(*arguments, *other) == 0
    printed = capsys.readouterr()
    assert "Nothing to do" in printed.out
    assert note not in printed.err, "there is nothing that could be flagged"
    by_model: dict[str, list[str]] = {}
    folders = (done / "captions").glob("model=*")
    rows = [row for folder in folders for row in pq.read_table(folder).to_pylist()]
    for row in rows:
        by_model.setdefault(row["model_fingerprint"], []).append(row["image_uri"])
    assert len(by_model) == 2
    exported, other = by_model.values()
    assert sorted(exported) == sorted(other)


def test_rows_that_keep_less_are_in_a_partition_of_their_own(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark, all_done = f"{FINGERPRINT}-captions1", "Nothing to do: every image has its row."
    assert again(done, tiny_bundle, capsys, "--num-captions=3", "--tags=0")[1] == all_done
    few = again(done, tiny_bundle, capsys, "--num-captions=1")
    assert few[0] == "30 images = 0 already done + 27 captioned + 3 rejected"
    assert few[-1] == f"captions in {done}/captions/model={mark}"
    assert again(done, tiny_bundle, capsys, "--num-captions=1")[1] == all_done
    rows = pq.read_table(done / "captions" / f"model={mark}").to_pylist()
    assert {row["model_fingerprint"] for row in rows} == {mark}
    assert not any(row["alternatives"] for row in rows)
    whole = rows_by_uri(done).values()
    assert all(len(row["alternatives"]) == 2 for row in whole if row["caption"])
    hive = pads.dataset(str(done / "captions"), partitioning="hive").to_table(["model"])
    assert set(hive["model"].to_pylist()) == {FINGERPRINT, mark}
    # What reads such folders finds both.
    folders = {Path(uri).parent.name for uri in list_parts(str(done / "captions"))}
    assert folders == {f"model={FINGERPRINT}", f"model={mark}"}
    page = done / "page.html"
    assert captioner("report", "--captions", done / "captions", "--output", page) == 0
    assert mark in page.read_text(encoding="utf-8")


def test_rows_of_pictures_that_are_gone_stay_until_they_are_to_be_removed(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, gone = rows_by_uri(done), sorted((done / "archive").glob("*.jpg"))[:3]
    gone[0].unlink()
    gone[1].rename(gone[1].with_name("renamed.jpg"))
    gone[2].rename(done / "elsewhere.jpg")
    any_rejects = "--max-reject-ratio=1"
    row = "  rows of pictures that these inputs do not list: 3"
    captions = files_of(done / "captions")
    dry = again(done, tiny_bundle, capsys, any_rejects, "--dry-run", "--remove-unlisted")
    assert f"{row} (they would be removed)" in dry
    assert files_of(done / "captions") == captions

    printed = again(done, tiny_bundle, capsys, any_rejects)
    assert printed[0] == "28 images = 27 already done + 1 captioned + 0 rejected"
    assert f"{row} (they stay; --remove-unlisted removes them)" in printed
    assert len(rows_by_uri(done)) == PICTURES + 1
    limited = again(done, tiny_bundle, capsys, any_rejects, "--limit", "5")
    assert "do not list" not in "".join(limited)

    runs = len(list((done / "captions" / "_runs").iterdir()))
    printed = again(done, tiny_bundle, capsys, any_rejects, "--remove-unlisted")
    assert printed[0] == "28 images = 28 already done + 0 captioned + 0 rejected"
    assert f"{row} (they were removed)" in printed
    after = rows_by_uri(done)
    renamed = str(done / "archive" / "renamed.jpg")
    assert set(after) == set(before) - {str(path) for path in gone} | {renamed}
    assert all(after[uri] == before[uri] for uri in set(after) - {renamed})
    # A removal is on record although nothing was captioned.
    assert len(list((done / "captions" / "_runs").iterdir())) == runs + 1
    printed = again(done, tiny_bundle, capsys, any_rejects, "--remove-unlisted")
    assert "do not list" not in "".join(printed)


def test_rows_behind_what_is_out_of_reach_are_not_removed(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that a link leads to, and a tar that is still being copied."""
    paths = sorted((done / "archive").glob("*.jpg"))[:4]
    (done / "disk").mkdir()
    shutil.copy(paths[0], done / "disk" / "a.jpg")
    (done / "archive" / "disk").symlink_to(done / "disk")
    packed = tar_bytes({path.name: path.read_bytes() for path in paths})
    tar = Path(write(done / "a.tar", packed))
    any_rejects = ("--input", str(tar), "--max-reject-ratio=1", "--remove-unlisted")
    again(done, tiny_bundle, capsys, *any_rejects)
    before = rows_by_uri(done)
    assert len(before) == PICTURES + 5

    (done / "disk").rename(done / "away")
    os.truncate(tar, len(packed) // 2)
    printed = again(done, tiny_bundle, capsys, *any_rejects)
    assert "do not list" not in "".join(printed)
    told = {row["reason"] for uri, row in rows_by_uri(done).items() if uri not in before}
    assert told == {"unreadable", "truncated"}
    assert before.items() <= rows_by_uri(done).items()

    (done / "away").rename(done / "disk")
    tar.write_bytes(packed)
    again(done, tiny_bundle, capsys, *any_rejects)
    assert rows_by_uri(done).keys() == before.keys()


def test_what_can_be_listed_at_last_stands_for_itself(
    done: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged archive, the end of another, and what lies beside them and stays."""
    paths = sorted((done / "archive").glob("*.jpg"))[:4]
    whole, tars = tar_bytes({path.name: path.read_bytes() for path in paths}), done / "tars"
    second = 512 + -(-paths[0].stat().st_size // 512) * 512
    for name, size in (("1.tar", 200), ("2.tar", second + 100), ("3.tar", 300)):
        write(tars / name, whole[:size])

    def run(*more: str) -> set[str]:
        arguments = caption_arguments(tiny_bundle, tars / "*.tar", done / "of-tars", *more)
        assert captioner(*arguments, "--max-reject-ratio", "1") == 0
        rows = read_rows(done / "of-tars")
        assert len({row["image_uri"] for row in rows}) == len(rows)
        return {row["image_uri"].removeprefix(f"{tars}/") for row in rows if row["reason"]}

    rejects = run()
    (end,) = rejects - {"1.tar", "3.tar"}
    assert end == f"2.tar!/@{second}"
    for name in ("1.tar", "2.tar"):
        write(tars / name, whole)
    assert run("--limit", "3") == rejects
    assert run() == {"3.tar"}
    assert len(read_rows(done / "of-tars")) == 2 * len(paths) + 1


def test_what_a_table_names_is_captioned_again_by_another_bundle(
    archive: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As rows of low scores are, of pictures in files of their own and in containers."""
    paths = sorted(archive.glob("*.jpg"))[:4]
    pictures = {path.name: path.read_bytes() for path in paths}
    sources, output = tmp_path / "sources", tmp_path / "captions"
    write(sources / "a.tar", tar_bytes(pictures))
    write(sources / "b.zip", zip_bytes(pictures))
    write(sources / "c.parquet", parquet_bytes({"image": list(pictures.values())}))
    shutil.copy(paths[0], sources / "d.jpg")
    assert captioner(*caption_arguments(tiny_bundle, sources / "*", output)) == 0
    first = pq.read_table(output / f"model={FINGERPRINT}").sort_by("image_uri")
    chosen = first.take(list(range(0, len(first), 2)))
    assert (len(first), len({*chosen["container"].to_pylist()})) == (13, 4)
    pq.write_table(chosen, tmp_path / "chosen.parquet")

    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    config = (bundle / "bundle.json").read_text(encoding="utf-8")
    (bundle / "bundle.json").write_text(config.replace(FINGERPRINT, "another"), encoding="utf-8")
    arguments = caption_arguments(bundle, tmp_path / "chosen.parquet", output)
    capsys.readouterr()
    assert captioner(*arguments) == 0
    assert "7 images = 0 already done + 7 captioned + 0 rejected" in capsys.readouterr().out
    again = pq.read_table(output / "model=another").to_pylist()
    same = ["image_uri", "container", "member", "sha256", "caption", "byte_size"]
    told = sorted(tuple(row[name] for name in same) for row in again)
    assert told == sorted(tuple(row[name] for name in same) for row in chosen.to_pylist())
    assert captioner(*arguments) == 0
    assert "Nothing to do" in capsys.readouterr().out
