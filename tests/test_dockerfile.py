"""Tests of the Dockerfile, as far as they go without Docker: it copies what it builds from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from pipeline_builders import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_workers_start_with_the_version_of_beam_that_they_have() -> None:
    (sdk,) = re.findall(r"^COPY --from=apache/beam_python3\.11_sdk:(\S+) ", DOCKERFILE, re.M)
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert f"apache-beam=={sdk}" in pinned


def test_what_is_copied_is_all_that_is_sent_to_docker() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        name
        for names in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.M)
        for name in names.split()
    ]
    assert "*" in ignored
    assert [line[1:] for line in ignored if line.startswith("!")] == copied


def test_what_is_copied_suffices_to_install_all_of_it(tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for names in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.M):
        for name in names.split():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, copied / name)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copied)], check=True)
    (wheel,) = tmp_path.glob("captioner-*.whl")
    installed = set(zipfile.ZipFile(wheel).namelist())
    sources = [
        path.relative_to(ROOT).as_posix()
        for package in ("model", "pipelines")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert len(sources) > 100
    assert set(sources) <= installed
