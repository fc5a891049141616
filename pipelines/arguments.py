"""Options of the pipelines' commands. Imports no framework: see `model.arguments`."""

import argparse

from model.arguments import add_engine_options, make_parser
from model.artifacts import SPLITS
from model.config import ImageConfig, SamplerConfig
from model.engine import AUTO
from model.options import add_options

CAPTION_FORMATS = (
    "flickr",
    "coco",
    "karpathy",
    "csv",
    "tsv",
    "jsonl",
    "parquet",
    "webdataset",
    "captions",
)
_BEAM = "Options of Apache Beam go after '--', e.g. '-- --runner=DirectRunner'."


def preprocess_parser() -> argparse.ArgumentParser:
    """Options of ``captioner preprocess``."""
    parser = make_parser(
        "preprocess", f"Captions and images to TFRecords and a vocabulary. {_BEAM}"
    )
    parser.add_argument(
        "--captions",
        required=True,
        action="append",
        help="captions file (COCO, Karpathy, Flickr8k, CSV, TSV, JSONL, Parquet), WebDataset tar, "
        "or folder made by captioner caption; a quoted glob; may be repeated",
    )
    parser.add_argument(
        "--images",
        action="append",
        help="folder, quoted glob, tar, zip, Parquet, or manifest; may be repeated, and left out "
        "where the captions hold their pictures. A picture's name is its path in there; where "
        "captions call none so, the longest end of its whole path that they have",
    )
    parser.add_argument(
        "--images-column",
        help="column of paths or of pictures in the tables of --images (default: found)",
    )
    _add_read_timeout(parser)
    parser.add_argument("--output", required=True, help="folder of the dataset")
    _add_caption_options(parser.add_argument_group("captions"))
    _add_split_options(parser.add_argument_group("splits"))
    _add_text_options(parser.add_argument_group("text"))
    _add_feature_options(parser.add_argument_group("features"))
    parser.add_argument(
        "--shard-mib", type=int, default=128, help="bound of a TFRecord in MiB (default: 128)"
    )
    add_options(parser, ImageConfig)
    return parser


def _add_caption_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format", choices=CAPTION_FORMATS, help="format of the captions (default: detected)"
    )
    for name in ("image", "caption", "split"):
        group.add_argument(f"--{name}-column", help=f"column of the {name}s in a table of captions")
    group.add_argument(
        "--min-score",
        type=float,
        help="of captions made by captioner caption, take those of at least this score",
    )


def _add_split_options(group: argparse._ArgumentGroup) -> None:
    for split in SPLITS:
        group.add_argument(f"--{split}-list", help=f"file of the {split} images, a name a line")
    group.add_argument(
        "--split-ratios",
        help="train,validation,test by hash of the name (default: as the captions say, or "
        "0.8,0.1,0.1)",
    )
    group.add_argument(
        "--near-duplicates",
        choices=("report", "drop"),
        default="report",
        help="what to do with pictures that nearly are in another split too (default: report)",
    )


def _add_text_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--min-count", type=int, default=5, help="least count of a word in train (default: 5)"
    )
    group.add_argument("--vocabulary-size", type=int, help="most tokens (default: no bound)")
    group.add_argument("--keep-case", action="store_true", help="do not make words lower case")


def _add_feature_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--encoder",
        help="store the features of this frozen keras.applications network (default: none)",
    )
    group.add_argument(
        "--encoder-weights", help="its weights: 'imagenet' or a file (default: imagenet)"
    )
    group.add_argument(
        "--crops", type=int, help="views stored of each training picture (default: 1)"
    )


def caption_parser() -> argparse.ArgumentParser:
    """Options of ``captioner caption``."""
    parser = make_parser(
        "caption", f"Caption an archive into Parquet; run again to finish. {_BEAM}"
    )
    _add_archive_options(parser)
    parser.add_argument("--output", required=True, help="folder of the captions")
    _add_work_options(parser)
    parser.add_argument(
        "--max-reject-ratio",
        type=float,
        default=0.1,
        help="exit with status 3 if a larger share of images is rejected (default: 0.1)",
    )
    _add_selection_options(parser.add_argument_group("which images"))
    _add_model_options(parser)
    return parser


