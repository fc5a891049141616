"""Captioning against loops without Beam, full-size photographs, and growth with the archive.

    python -m benchmarks.captioning loops --bundle work/bundle --images 'photographs/*.jpg'
    python -m benchmarks.captioning photographs --bundle work/bundle
    python -m benchmarks.captioning growth --bundle demo/bundle --counts 2000 50000

Every contender is a process of its own, run in turn on the same files and bundle. Each runs on all
files and on the first few: the difference gives its rate after start-up, and what the few take
beyond that rate is its start-up. Medians are printed.
"""

import argparse
import functools
import glob
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import alternate, engines_of, peak_memory
from model.engine import AUTO, TENSORFLOW, choose_engine

_BATCH, _FEW = 32, 64
_FULL_SIZE_PX = (4000, 3000)
_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def naive_loop(bundle: str, paths: Sequence[str]) -> None:
    """One process: decode a batch, then caption it, by the bundle as exported."""
    import tensorflow as tf

    from model.bundle_folder import SIGNATURE, read_bundle_config
    from model.image import decode_image

    image = read_bundle_config(Path(bundle)).image
    loaded = tf.saved_model.load(bundle)
    caption = loaded.signatures[SIGNATURE]
    for start in range(0, len(paths), _BATCH):
        batch = [decode_image(Path(p).read_bytes(), image) for p in paths[start : start + _BATCH]]
        caption(images=tf.constant(np.stack([decoded.pixels for decoded in batch])))


def decode_in_full(bundle: str, paths: Sequence[str]) -> None:
    """As `naive_loop`, but Pillow decodes all pixels of a file before it makes them fewer."""
    import tensorflow as tf
    from PIL import Image

    from model.bundle_folder import SIGNATURE, read_bundle_config

    size_px = read_bundle_config(Path(bundle)).image.image_size_px
    loaded = tf.saved_model.load(bundle)
    caption = loaded.signatures[SIGNATURE]
    for start in range(0, len(paths), _BATCH):
        pictures = [Image.open(path).convert("RGB") for path in paths[start : start + _BATCH]]
        small = [p.resize((size_px, size_px), Image.Resampling.BILINEAR) for p in pictures]
        caption(images=tf.constant(np.stack([np.asarray(picture) for picture in small])))


def _best_of(bundle: str, paths: Sequence[str]) -> None:
    from model.bundle import Bundle
    from model.image import decode_image
    from pipelines.allocator import keep_freed_memory
    from pipelines.threads import map_ahead

    keep_freed_memory()
    # The pipeline's own default.
    loaded = Bundle(Path(bundle), choose_engine(TENSORFLOW, AUTO))
    image = loaded.config.image
    batch: list[np.ndarray] = []
    for decoded in map_ahead(lambda path: decode_image(Path(path).read_bytes(), image), paths):
        batch.append(decoded.pixels)
        if len(batch) == _BATCH:
            loaded.caption(np.stack(batch))
            batch.clear()
    if batch:
        loaded.caption(np.stack(batch))


def best_loop(bundle: str, paths: Sequence[str]) -> None:
    """A process for each core, TensorFlow with one thread in each, decoding beside it."""
    os.environ.update(_ONE_THREAD)
    count = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    parts = [context.Process(target=_best_of, args=(bundle, paths[i::count])) for i in range(count)]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    assert all(part.exitcode == 0 for part in parts)


LOOPS: dict[str, Callable[[str, Sequence[str]], None]] = {
    loop.__name__: loop for loop in (naive_loop, decode_in_full, best_loop)
}


