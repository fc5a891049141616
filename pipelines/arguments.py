"""Options of the pipelines' commands. Imports no framework: see `model.arguments`."""

import argparse

from model.config import ImageConfig, add_options

_BEAM = "Options of Apache Beam go after '--', e.g. '-- --runner=DirectRunner'."


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"captioner {name}", description=description, allow_abbrev=False
    )


def preprocess_parser() -> argparse.ArgumentParser:
    """Options of ``captioner preprocess``."""
    parser = _parser("preprocess", f"Captions and images to TFRecords and a vocabulary. {_BEAM}")
    parser.add_argument(
        "--captions", required=True, help="a Flickr8k token file or a COCO captions JSON file"
    )
    parser.add_argument("--images", required=True, help="folder or quoted glob of the images")
    parser.add_argument("--output", required=True, help="folder of the dataset")
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}-list", help=f"file of the {split} images, a name a line")
    parser.add_argument(
        "--split-ratios", help="train,validation,test by hash of the name (default: 0.8,0.1,0.1)"
    )
    parser.add_argument(
        "--min-count", type=int, default=5, help="least count of a word in train (default: 5)"
    )
    parser.add_argument(
        "--images-per-shard", type=int, default=512, help="images in a TFRecord (default: 512)"
    )
    add_options(parser, ImageConfig)
    return parser


def caption_parser() -> argparse.ArgumentParser:
    """Options of ``captioner caption``."""
    parser = _parser("caption", f"Caption an archive into Parquet; run again to finish. {_BEAM}")
    parser.add_argument("--bundle", required=True, help="folder made by captioner export")
    parser.add_argument(
        "--input", required=True, action="append", help="folder or quoted glob; may be repeated"
    )
    parser.add_argument("--output", required=True, help="folder of the captions")
    parser.add_argument(
        "--unit-size", type=int, default=256, help="images in a file of captions (default: 256)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, help="images in a step of the model (default: 32)"
    )
    parser.add_argument(
        "--max-reject-ratio",
        type=float,
        default=0.1,
        help="exit with status 3 if a larger share of images is rejected (default: 0.1)",
    )
    return parser


def report_parser() -> argparse.ArgumentParser:
    """Options of ``captioner report``."""
    parser = _parser("report", "A page to look at: thumbnails, captions, scores, rejects.")
    parser.add_argument("--captions", required=True, help="folder made by captioner caption")
    parser.add_argument("--output", required=True, help="the HTML file to write")
    parser.add_argument(
        "--limit", type=int, default=200, help="most captions, and most rejects (default: 200)"
    )
    return parser


def demo_parser() -> argparse.ArgumentParser:
    """Options of ``captioner demo``."""
    parser = _parser("demo", "All commands in a row on generated pictures.")
    parser.add_argument("--output", default="demo", help="folder of the demo (default: demo)")
    parser.add_argument(
        "--scenes", type=int, default=6000, help="scenes to train on (default: 6000)"
    )
    parser.add_argument("--epochs", type=int, default=7, help="epochs to train (default: 7)")
    return parser
