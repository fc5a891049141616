"""Images per second of a model by engine: as it was saved, frozen, OpenVINO, ONNX Runtime.

    python -m benchmarks.engines --bundle work/bundle --images 'photographs/*.jpg'

    python -m benchmarks.engines --bundle work/bundle --dataset work/dataset

A bundle exported for another engine is computed by both that are installed. All contenders caption
the same decoded pictures in turn, `--rounds` times, each in a process of its own of `--threads`;
told are medians, and of how many pictures each says what the bundle says as it was saved; in
bfloat16 too, where this CPU has it. The pictures of a dataset are its validation split's; CIDEr is
told.
"""

import argparse
import glob
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate, engines_of
from model.bundle import to_captions
from model.bundle_folder import SIGNATURE, ImageCaptions, read_bundle_config
from model.config import ImageConfig
from model.dataset import read_dataset_info, read_split
from model.engine import AUTO, ONNXRUNTIME, Engine, read_cpu_info, wants_bfloat16
from model.metrics import score_captions
from model.open_bundle import open_bundle
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


def read_pictures(config: ImageConfig, options: argparse.Namespace) -> Iterator[np.ndarray]:
    """The decoded pictures of the dataset's validation split, or of files."""
    if options.dataset:
        examples = read_split(options.dataset, "validation", read_dataset_info(options.dataset))
        yield from (example["image"].numpy() for example in examples.take(options.count))
        return
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    reads = map_ahead(lambda path: read_image(ImageFile(path, path, 0), config), paths)
    yield from (read.decoded.pixels for read in reads if read.decoded)


def cider(said: list[str], dataset: Path) -> float:
    """CIDEr of captions of the first pictures of the validation split, times 100."""
    examples = read_split(dataset, "validation", read_dataset_info(dataset)).take(len(said))
    references = [
        [caption.decode() for caption in example["captions"].numpy()] for example in examples
    ]
    named = {str(number): captions for number, captions in enumerate(references)}
    candidates = dict(zip(named, said, strict=True))
    return 100 * score_captions(candidates, named).values()["cider"]


def contend(ours: Connection, options: argparse.Namespace, engine: Engine | None) -> None:
    """Captions the pictures whenever it is asked to, and answers with the best captions."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    bundle = options.bundle
    caption = open_bundle(bundle, engine).caption if engine else as_saved(bundle)
    pixels = list(read_pictures(read_bundle_config(bundle).image, options))
    size = options.batch_size
    batches = [np.stack(pixels[start : start + size]) for start in range(0, len(pixels), size)]
    while ours.recv():
        ours.send([result.captions[0].text for batch in batches for result in caption(batch)])


def start(options: argparse.Namespace, engine: Engine | None) -> Callable[[bool], list[str]]:
    """A contender in a process of its own: threads are those of a whole process."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(
        target=contend, args=(theirs, options, engine), daemon=True
    ).start()
    theirs.close()  # else nobody would be told that the process died

    def ask(again: bool = True) -> list[str]:
        ours.send(again)
        return ours.recv() if again else []

    return ask


def find_engines(bundle: Path) -> Iterator[tuple[str, Engine]]:
    """Engines that can compute `bundle` here, and their names."""
    for name in engines_of(bundle):
        yield name, Engine(name)
        if name != ONNXRUNTIME and wants_bfloat16(AUTO, read_cpu_info()):
            yield f"{name}, bfloat16", Engine(name, bfloat16=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", help="quoted glob")
    pictures.add_argument("--dataset", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    contenders = {"as saved": start(options, None)}
    contenders |= {name: start(options, engine) for name, engine in find_engines(options.bundle)}
    # What it says is wanted, and graphs are traced meanwhile.
    said = {name: ask() for name, ask in contenders.items()}
    seconds = alternate(contenders, options.rounds)
    for ask in contenders.values():
        ask(again=False)
    first, *_ = said.values()
    print(
        f"{len(first)} images, batches of {options.batch_size}, {options.threads} threads, medians "
        f"of {options.rounds}"
    )
    for name, value in seconds.items():
        same = sum(one == other for one, other in zip(said[name], first, strict=True))
        print(
            f"  {name:<21} {len(first) / value:8.1f} images/s "
            f"{seconds['as saved'] / value:6.2f} x  the same caption of {same} images"
            + (f", CIDEr {cider(said[name], options.dataset):.2f}" if options.dataset else "")
        )


if __name__ == "__main__":
    main()
