"""Images per second of a model by engine: as it was saved, frozen, OpenVINO, ONNX Runtime.

    python -m benchmarks.engines --bundle work/bundle --images 'photographs/*.jpg'

    python -m benchmarks.engines --bundle work/bundle --dataset work/dataset

A bundle exported for another engine is computed by both that are installed, and in bfloat16 too,
where this CPU has it. All contenders, each in a process of its own of `--threads`, caption the same
decoded pictures in turn, `--rounds` times, and then tell their tags alone, which takes all but the
search. Told are medians, and of how many pictures each says what the bundle says as it was saved.
The pictures of a dataset are its validation split's; CIDEr is told, over `--views` of each: what
rounding changes is chance, which few pictures do not even out.
"""

import argparse
import functools
import glob
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate, engines_of
from model.bootstrap import difference_intervals
from model.bundle import to_captions
from model.bundle_folder import SIGNATURE, TAGS_SIGNATURE, ImageCaptions, read_bundle_config
from model.config import ImageConfig
from model.dataset import read_dataset_info, read_split
from model.engine import AUTO, ONNXRUNTIME, Engine, read_cpu_info, wants_bfloat16
from model.measures import Measure
from model.metrics import score_captions
from model.open_bundle import open_bundle
from model.views import make_views
from pipelines.images import read_image
from pipelines.records import ImageFile
from pipelines.threads import map_ahead


class AsSaved:
    """A bundle as anybody loads it: its signatures, unfrozen."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))

    def caption(self, images: np.ndarray) -> list[ImageCaptions]:
        outputs = self._loaded.signatures[SIGNATURE](images=tf.constant(images))
        return to_captions(outputs, len(images))

    def tag(self, images: np.ndarray) -> np.ndarray:
        (scores,) = self._loaded.signatures[TAGS_SIGNATURE](images=tf.constant(images)).values()
        return scores.numpy()


def read_pictures(config: ImageConfig, options: argparse.Namespace) -> Iterator[np.ndarray]:
    """The decoded pictures of the dataset's validation split, or of files."""
    if options.dataset:
        examples = read_split(options.dataset, "validation", read_dataset_info(options.dataset))
        yield from (example["image"].numpy() for example in examples.take(options.count))
        return
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    reads = map_ahead(lambda path: read_image(ImageFile(path, path, 0), config), paths)
    yield from (read.decoded.pixels for read in reads if read.decoded)


def cider(said: list[str], dataset: Path, views: int) -> Measure:
    """CIDEr of captions of views of the first pictures of the validation split, one after another.

    Tokenised without Java, which would be asked for METEOR too.
    """
    pictures = len(said) // views
    examples = read_split(dataset, "validation", read_dataset_info(dataset)).take(pictures)
    references = (
        [caption.decode() for caption in example["captions"].numpy()] for example in examples
    )
    seen = (captions for captions in references for _ in range(views))
    named = {str(number): captions for number, captions in enumerate(seen)}
    candidates = dict(zip(named, said, strict=True))
    scores = score_captions(candidates, named, tokeniser="python")
    (measure,) = (measure for measure in scores.measures if measure.names == ("cider",))
    return measure


def tell_cider(measure: Measure, first: Measure) -> str:
    """CIDEr, times 100, and by how much it differs from that of the bundle as it was saved."""
    value, before = (100 * each.scores()["cider"] for each in (measure, first))
    low, high = (100 * end for end in difference_intervals(first, measure)["cider"])
    return f", CIDEr {value:.2f} ({value - before:+.2f} [{low:+.2f}, {high:+.2f}])"


def batch_views(pixels: list[np.ndarray], views: int, size: int) -> Iterator[np.ndarray]:
    """Batches `uint8[B, H, W, 3]` of so many views of each picture, one after another."""
    made = (make_views(picture, views, seed) for seed, picture in enumerate(pixels))
    seen = itertools.chain.from_iterable(made)
    while batch := list(itertools.islice(seen, size)):
        yield np.stack(batch)


