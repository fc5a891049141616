"""Images per second of a bundle by engine: as it was saved, frozen, its encoder by OpenVINO.

    python -m benchmarks.engines --bundle work/bundle --images 'photographs/*.jpg'

The bundle is one of ``captioner export --engine openvino``. All contenders caption the same decoded
pictures in turn, `--rounds` times, in one process of `--threads`; medians are printed, and on how
many pictures each says what the bundle says as it was saved.
"""

import argparse
import glob
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate
from model.bundle import Bundle, to_captions
from model.bundle_folder import SIGNATURE, ImageCaptions
from model.engine import ENGINES, Engine
from pipelines.images import read_image
from pipelines.records import ImageFile
from pipelines.threads import map_ahead

Captioner = Callable[[np.ndarray], list[ImageCaptions]]


def as_saved(folder: Path) -> Captioner:
    loaded = tf.saved_model.load(str(folder))

    def caption(images: np.ndarray) -> list[ImageCaptions]:
        outputs = loaded.signatures[SIGNATURE](images=tf.constant(images))
        return to_captions(outputs, len(images))

    return caption


def read_batches(bundle: Bundle, pattern: str, count: int, size: int) -> list[np.ndarray]:
    paths = sorted(glob.glob(pattern, recursive=True))[:count]
    reads = map_ahead(lambda path: read_image(ImageFile(path, path, 0), bundle.config.image), paths)
    pixels = [read.decoded.pixels for read in reads if read.decoded]
    return [np.stack(pixels[start : start + size]) for start in range(0, len(pixels), size)]


def best_captions(caption: Captioner, batches: list[np.ndarray]) -> list[str]:
    return [result.captions[0].text for batch in batches for result in caption(batch)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", required=True, help="quoted glob")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    bundles = {engine: Bundle(options.bundle, Engine(engine)) for engine in ENGINES}
    contenders: dict[str, Captioner] = {"as saved": as_saved(options.bundle)}
    contenders |= {engine: bundle.caption for engine, bundle in bundles.items()}
    batches = read_batches(bundles["tensorflow"], options.images, options.count, options.batch_size)
    # What it says is wanted, and graphs are traced meanwhile.
    said = {name: best_captions(caption, batches) for name, caption in contenders.items()}
    seconds = alternate(
        {name: partial(best_captions, caption, batches) for name, caption in contenders.items()},
        options.rounds,
    )
    first, *_ = said.values()
    print(
        f"{len(first)} images, batches of {options.batch_size}, {options.threads} threads, medians "
        f"of {options.rounds}"
    )
    for name, value in seconds.items():
        same = sum(one == other for one, other in zip(said[name], first, strict=True))
        print(
            f"  {name:<12} {len(first) / value:8.1f} images/s "
            f"{seconds['as saved'] / value:6.2f} x  the same caption of {same} images"
        )


if __name__ == "__main__":
    main()
