"""Images per second of each stage of captioning, and of the whole against a plain loop.

    python -m benchmarks.stages --bundle work/bundle --images 'photographs/*.jpg'

All contenders run in turn, `--rounds` times, on the same files and bundle; medians are printed.
"""

import argparse
import glob
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import alternate
from model.bundle import Bundle
from pipelines.cli import main as captioner
from pipelines.images import read_image
from pipelines.records import ImageFile
from pipelines.threads import map_ahead


def naive_loop(bundle: Bundle, paths: list[str], batch_size: int) -> None:
    """Decode a batch, then caption it: one thread, nothing overlaps."""
    for start in range(0, len(paths), batch_size):
        reads = [
            read_image(ImageFile(path, path, 0), bundle.config.image, hashed=True)
            for path in paths[start : start + batch_size]
        ]
        bundle.caption(np.stack([read.decoded.pixels for read in reads if read.decoded]))


def decode_only(bundle: Bundle, paths: list[str]) -> None:
    for _ in map_ahead(
        lambda path: read_image(ImageFile(path, path, 0), bundle.config.image, hashed=True), paths
    ):
        pass


def caption_only(bundle: Bundle, count: int, batch_size: int) -> None:
    size_px = bundle.config.image.image_size_px
    pixels = np.random.default_rng(1).integers(0, 256, (batch_size, size_px, size_px, 3), np.uint8)
    for _ in range(0, count, batch_size):
        bundle.caption(pixels)


def pipeline(folder: str, paths: list[str], batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as output:
        manifest = Path(f"{output}/images.txt")
        manifest.write_text("\n".join(str(Path(path).resolve()) for path in paths))
        options = ["--bundle", folder, "--input", str(manifest), "--output", f"{output}/captions"]
        assert captioner(["caption", *options, "--batch-size", str(batch_size)]) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--images", required=True, help="quoted glob")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    bundle = Bundle(Path(options.bundle))
    contenders: dict[str, Callable[[], None]] = {
        "read and decode": lambda: decode_only(bundle, paths),
        "caption (model alone)": lambda: caption_only(bundle, len(paths), options.batch_size),
        "naive loop": lambda: naive_loop(bundle, paths, options.batch_size),
        "pipeline, start-up included": lambda: pipeline(options.bundle, paths, options.batch_size),
    }
    caption_only(bundle, options.batch_size, options.batch_size)  # traces the graph
    seconds = alternate(contenders, options.rounds)
    print(f"{len(paths)} images, batches of {options.batch_size}, medians of {options.rounds}")
    for name, value in seconds.items():
        print(f"  {name:<30} {len(paths) / value:8.1f} images/s")


if __name__ == "__main__":
    main()