def plan_parser() -> argparse.ArgumentParser:
    """Options of ``captioner plan``."""
    parser = make_parser(
        "plan",
        "What captioning an archive would take: captions a sample of it on this machine, and tells "
        "the hours, bytes and cost of all of it. Nothing is kept.",
    )
    _add_archive_options(parser)
    _add_work_options(parser)
    parser.add_argument(
        "--sample-images",
        type=int,
        default=256,
        help="images to measure, from all over the archive (default: 256)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[1, 8, 100],
        help="numbers of workers like this machine (default: 1 8 100)",
    )
    parser.add_argument(
        "--price-per-worker-hour",
        type=float,
        help="price of a worker for an hour, in any currency (default: no cost is told)",
    )
    _add_model_options(parser)
    return parser


def _add_archive_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", required=True, help="folder made by captioner export")
    parser.add_argument(
        "--input",
        required=True,
        action="append",
        help="folder, quoted glob, tar, zip, Parquet, or manifest; may be repeated",
    )
    parser.add_argument(
        "--image-column", help="column of paths or of pictures in tables (default: found)"
    )


def _add_work_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit-size", type=int, default=256, help="images in a file of captions (default: 256)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, help="images in a step of the model (default: 32)"
    )
    _add_read_timeout(parser)


def _add_read_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--read-timeout-sec",
        type=float,
        default=300.0,
        help="reject an image that takes longer to read and decode (default: 300)",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    _add_row_options(parser.add_argument_group("what is kept of a caption"))
    add_engine_options(parser.add_argument_group("what computes the model"), AUTO)
    _add_decoding_options(parser)


def _add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Options that, where they are given, take the place of what the bundle was exported with."""
    exported = "as exported"
    parser.add_argument(
        "--max-length",
        type=int,
        default=argparse.SUPPRESS,
        help=f"most tokens of a caption, its end mark counted (default: {exported})",
    )
    add_options(parser, SamplerConfig, unset=exported)


def _add_selection_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--limit", type=int, help="take the first images of the inputs alone")
    group.add_argument(
        "--sample",
        type=float,
        default=1.0,
        help="take this share of the images, the same ones in every run (default: 1)",
    )
    group.add_argument(
        "--retry-rejected",
        action="store_true",
        help="do images again that were rejected before",
    )
    group.add_argument(
        "--remove-unlisted",
        action="store_true",
        help="remove rows of images that the inputs do not list (any more)",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="tell what would be done; write nothing"
    )


def _add_row_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--num-captions",
        type=int,
        help="captions kept of an image, the alternatives counted (default: all of the bundle's)",
    )
    group.add_argument("--tags", type=int, help="most tags kept of an image (default: all)")


def describe_parser() -> argparse.ArgumentParser:
    """Options of ``captioner describe``."""
    parser = make_parser("describe", "What is in a dataset: tables, plots and warnings.")
    parser.add_argument("dataset", help="folder made by captioner preprocess")
    parser.add_argument(
        "--output", help="the HTML file to write (default: description.html in the dataset)"
    )
    return parser


def report_parser() -> argparse.ArgumentParser:
    """Options of ``captioner report``."""
    parser = make_parser("report", "A page to look at: thumbnails, captions, scores, rejects.")
    parser.add_argument("--captions", required=True, help="folder made by captioner caption")
    parser.add_argument("--output", required=True, help="the HTML file to write")
    parser.add_argument(
        "--limit", type=int, default=200, help="most captions, and most rejects (default: 200)"
    )
    return parser


def demo_parser() -> argparse.ArgumentParser:
    """Options of ``captioner demo``."""
    parser = make_parser("demo", "All commands in a row on generated pictures.")
    parser.add_argument("--output", default="demo", help="folder of the demo (default: demo)")
    parser.add_argument(
        "--scenes", type=int, default=5500, help="scenes to train on (default: 5500)"
    )
    parser.add_argument("--epochs", type=int, default=5, help="epochs to train (default: 5)")
    return parser
