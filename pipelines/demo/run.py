"""`captioner demo`: every command in a row, for real, on pictures drawn for the purpose."""

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.dataset as pads

from model.command import check_output_folder, local_path
from model.errors import CaptionerError
from pipelines.demo.archive import read_truth, write_archive, write_training_set
from pipelines.demo.language import canonical_caption, same_scene
from pipelines.demo.scenes import Scene

_MARKER = "demo.json"
_SEED = 1
_UNSEEN, _BROKEN = 200, 5
# With fewer a split may be empty.
_LEAST_SCENES = 100
# The demo fails below: a captioner that looks reaches it, one that guesses is near zero.
WANTED_ACCURACY = 0.9
_TABLE_ROWS = 12

_DATASET_OPTIONS = "--image-size-px 64 --min-count 1 --split-ratios 0.9,0.05,0.05"
_MODEL_OPTIONS = (
    "--encoder cnn --embedding-dim 96 --hidden-dim 192 --heads 6 --dropout 0 --concepts 0 "
    "--batch-size 8 --batches-sorted 1 --label-smoothing 0 --averaging 0.9 --patience 100 "
    "--self-critical-epochs 0"
)


def _prepare(folder: Path) -> None:
    """Empties the folder of an earlier demo.

    Raises:
        CaptionerError: if the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARKER).exists():
            raise CaptionerError(
                f"--output {folder} holds files that are no demo; choose another folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).write_text("{}\n", encoding="utf-8")


def commands(folder: Path, epochs: int) -> list[list[str]]:
    """The commands of the demo, as a user would type them after ``captioner``."""
    root = shlex.quote(str(folder))
    dataset, run, bundle = (f"{root}/{name}" for name in ("dataset", "run", "bundle"))
    lines = [
        f"preprocess --captions {root}/scenes/captions.token.txt --images {root}/scenes/images "
        f"{_DATASET_OPTIONS} --output {dataset}",
        f"train --dataset {dataset} {_MODEL_OPTIONS} --epochs {epochs} --output {run}",
        f"evaluate --model {run} --dataset {dataset} --split test",
        f"export --run {run} --output {bundle}",
        f"caption --bundle {bundle} --input {root}/archive --output {root}/captions",
        f"report --captions {root}/captions --output {root}/report.html",
    ]
    return [shlex.split(line) for line in lines]


def _execute(command: Sequence[str]) -> None:
    print(f"\n$ captioner {shlex.join(command)}", flush=True)
    finished = subprocess.run([sys.executable, "-m", "pipelines.cli", *command], check=False)
    if finished.returncode:
        raise CaptionerError(
            f"captioner {command[0]} ended with status {finished.returncode}; its message is above"
        )


def read_captions(folder: Path, archive: Path) -> tuple[dict[str, str], int]:
    """The captions by path below `archive`, and how many rows are rejects."""
    table = pads.dataset(str(folder), format="parquet", partitioning="hive").to_table(
        columns=["image_uri", "status", "caption"]
    )
    root = os.path.abspath(archive) + "/"  # links are not resolved, as in `image_uri`
    rows = table.to_pylist()
    captions = {
        row["image_uri"].removeprefix(root): row["caption"]
        for row in rows
        if row["status"] == "captioned"
    }
    return captions, len(rows) - len(captions)


def accuracy(captions: Mapping[str, str], truth: Mapping[str, Scene]) -> float:
    """Share of scenes whose caption has every attribute right."""
    right = sum(same_scene(captions.get(image, ""), scene) for image, scene in truth.items())
    return right / len(truth)


def shuffled(captions: Mapping[str, str], seed: int) -> dict[str, str]:
    """The same captions, dealt to other pictures."""
    texts = list(captions.values())
    random.Random(seed).shuffle(texts)
    return dict(zip(captions, texts, strict=True))


def _print_table(captions: Mapping[str, str], truth: Mapping[str, Scene]) -> None:
    print(f"\n{'':5}{'caption':<66}truth")
    for image, scene in sorted(truth.items())[:_TABLE_ROWS]:
        caption = captions.get(image, "(none)")
        mark = "ok" if same_scene(caption, scene) else "WRONG"
        print(f"{mark:<6}{caption:<65} {canonical_caption(scene)}")


def check(folder: Path) -> float:
    """Checks what the demo made and prints it; returns the share of scenes captioned right.

    Raises:
        CaptionerError: if a picture has no row, or the captions are not the pictures'.
    """
    truth = read_truth(folder / "truth.jsonl")
    captions, rejects = read_captions(folder / "captions", folder / "archive")
    _print_table(captions, truth)
    right, by_chance = accuracy(captions, truth), accuracy(shuffled(captions, _SEED), truth)
    scores = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))["scores"]
    print(f"\nunseen scenes with every attribute right: {right:.1%} of {len(truth)}")
    print(f"the same captions dealt to other scenes:  {by_chance:.1%}")
    print(f"rows: {len(captions)} captioned + {rejects} rejected")
    print("test split: " + ", ".join(f"{k} {v * 100:.1f}" for k, v in scores.items()))
    if len(captions) != len(truth) or rejects != _BROKEN:
        raise CaptionerError(
            f"got {len(captions)} captions and {rejects} rejects, expected {len(truth)} and "
            f"{_BROKEN}: pictures were lost"
        )
    if right < WANTED_ACCURACY or by_chance > WANTED_ACCURACY / 2:
        raise CaptionerError(
            f"got {right:.1%} right and {by_chance:.1%} after shuffling, expected at least "
            f"{WANTED_ACCURACY:.0%} and far less: the captioner did not learn to look; "
            "the defaults of --scenes and --epochs suffice"
        )
    return right


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    folder = local_path("--output", options.output)
    for name, least in {"scenes": _LEAST_SCENES, "epochs": 1}.items():
        if getattr(options, name) < least:
            raise CaptionerError(
                f"--{name}: got {getattr(options, name)}, expected {least} or more"
            )
    check_output_folder(folder)
    _prepare(folder)
    print(f"drawing {options.scenes} captioned scenes and an archive of {_UNSEEN + _BROKEN} files")
    write_training_set(folder / "scenes", options.scenes, _SEED)
    write_archive(folder / "archive", _UNSEEN, _SEED, folder / "truth.jsonl")
    for command in commands(folder, options.epochs):
        _execute(command)
    check(folder)
    print(f"\neverything lies in {folder}:")
    for name, what in {
        "scenes/": "the training pictures and captions.token.txt",
        "archive/": "the unseen pictures, five of them broken",
        "dataset/": "TFRecords, vocabulary.txt, dataset.json",
        "run/": "checkpoints, history.csv, metrics.json, TensorBoard logs",
        "bundle/": "the SavedModel, MODEL_CARD.md",
        "captions/": "one Parquet dataset, a row for each file",
        "report.html": "open it in a browser",
    }.items():
        print(f"  {name:<12} {what}")
    return 0
