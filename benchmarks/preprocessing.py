"""Preprocessing against a bare loop, its memory, and a million captions through TFT.

    python -m benchmarks.preprocessing decode --images 'photographs/*.jpg'
    python -m benchmarks.preprocessing memory --images 'photographs/*.jpg' --counts 1000 7000
    python -m benchmarks.preprocessing captions --count 1000000

Contenders run in turn in one process on the same files; medians and their ratio are printed.
"""

import argparse
import glob
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam

from benchmarks.measure import alternate, peak_memory
from model.config import ImageConfig
from model.image import decode_image, encode_png
from pipelines.listing import write_listing
from pipelines.pixel_store import StorePixels
from pipelines.preprocessing_fn import TextConfig
from pipelines.records import CaptionedImage, ImageFile, PreparedImage
from pipelines.transforms import PreparePictures, TokeniseCaptions

_CONFIG = ImageConfig(224)
_CHUNK, _IMAGES_PER_STORE = 32, 256
_WORDS, _CAPTIONS_PER_IMAGE, _LONGEST = 20_000, 5, 16


def _bare(path: str) -> int:
    return len(encode_png(decode_image(Path(path).read_bytes(), _CONFIG).pixels))


def bare_loop(paths: Sequence[str]) -> None:
    """Decode, resize, encode: Pillow in a pool of one process per core, nothing written."""
    with multiprocessing.Pool(os.cpu_count()) as pool:
        assert sum(pool.imap_unordered(_bare, paths, chunksize=_CHUNK)) > 0


def pipeline(paths: Sequence[str]) -> None:
    """The pipeline's own step: decode, resize, hash, encode, write, on FnApiRunner."""
    with tempfile.TemporaryDirectory() as folder:
        images = [ImageFile(path, path, 0) for path in paths]
        uri = f"{folder}/images.arrow"
        batches = sum(1 for _ in write_listing(images, ImageFile, uri, _IMAGES_PER_STORE))
        with beam.Pipeline(runner="FnApiRunner") as run:
            prepared = run | PreparePictures((uri, batches), folder, _CONFIG, 300.0)
            _ = (
                prepared
                | beam.Filter(isinstance, PreparedImage)
                | beam.combiners.Count.Globally()
                | beam.Map(_check, len(paths))
            )


def step(paths: Sequence[str]) -> None:
    """The same step without Beam: what Beam adds is the rest."""
    with tempfile.TemporaryDirectory() as folder:
        images = [ImageFile(path, path, 0) for path in paths]
        uri = f"{folder}/images.arrow"
        batches = sum(1 for _ in write_listing(images, ImageFile, uri, _IMAGES_PER_STORE))
        store = StorePixels(uri, folder, _CONFIG, 300.0)
        _check(sum(1 for batch in range(batches) for _ in store.process(batch)), len(paths))


def _check(count: int, expected: int) -> None:
    assert count == expected, (count, expected)


def measure_decode(options: argparse.Namespace) -> None:
    paths = sorted(glob.glob(options.images, recursive=True))
    contenders = {
        "bare multiprocessing loop": lambda: bare_loop(paths),
        "pipeline": lambda: pipeline(paths),
        "pipeline's step without Beam": lambda: step(paths),
    }
    seconds = alternate(contenders, options.rounds)
    print(f"{len(paths)} images, medians of {options.rounds}")
    for name, value in seconds.items():
        ratio = seconds["bare multiprocessing loop"] / value
        print(f"  {name:<30} {len(paths) / value:8.1f} images/s  {ratio:5.2f} x the bare loop")


def measure_memory(options: argparse.Namespace) -> None:
    paths = sorted(glob.glob(options.images, recursive=True))
    if max(options.counts) > len(paths):
        raise SystemExit(
            f"--counts: got {max(options.counts)}, expected at most the {len(paths)} of --images"
        )
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            for path in paths[:count]:
                os.symlink(os.path.abspath(path), f"{folder}/{os.path.basename(path)}")
            captions = Path(f"{folder}/captions.tsv")
            rows = (f"{os.path.basename(path)}\ta picture" for path in paths[:count])
            captions.write_text("\n".join(["image\tcaption", *rows]) + "\n", encoding="utf-8")
            arguments = ["--captions", str(captions), "--images", folder, "--min-count", "1"]
            command = [sys.executable, "-m", "pipelines.cli", "preprocess", *arguments]
            seconds, peak = peak_memory([*command, "--output", f"{folder}/dataset"])
        print(f"  {count:>7} images: {seconds:6.1f} s, peak {peak / 2**20:7.0f} MiB")


def made_up(number: int) -> CaptionedImage:
    """A picture's record with captions of made-up words, the rarer the higher their number."""
    rng = random.Random(number)
    captions = tuple(
        " ".join(f"w{int(_WORDS * rng.random() ** 3)}" for _ in range(rng.randint(6, _LONGEST)))
        for _ in range(_CAPTIONS_PER_IMAGE)
    )
    name = f"{number:07d}.jpg"
    image = PreparedImage(name, name, 0, 0, 0, "", "", 1, 1, "RGB", "JPEG", 0)
    return CaptionedImage(image, "train", captions)


def tokenise(count: int) -> None:
    """Vocabulary and ids of `count` captions; run in a process of its own."""
    images = count // _CAPTIONS_PER_IMAGE
    with tempfile.TemporaryDirectory() as folder, beam.Pipeline(runner="FnApiRunner") as run:
        _ = (
            run
            | beam.Create(range(0, images, _CHUNK))
            | beam.FlatMap(lambda start: map(made_up, range(start, min(start + _CHUNK, images))))
            | TokeniseCaptions(folder, TextConfig(min_count=5))
            | beam.Map(lambda image: len(image.token_ids))
            | beam.CombineGlobally(sum)
            | beam.Map(_check, images * _CAPTIONS_PER_IMAGE)
        )


def measure_captions(options: argparse.Namespace) -> None:
    if options.inside:
        tokenise(options.count)
        return
    command = [sys.executable, "-m", "benchmarks.preprocessing", "captions", "--inside"]
    seconds, peak = peak_memory([*command, "--count", str(options.count)])
    print(f"{options.count} captions: {seconds:.1f} s, peak {peak / 2**20:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    decode = commands.add_parser("decode")
    decode.add_argument("--images", required=True, help="quoted glob")
    decode.add_argument("--rounds", type=int, default=3)
    decode.set_defaults(measure=measure_decode)
    memory = commands.add_parser("memory")
    memory.add_argument("--images", required=True, help="quoted glob")
    memory.add_argument("--counts", type=int, nargs="+", default=[1000, 7000])
    memory.set_defaults(measure=measure_memory)
    captions = commands.add_parser("captions")
    captions.add_argument("--count", type=int, default=1_000_000)
    captions.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    captions.set_defaults(measure=measure_captions)
    options = parser.parse_args()
    options.measure(options)


if __name__ == "__main__":
    main()
