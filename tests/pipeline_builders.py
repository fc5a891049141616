"""Small made-up inputs of the pipelines' tests: an archive, a captioned data set, a bundle.

The fixtures at the end are for the conftest of whichever folder of tests needs them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import builders
import pyarrow.dataset as pads
import pytest
from PIL import Image

from model.artifacts import BundleConfig
from model.config import ImageConfig, ModelConfig, SamplerConfig
from model.config_json import to_json
from model.image import DECODER_VERSION
from model.vocabulary import SPECIAL_TOKENS, Vocabulary
from pipelines.records import CaptionedImage, PreparedImage

ROOT = Path(__file__).resolve().parents[1]
FINGERPRINT = "0123456789abcdef"
WORDS = ("a", "red", "green", "blue", "square", "circle", "on", "grey", "two", "small")
# Of the archive's pictures, those that cannot be captioned; a .txt file is no picture at all.
BROKEN = {"deep/er/empty.jpg": "empty", "text.png": "unreadable", "deep/half.jpg": "truncated"}
# Of the captioned pictures; 19.png is in none, and not every one named is there.
LISTS = {
    "train": [*(f"{seed:02d}.png" for seed in range(12)), "broken.png", "listed-only.png"],
    "validation": ["12.png", "13.png", "14.png", "15.png", "absent.png"],
    "test": ["16.png", "17.png", "18.png"],
}
CAPTIONS_NAME = "captions.token.txt"
TWO_PROCESSES = [
    "--runner=FnApiRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=2",
]


def write_picture(path: Path, seed: int, size: tuple[int, int] = (48, 36)) -> None:
    """Draws a coloured square, saved in the format of the file's suffix."""
    colour = builders.colour_of(seed)
    picture = Image.fromarray(builders.square_picture(colour, seed, 64)).resize(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write_archive(folder: Path, sound: int = 27) -> dict[str, str | None]:
    """An archive with subfolders and broken files; returns each picture's reject reason."""
    places = ("{}.jpg", "deep/{}.png", "deep/er/ü {}.jpg")
    expected: dict[str, str | None] = dict(BROKEN)
    for seed in range(sound):
        name = places[seed % len(places)].format(f"picture-{seed:02d}")
        write_picture(folder / name, seed, (40 + seed, 36))
        expected[name] = None
    (folder / "deep/er/empty.jpg").write_bytes(b"")
    (folder / "text.png").write_bytes(b"no picture at all")
    whole = (folder / "picture-00.jpg").read_bytes()
    (folder / "deep/half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "deep/notes.txt").write_text("a sidecar", encoding="utf-8")
    return {str(folder / name): reason for name, reason in sorted(expected.items())}


def write_captioned(folder: Path) -> None:
    """Twenty captioned pictures with one of every flaw: `images/`, a token file, split lists."""
    lines = []
    for seed in range(20):
        name = f"{seed:02d}.png"
        write_picture(folder / "images" / name, seed)
        lines += _token_lines(name, builders.captions_of(builders.colour_of(seed)))
    write_picture(folder / "images" / "silent.png", 100)
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG and no more")
    lines += _token_lines("broken.png", ["A broken square"])
    lines += _token_lines("absent.png", ["Nobody sees this"])
    lines += _token_lines("03.png", ["!!", "a third caption"], first=2)
    lines += _token_lines("13.png", ["a zebra"], first=2)
    _write_lines(folder / CAPTIONS_NAME, lines)
    for split, names in LISTS.items():
        _write_lines(folder / f"{split}.txt", names)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _token_lines(name: str, captions: Sequence[str], first: int = 0) -> list[str]:
    return [f"{name}#{number}\t{caption}" for number, caption in enumerate(captions, first)]


def preprocess_arguments(captioned: Path, output: Path, *more: str | Path) -> list[str | Path]:
    """Arguments of ``captioner preprocess`` for what `write_captioned` wrote."""
    lists = [part for s in LISTS for part in (f"--{s}-list", captioned / f"{s}.txt")]
    inputs = ["--captions", captioned / CAPTIONS_NAME, "--images", captioned / "images"]
    sizes = ["--image-size-px", "32", "--min-count", "1"]
    return ["preprocess", *inputs, *lists, *sizes, "--output", output, *more]


def prepared_image(image_id: str, **changes: Any) -> PreparedImage:
    """What is known of a decoded picture; `changes` are fields to be otherwise."""
    fields = {
        "image_id": image_id,
        "uri": f"/archive/{image_id}",
        "store": "pixels.bin",
        "offset": 0,
        "length_bytes": 100,
        "pixel_sha256": hashlib.sha256(image_id.encode()).hexdigest(),
        "perceptual_hash": hashlib.md5(image_id.encode()).hexdigest()[:16],
        "width_px": 40,
        "height_px": 30,
        "mode": "RGB",
        "format": "PNG",
        "byte_size": 1000,
    }
    return PreparedImage(**{**fields, **changes})


def captioned_image(
    image_id: str, split: str = "train", captions: Sequence[str] = ("a dog",), **changes: Any
) -> CaptionedImage:
    """A decoded picture with captions; `changes` are fields of its `PreparedImage`."""
    return CaptionedImage(prepared_image(image_id, **changes), split, tuple(captions))


def bundle_config() -> BundleConfig:
    """What `write_bundle` writes as `bundle.json`."""
    return BundleConfig(
        model_fingerprint=FINGERPRINT,
        decoder_version=DECODER_VERSION,
        image=ImageConfig(builders.SIZE_PX),
        model=ModelConfig(
            "cnn",
            None,
            # Of random weights this large, a Transformer would make other scores of rounding.
            decoder="gru",
            embedding_dim=8,
            units=16,
            attention_units=8,
            dropout=0.0,
        ),
        sampler=SamplerConfig(beam_width=3),
        max_length=6,
        vocabulary_size=len(SPECIAL_TOKENS) + len(WORDS),
        dataset_fingerprint="none",
        # Below all that it says, so that none is flagged.
        low_score=-1000.0,
    )


def write_bundle(folder: Path, engine: str = "tensorflow") -> None:
    """A bundle of a tiny captioner that was never trained: what it says means nothing.

    Args:
        folder: made.
        engine: that it can be computed with, beside TensorFlow.
    """
    # Imported here: TensorFlow takes seconds, and many users of this module do without.
    import keras

    from model.captioner import build_captioner
    from model.export import CaptionGraph, write_saved_model

    config = bundle_config()
    keras.utils.set_random_seed(7)
    captioner = build_captioner(config.model, config.image, config.vocabulary_size)
    for weight in captioner.decoder.trainable_variables:
        weight.assign(4 * weight)  # so that what it says depends on the picture
    vocabulary = Vocabulary((*SPECIAL_TOKENS, *WORDS))
    graph = CaptionGraph(captioner, vocabulary, config.sampler, config.max_length, config.image)
    write_saved_model(graph, folder, engine)
    captioner.save_weights(folder / "captioner.weights.h5")
    words = "".join(f"{token}\n" for token in vocabulary.tokens)
    (folder / "vocabulary.txt").write_text(words, encoding="utf-8")
    (folder / "bundle.json").write_text(to_json(config), encoding="utf-8")


def caption_arguments(
    bundle: Path, archive: Path, output: Path, *more: str | Path
) -> list[str | Path]:
    """Arguments of ``captioner caption``: units and batches so small that there are several.

    In float32, so that any machine says the same.
    """
    exact = ["--unit-size", "8", "--batch-size", "3", "--bfloat16", "off"]
    return ["caption", "--bundle", bundle, "--input", archive, "--output", output, *exact, *more]


def captioner(*arguments: str | Path) -> int:
    """Runs ``captioner ARGUMENTS`` in this process; returns its exit status."""
    from pipelines.cli import main

    return main([str(argument) for argument in arguments])


def start(command: str, *arguments: str | Path) -> subprocess.Popen:
    """Starts ``python -m pipelines.COMMAND`` in a process of its own."""
    line = [sys.executable, "-m", f"pipelines.{command}", *map(str, arguments)]
    return subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_when(process: subprocess.Popen, ready: Callable[[], bool], delay_sec: float = 0) -> bool:
    """Kills `process`, as the kernel would, a moment after it is `ready`; whether it still ran."""
    end = time.monotonic() + 200
    while not ready() and process.poll() is None:
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.002)
    time.sleep(delay_sec)
    running = process.poll() is None
    process.kill()
    process.wait()  # and not for the end of its output, which its workers hold open
    return running


def read_rows(output: Path) -> list[dict[str, Any]]:
    """The rows of a folder of captions, by URI, without the time of their making."""
    table = pads.dataset(str(output / f"model={FINGERPRINT}"), format="parquet").to_table()
    rows = table.drop_columns(["captioned_at"]).to_pylist()
    return sorted(rows, key=lambda row: row["image_uri"])


def assert_same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Asserts that rows say the same; the last bits of scores depend on who shared a batch."""

    def parts(row: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
        scored = [row, *row["alternatives"]]
        texts = [{**part, "score": None, "alternatives": None} for part in scored]
        return {"texts": texts}, [part["score"] or 0.0 for part in scored]

    assert [row["image_uri"] for row in found] == [row["image_uri"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        (texts, scores), (other_texts, other_scores) = parts(row), parts(other)
        assert texts == other_texts
        assert scores == pytest.approx(other_scores, abs=1e-3)


def statuses(rows: list[dict[str, Any]]) -> Counter:
    """Rows by reason; None for those captioned."""
    return Counter(row["reason"] for row in rows)


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below `folder`, by path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def assert_same_dataset(folder: Path, expected: Path) -> None:
    """Asserts that two datasets are the same, byte by byte."""
    found, wanted = files_of(folder), files_of(expected)
    assert sorted(found) == sorted(wanted)
    # The SavedModel of the transform function is the one thing that differs between runs.
    same = [name for name in wanted if not name.startswith("transform")]
    assert len(same) > 8
    assert {name: found[name] for name in same} == {name: wanted[name] for name in same}


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a captioner that was never trained; tests leave it as it is."""
    return builders.made_once(tmp_path_factory, "tiny-bundle", write_bundle)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `write_archive` writes; tests leave it as it is."""
    return builders.made_once(tmp_path_factory, "archive", write_archive)


@pytest.fixture(scope="session")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `write_captioned` writes; tests leave it as it is."""
    return builders.made_once(tmp_path_factory, "captioned", write_captioned)


@pytest.fixture(scope="session")
def preprocessed(captioned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `captioned`, made by the default runner; tests leave it as it is."""

    def make(folder: Path) -> None:
        arguments = preprocess_arguments(captioned, folder)
        assert captioner(*arguments) == 0

    return builders.made_once(tmp_path_factory, "preprocessed", make)


@pytest.fixture(scope="session")
def captions(archive: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The captions of `archive`, made by the default runner; tests leave them as they are."""

    def make(folder: Path) -> None:
        arguments = caption_arguments(tiny_bundle, archive, folder)
        assert captioner(*arguments) == 0

    return builders.made_once(tmp_path_factory, "captions", make)
