"""What a dataset would lose and save if it stored JPEG in place of PNG.

    python -m benchmarks.pixels --images 'photographs/*.jpg' --encoder-weights FILE

Every picture is decoded to 224 px, stored in each way, and read back.
"""

import argparse
import glob
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from model.config import ImageConfig
from model.image import decode_image, encode_png
from model.image_encoder import ImageEncoder

_CONFIG = ImageConfig(224)
_QUALITIES = (85, 95, 100)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="quoted glob")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--encoder", default="MobileNetV2")
    parser.add_argument("--encoder-weights", default="imagenet")
    options = parser.parse_args()
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    encoder = ImageEncoder(options.encoder, options.encoder_weights, _CONFIG.image_size_px)
    pictures = [decode_image(Path(path).read_bytes(), _CONFIG).pixels for path in paths]
    exact = [np.asarray(encoder(picture[np.newaxis])) for picture in pictures]
    size = sum(float(np.square(grid).sum()) for grid in exact)
    ways = {"PNG": encode_png}
    for quality in _QUALITIES:
        ways[f"JPEG {quality}, 4:4:4"] = lambda pixels, quality=quality: jpeg(pixels, quality)
    print(f"{len(paths)} pictures, features of {options.encoder}")
    for name, encode in ways.items():
        started = time.process_time()
        files = [encode(picture) for picture in pictures]
        spent = time.process_time() - started
        stored = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
        levels = [np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, stored, strict=True)]
        wrong = sum(
            float(np.square(np.asarray(encoder(pixels[np.newaxis])) - grid).sum())
            for pixels, grid in zip(stored, exact, strict=True)
        )
        print(
            f"  {name:<18} {np.mean([len(f) for f in files]) / 1000:7.1f} kB  "
            f"{1000 * spent / len(paths):6.2f} ms to encode  {np.mean(levels):6.3f} levels off  "
            f"features {100 * np.sqrt(wrong / size):6.2f} % off"
        )


if __name__ == "__main__":
    main()
