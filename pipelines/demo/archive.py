"""A training set and an archive of synthetic pictures, with the truth about the archive."""

import io
import json
import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.demo.language import canonical_caption, describe
from pipelines.demo.scenes import Group, Pair, Scene, Shape, draw_scene, sample_scene

_FOLDERS = ("part-1", "part-2", "part-3/older")
_SMALLEST_PX, _LARGEST_PX = 96, 160
# The marker that starts a JPEG, and its JFIF segment.
_JPEG_HEADER_BYTES = 20


def write_training_set(folder: Path, count: int, seed: int) -> None:
    """Writes `folder/images` and their captions, five each, in the format of Flickr8k."""
    # The name of the set is part of the seed, so that no archive repeats the training pictures.
    rng = random.Random(f"training {seed}")
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    with (folder / "captions.token.txt").open("w", encoding="utf-8") as captions:
        for index in range(count):
            scene = sample_scene(rng)
            name = f"scene-{index:06d}.jpg"
            (images / name).write_bytes(_draw_file(scene, rng))
            for number, caption in enumerate(describe(scene, rng)):
                captions.write(f"{name}#{number}\t{caption}\n")


def write_archive(folder: Path, count: int, seed: int, truth_path: Path) -> dict[str, Scene]:
    """Writes `count` new pictures and five broken files, in subfolders of `folder`.

    Args:
        folder: Where the archive goes.
        count: How many good pictures to draw.
        seed: Decides all the pictures.
        truth_path: Where the true scenes go; outside `folder`, which holds pictures only.

    Returns:
        The scene of every good picture, by its path relative to `folder`.
    """
    if truth_path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{truth_path} lies in the archive {folder}")
    rng = random.Random(f"archive {seed}")
    for subfolder in _FOLDERS:
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    scenes: dict[str, Scene] = {}
    for index in range(count):
        scene = sample_scene(rng)
        name = f"{_FOLDERS[index % len(_FOLDERS)]}/picture-{index:05d}.jpg"
        (folder / name).write_bytes(_draw_file(scene, rng))
        scenes[name] = scene
    for index, (name, content) in enumerate(_broken_files(rng).items()):
        (folder / _FOLDERS[index % len(_FOLDERS)] / name).write_bytes(content)
    _write_truth(truth_path, scenes)
    return scenes


def read_truth(path: Path) -> dict[str, Scene]:
    """Returns the scene of every good picture that `write_archive` wrote."""
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {record["image"]: _scene_from_dict(record["scene"]) for record in records}


def _write_truth(path: Path, scenes: Mapping[str, Scene]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as truth:
        for image, scene in scenes.items():
            caption = canonical_caption(scene)
            record = {"image": image, "caption": caption, "scene": asdict(scene)}
            truth.write(json.dumps(record) + "\n")


def _scene_from_dict(data: Mapping[str, Any]) -> Scene:
    if "shape" in data:
        return Group(Shape(**data["shape"]), data["count"], data["arrangement"])
    return Pair(Shape(**data["first"]), Shape(**data["second"]), data["relation"])


def _draw_file(scene: Scene, rng: random.Random, file_format: str = "jpeg") -> bytes:
    picture = draw_scene(scene, rng, rng.randint(_SMALLEST_PX, _LARGEST_PX))
    buffer = io.BytesIO()
    picture.save(buffer, file_format, quality=90)
    return buffer.getvalue()


def _broken_files(rng: random.Random) -> dict[str, bytes]:
    """Returns files as real archives hold them, none of which decodes whole."""
    jpeg = _draw_file(sample_scene(rng), rng)
    png = bytearray(_draw_file(sample_scene(rng), rng, "png"))
    data = png.index(b"IDAT") + len(b"IDAT")
    # Zeros in the middle of the compressed stream: the header still tells a size.
    png[data + 16 : data + 80] = bytes(64)
    # Free of 0xff, which could start a marker that a reader takes for a part of the picture.
    garbage = bytes(rng.randrange(0xFF) for _ in range(3000))
    return {
        "empty.jpg": b"",
        "notes.jpg": b"These are notes, not a picture.\n",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "garbage.jpg": jpeg[:_JPEG_HEADER_BYTES] + garbage,
        "corrupt.png": bytes(png),
    }