def contend(ours: Connection, options: argparse.Namespace, engine: Engine | None) -> None:
    """Does as `start` tells."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(options.threads)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    bundle = open_bundle(options.bundle, engine) if engine else AsSaved(options.bundle)
    pixels = list(read_pictures(read_bundle_config(options.bundle).image, options))
    while (views := ours.recv()) is not None:
        said = []
        for batch in batch_views(pixels, max(views, 1), options.batch_size):
            if views:
                said += [result.captions[0].text for result in bundle.caption(batch)]
            else:
                bundle.tag(batch)
        ours.send(said)


def start(options: argparse.Namespace, engine: Engine | None) -> Callable[[int | None], list[str]]:
    """A contender in a process of its own: threads are those of a whole process.

    Returns:
        What asks it for the best captions of so many views of each picture; of none for nothing
        but their tags, which takes all but a search; None ends it.
    """
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(
        target=contend, args=(theirs, options, engine), daemon=True
    ).start()
    theirs.close()  # else nobody would be told that the process died

    def ask(views: int | None) -> list[str]:
        ours.send(views)
        return [] if views is None else ours.recv()

    return ask


def time_contenders(
    contenders: Mapping[str, Callable[[int | None], list[str]]], views: int, rounds: int
) -> dict[str, float]:
    """Median seconds of each, asked in turn."""
    asks = {name: functools.partial(ask, views) for name, ask in contenders.items()}
    return alternate(asks, rounds)


def find_engines(bundle: Path) -> Iterator[tuple[str, Engine]]:
    """Engines that can compute `bundle` here, and their names."""
    for name in engines_of(bundle):
        yield name, Engine(name)
        if name != ONNXRUNTIME and wants_bfloat16(AUTO, read_cpu_info()):
            yield f"{name}, bfloat16", Engine(name, bfloat16=True)


def tell(
    options: argparse.Namespace,
    said: Mapping[str, list[str]],
    seconds: Mapping[str, float],
    seeing: Mapping[str, float],
) -> None:
    """Prints a line a contender: what each said, in how long, and in how long without a search."""
    first, *_ = said.values()
    count = len(first) // options.views
    print(
        f"{count} images, batches of {options.batch_size}, {options.threads} threads, medians "
        f"of {options.rounds}; captions of {options.views} views of each"
    )
    measures = {}
    if options.dataset:
        measures = {name: cider(said[name], options.dataset, options.views) for name in said}
    for name, value in seconds.items():
        line = f"  {name:<20} {count / value:7.1f} images/s {seconds['as saved'] / value:6.2f} x"
        if name in seeing:
            searched, seen = (1e3 * each / count for each in (value - seeing[name], seeing[name]))
            line += f"  tags {seen:.1f}, search {searched:.1f} ms an image"
        same = sum(one == other for one, other in zip(said[name], first, strict=True))
        line += f"  the same caption of {100 * same / len(first):.1f}%"
        if measures:
            line += tell_cider(measures[name], measures["as saved"])
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", help="quoted glob")
    pictures.add_argument("--dataset", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    contenders = {"as saved": start(options, None)}
    contenders |= {name: start(options, engine) for name, engine in find_engines(options.bundle)}
    # What it says is wanted, and graphs are traced meanwhile.
    said = {name: ask(options.views) for name, ask in contenders.items()}
    seconds = time_contenders(contenders, 1, options.rounds)
    seeing = {}
    if read_bundle_config(options.bundle).concepts:
        # ONNX Runtime computes all there is, whatever is asked of it.
        able = {name: ask for name, ask in contenders.items() if name != ONNXRUNTIME}
        time_contenders(able, 0, 1)  # graphs are traced
        seeing = time_contenders(able, 0, options.rounds)
    for ask in contenders.values():
        ask(None)
    tell(options, said, seconds, seeing)


if __name__ == "__main__":
    main()
