"""Beam search inside the graph against a Python loop that re-runs the decoder on the prefix.

    python -m benchmarks.generation --run work/run --images 32

Both search with the same beam over the same features of the same pictures; the plain loop is what
tutorials show: it holds beams in lists and calls the model on every growing prefix. Also told: the
time of the image encoder on as many pictures.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.measure import alternate
from model.captioner import Captioner
from model.config import SamplerConfig
from model.run_folder import restore_captioner
from model.samplers import make_sampler
from model.vocabulary import END, START, UNWRITABLE


def plain_beam_search(
    captioner: Captioner, grid: np.ndarray, width: int, max_length: int, alpha: float
) -> list[int]:
    """The best caption of one picture, `grid [1, P, C]`."""
    live, ended = [([START], 0.0)], []
    for _ in range(max_length):
        grown = []
        for tokens, total in live:
            logits = captioner({"grid": grid, "token_ids": np.array([[tokens]])}).logits
            log_probs = np.asarray(tf.nn.log_softmax(logits[0, 0, -1])).copy()
            log_probs[list(UNWRITABLE)] = -1e9
            for token in np.argsort(log_probs)[-width - 1 :]:
                grown.append(([*tokens, int(token)], total + float(log_probs[token])))
        grown.sort(key=lambda pair: -pair[1])
        ended += [pair for pair in grown if pair[0][-1] == END]
        live = [pair for pair in grown if pair[0][-1] != END][:width]
        ended = sorted(ended, key=lambda p: -p[1] / (len(p[0]) - 1) ** alpha)[:width]
    return ended[0][0][1:] if ended else live[0][0][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--plain-images", type=int, default=4, help="of them, in the plain loop")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    captioner, config, _ = restore_captioner(options.run)
    sampler_config, length = SamplerConfig(beam_width=3), config.train.max_length
    alpha = sampler_config.length_normalisation
    size_px, count = config.image.image_size_px, options.images
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size_px, size_px, 3), np.uint8)
    encode = tf.function(captioner.encode)
    sampler = make_sampler(sampler_config, length)
    search = tf.function(lambda grid: captioner.write(captioner.look(grid)[0], sampler).token_ids)
    grid = encode(images)
    search(grid)
    few = [grid[i : i + 1].numpy() for i in range(options.plain_images)]

    def plain() -> None:
        for one in few:
            plain_beam_search(captioner, one, sampler_config.beam_width, length, alpha)

    seconds = alternate(
        {
            "plain loop": plain,
            "in the graph": lambda: search(grid),
            "encode": lambda: encode(images),
        },
        options.rounds,
    )
    each = {
        "plain loop": seconds["plain loop"] / len(few),
        "in the graph": seconds["in the graph"] / count,
        "encode": seconds["encode"] / count,
    }
    print(f"beam of {sampler_config.beam_width}, batch of {count}, medians of {options.rounds}")
    for name, value in each.items():
        print(f"  {name:<14} {1e3 * value:8.1f} ms an image  {each['plain loop'] / value:6.1f} x")


if __name__ == "__main__":
    main()
