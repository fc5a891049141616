"""Tests of what importing the project brings in: the packages' direction, and quick `--help`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BEAM = ["apache_beam", "tensorflow_transform", "pipelines"]
HEAVY = [*BEAM[:2], "tensorflow", "keras"]


def imported_by(code: str, packages: list[str]) -> list[str]:
    """Which of `packages` a fresh process has imported after `code`."""
    report = f"import json, sys; print(json.dumps([p for p in {packages!r} if p in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_check_itself_sees_imports() -> None:
    assert imported_by("import json, wave", ["wave", "tabnanny"]) == ["wave"]


def test_the_model_package_imports_no_framework() -> None:
    assert imported_by("import model", [*HEAVY, *BEAM, "numpy"]) == []


def test_no_module_of_the_model_imports_beam_tft_or_pipelines() -> None:
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "model").rglob("*.py")
        if path.stem != "__init__"
    )
    assert "model.train" in names
    code = "import importlib\n" + "\n".join(f"importlib.import_module({n!r})" for n in names)
    assert imported_by(code, [*BEAM, "openvino", "tensorflow"]) == ["tensorflow"]


@pytest.mark.parametrize(
    "module",
    ["model.config", "model.image", "model.arguments", "model.bundle_folder", "model.onnx_bundle"],
)
def test_light_modules_import_no_framework(module: str) -> None:
    assert imported_by(f"import {module}", [*HEAVY, "pipelines", "openvino"]) == []


@pytest.mark.parametrize("module", ["pipelines.caption", "pipelines.plan"])
def test_who_plans_the_work_does_not_wait_for_tensorflow(module: str) -> None:
    assert imported_by(f"import {module}", HEAVY) == ["apache_beam"]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["evaluate", "--help"], ["export", "--help"]]
)
def test_help_imports_no_framework(arguments: list[str]) -> None:
    code = f"""
import contextlib
from pipelines.cli import main
with contextlib.suppress(SystemExit):
    main({arguments!r})
"""
    assert imported_by(code, HEAVY) == []