def run_loop(name: str, bundle: str, manifest: Path, count: int) -> None:
    line = [sys.executable, "-m", "benchmarks.captioning", "--loop", name, "--bundle", bundle]
    command = [*line, "--manifest", str(manifest), "--count", str(count)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def pipeline_command(bundle: str, manifest: Path, count: int, output: str) -> list[str]:
    line = [sys.executable, "-m", "pipelines.cli", "caption", "--bundle", bundle]
    return [*line, "--input", str(manifest), "--output", output, "--limit", str(count)]


def run_pipeline(
    bundle: str, manifest: Path, count: int, processes: int = 1, engine: str = TENSORFLOW
) -> None:
    """The command; with several processes the model has one thread in each."""
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        command = pipeline_command(bundle, manifest, count, f"{folder}/captions")
        command += ["--engine", engine]
        if processes > 1:
            environment |= _ONE_THREAD
            workers = f"--direct_num_workers={processes}"
            command += ["--", "--direct_running_mode=multi_processing", workers]
        subprocess.run(
            command,
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def compare(
    contenders: dict[str, Callable[[int], None]], count: int, rounds: int
) -> dict[str, float]:
    """Prints start-up and rate of each contender; returns the rates, in images/s."""
    if count <= _FEW:  # start-up is what as many take
        raise SystemExit(f"got {count} images, expected more than {_FEW}")
    runs = {
        (name, number): (lambda contender=contender, number=number: contender(number))
        for name, contender in contenders.items()
        for number in (_FEW, count)
    }
    named = {f"{name} {number}": run for (name, number), run in runs.items()}
    seconds = alternate(named, rounds)
    rates = {}
    print(f"{count} images, batches of {_BATCH}, medians of {rounds}")
    for name in contenders:
        few, all_of_them = seconds[f"{name} {_FEW}"], seconds[f"{name} {count}"]
        rates[name] = (count - _FEW) / (all_of_them - few)
        start_up = few - _FEW / rates[name]
        print(f"  {name:<28} {rates[name]:8.1f} images/s after a start-up of {start_up:5.1f} s")
    return rates


def write_manifest(folder: str, paths: Sequence[str]) -> Path:
    manifest = Path(folder) / "images.txt"
    manifest.write_text("".join(f"{Path(path).resolve()}\n" for path in paths), encoding="utf-8")
    return manifest


def measure_loops(options: argparse.Namespace) -> None:
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    cores, bundle = os.cpu_count() or 1, options.bundle
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_manifest(folder, paths)
        contenders: dict[str, Callable[[int], None]] = {
            "(a) naive loop": lambda n: run_loop("naive_loop", bundle, manifest, n),
            "(b) best bare loop": lambda n: run_loop("best_loop", bundle, manifest, n),
            "pipeline": lambda n: run_pipeline(bundle, manifest, n),
            f"pipeline, {cores} processes": lambda n: run_pipeline(bundle, manifest, n, cores),
        }
        contenders |= {
            f"by {name}, {cores} processes": functools.partial(
                run_pipeline, bundle, manifest, processes=cores, engine=name
            )
            for name in engines_of(Path(bundle))
            if name != TENSORFLOW
        }
        rates = compare(contenders, len(paths), options.rounds)
    naive, best, *pipelines = rates
    for name in pipelines:
        of_naive, of_best = rates[name] / rates[naive], rates[name] / rates[best]
        print(f"  {name}: {of_best:.2f} of (b), {of_naive:.2f} of (a)")


def draw_photograph(path: Path, seed: int) -> None:
    """A JPEG of 12 megapixels with edges and grain."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize(_FULL_SIZE_PX, Image.Resampling.BICUBIC)
    grain = rng.integers(0, 16, (*_FULL_SIZE_PX[::-1], 1), dtype=np.uint8)
    Image.fromarray(np.asarray(picture) // 2 + grain).save(path, quality=90)


def measure_photographs(options: argparse.Namespace) -> None:
    bundle = options.bundle
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{i:05d}.jpg" for i in range(options.count)]
        for i, path in enumerate(paths):
            if i < options.drawn:
                draw_photograph(Path(path), i)
            else:
                os.link(paths[i % options.drawn], path)
        manifest = write_manifest(folder, paths)
        contenders: dict[str, Callable[[int], None]] = {
            "loop that decodes in full": lambda n: run_loop("decode_in_full", bundle, manifest, n),
            "pipeline": lambda n: run_pipeline(bundle, manifest, n),
        }
        full, pipeline = compare(contenders, len(paths), options.rounds).values()
    print(f"  pipeline / loop: {pipeline / full:.2f}")


def measure_growth(options: argparse.Namespace) -> None:
    """Links to the same small pictures, so that only their number grows."""
    from PIL import Image

    if min(options.counts) <= _FEW:
        raise SystemExit(f"--counts: got {min(options.counts)}, expected more than {_FEW}")
    rng, drawn = np.random.default_rng(1), 100
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{i:07d}.jpg" for i in range(max(options.counts))]
        for i, path in enumerate(paths):
            if i < drawn:
                Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
            else:
                os.link(paths[i % drawn], path)
        manifest = write_manifest(folder, paths)
        few, _ = peak_memory(pipeline_command(options.bundle, manifest, _FEW, f"{folder}/few"))
        found = []
        for count in options.counts:
            output = f"{folder}/captions-{count}"
            command = pipeline_command(options.bundle, manifest, count, output)
            seconds, peak = peak_memory(command)
            each = (seconds - few) / (count - _FEW)
            found.append((each, peak))
            print(f"{count} images: {1000 * each:.2f} ms an image, {peak / 2**20:.0f} MiB")
    (each, peak), (later, higher) = found[0], found[-1]
    print(f"time an image {later / each:.2f} x, memory {higher / peak:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = ("loops", "photographs", "growth")
    parser.add_argument("what", choices=what, nargs="?", default="loops")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--images", help="loops: quoted glob")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 50_000], help="growth")
    parser.add_argument("--drawn", type=int, default=20, help="photographs drawn; the rest: links")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--manifest", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        paths = options.manifest.read_text(encoding="utf-8").splitlines()[: options.count]
        LOOPS[options.loop](options.bundle, paths)
        return
    measures = (measure_loops, measure_photographs, measure_growth)
    dict(zip(what, measures, strict=True))[options.what](options)


if __name__ == "__main__":
    main()
