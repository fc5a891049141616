"""Tests of claims: of two runs at most one writes, and a killed run's writers end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline_builders import files_of

from model.errors import CaptionerError
from pipelines import files
from pipelines.claims import Claim, claim


def test_a_claim_holds_until_the_end_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "captions"
    with claim(str(output), "run") as claimed:
        claimed.check()
        files.write_text(claimed.plan_uri, "plan")
    assert not output.exists()
    with pytest.raises(CaptionerError, match="is gone"):
        claimed.check()


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    output = tmp_path / "captions"
    output.mkdir()
    with claim(str(output), "run"):
        pass
    assert output.is_dir()
    with claim(str(output), "run") as claimed:
        files.write_text(f"{output}/_runs/run.json", "{}")
        files.write_text(claimed.plan_uri, "plan")
    assert files_of(output) == {"_runs/run.json": b"{}"}


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a defect"), claim(str(tmp_path / "captions"), "run"):
        raise ValueError("a defect")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_because_another_run_took_over_says_so(tmp_path: Path) -> None:
    def fail() -> None:
        with claim(str(tmp_path), "first") as first:
            files.delete(first.uri)
            raise FileNotFoundError("the plan that it was writing")

    with pytest.raises(CaptionerError, match=r"first\.claim.* is gone: .* another one"):
        fail()


def test_what_a_network_disk_remembers_of_a_claim_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(str(tmp_path), "first") as first:
        monkeypatch.setattr(os.path, "exists", lambda path: True)  # as stat(2) of NFS, for a minute
        first.check()
        os.remove(first.uri)  # by another machine
        with pytest.raises(CaptionerError, match=r"first\.claim.* is gone: .* another one"):
            first.check()


def test_a_later_run_takes_over(tmp_path: Path) -> None:
    with claim(str(tmp_path), "first") as first, claim(str(tmp_path), "second") as second:
        second.check()
        with pytest.raises(CaptionerError, match=r"first\.claim.* is gone: .* another one"):
            first.check()


def test_of_runs_that_start_at_once_one_goes_on_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second starts when the first has written its claim and not yet looked for others."""
    delete, others = files.delete_temporaries, []

    def overtaken(folder: str, keep: str | None = None) -> int:
        if not others:
            others.append(claim(str(tmp_path), "second"))
            seconds.append(others[0].__enter__())
        return delete(folder, keep)

    seconds: list[Claim] = []
    monkeypatch.setattr(files, "delete_temporaries", overtaken)
    with claim(str(tmp_path), "first") as first:
        alive = [os.path.exists(claimed.uri) for claimed in (first, *seconds)]
    assert len(alive) == 2
    assert sum(alive) <= 1
    others[0].__exit__(None, None, None)


def test_claims_go_before_the_files_that_wait_to_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that becomes ready once these were listed may not get its name."""
    list_tree, looked = files.list_tree, []
    with claim(str(tmp_path), "first") as first:

        def meanwhile(folder: str) -> list[str]:
            found = list_tree(folder)
            if folder == str(tmp_path):
                looked.append(folder)
                with pytest.raises(CaptionerError, match="is gone"):
                    first.check()
            return found

        monkeypatch.setattr(files, "list_tree", meanwhile)
        with claim(str(tmp_path), "second"):
            assert looked


def test_a_file_that_a_dead_run_was_about_to_rename_never_gets_its_name(tmp_path: Path) -> None:
    part = tmp_path / "part-1.parquet"
    with claim(str(tmp_path), "first") as first:
        writer = files.atomic_path(str(part))
        Path(writer.__enter__()).write_bytes(b"rows")
        first.check()  # and then the rename, but the next run was faster
        with claim(str(tmp_path), "second"), pytest.raises(FileNotFoundError):
            writer.__exit__(None, None, None)
    assert files_of(tmp_path) == {}


def test_remote_folders_are_claimed_too(memory: dict[str, bytes]) -> None:
    with claim("memory://bucket/captions", "first") as first:
        files.write_text(first.plan_uri, "plan")
        with claim("memory://bucket/captions", "second"):
            assert len(memory) == 1
            with pytest.raises(CaptionerError):
                first.check()
    assert memory == {}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    output = f"{tmp_path}/file/captions"
    with (
        pytest.raises(CaptionerError, match=r"--output .*captions cannot be written: .*Not a dir"),
        claim(output, "run"),
    ):
        pytest.fail("claimed")
