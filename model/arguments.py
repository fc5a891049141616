"""Options of the model's commands. Imports no framework, so that ``--help`` is instant."""

import argparse

from model.artifacts import SPLITS
from model.config import ModelConfig, SamplerConfig, TrainConfig
from model.engine import AUTO, BFLOAT16, ENGINES, OFF, ONNXRUNTIME, OPENVINO, TENSORFLOW
from model.options import add_options


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The parser of ``captioner NAME``, which takes no shortened options."""
    return argparse.ArgumentParser(
        prog=f"captioner {name}", description=description, allow_abbrev=False
    )


def train_parser() -> argparse.ArgumentParser:
    """Options of ``captioner train``."""
    parser = make_parser(
        "train", "Train a captioner on a dataset; run again to go on where it ended."
    )
    parser.add_argument("--dataset", required=True, help="folder made by captioner preprocess")
    parser.add_argument("--output", required=True, help="folder of the run")
    parser.add_argument(
        "--config",
        help="run, or its config.json, to be repeated: the options of model and training that are "
        "not given are its, --init-from too; its --stop-words count on the same dataset alone",
    )
    parser.add_argument(
        "--init-from", help="run or bundle whose weights training starts from; 'none' for no start"
    )
    parser.add_argument(
        "--stop-words",
        help="file of words that are no concepts, one a line (default: English function words)",
    )
    add_options(parser, ModelConfig)
    add_options(parser, TrainConfig)
    return parser


def evaluate_parser() -> argparse.ArgumentParser:
    """Options of ``captioner evaluate``."""
    parser = make_parser("evaluate", "Score a model's captions against a split's own.")
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", help="a run or a bundle")
    models.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="two runs or bundles, scored side by side",
    )
    parser.add_argument("--dataset", required=True, help="folder made by captioner preprocess")
    parser.add_argument(
        "--split",
        default="test",
        choices=SPLITS,
        help="split whose pictures are captioned (default: test)",
    )
    parser.add_argument(
        "--output",
        help="folder of metrics.json and predictions.parquet (default: in the model's), or of "
        "comparison.json (needed with --compare)",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images in a step (default: 32)")
    parser.add_argument(
        "--tokeniser",
        default="auto",
        choices=("auto", "java", "python"),
        help="tokeniser of the metrics: the reference one needs Java; 'python' runs no Java at all "
        "and leaves METEOR and SPICE out (default: auto)",
    )
    # A figure is to be the same on every machine.
    add_engine_options(parser, OFF)
    add_options(parser, SamplerConfig)
    return parser


def add_engine_options(group: argparse._ActionsContainer, bfloat16: str) -> None:
    """Adds the options that say what computes a bundle; `bfloat16` is that option's default."""
    group.add_argument(
        "--engine",
        default=TENSORFLOW,
        choices=ENGINES,
        help=f"'{OPENVINO}' and '{ONNXRUNTIME}' need the extra of that name and a bundle exported "
        f"for them (default: {TENSORFLOW})",
    )
    group.add_argument(
        "--bfloat16",
        default=bfloat16,
        choices=BFLOAT16,
        help="compute in bfloat16 what gets no worse by it: faster, and some captions are other "
        f"ones; '{AUTO}' does where the CPU that the command starts on has it; {ONNXRUNTIME} has "
        f"none (default: {bfloat16})",
    )


def export_parser() -> argparse.ArgumentParser:
    """Options of ``captioner export``."""
    parser = make_parser(
        "export", "Export a run's best model as one self-contained SavedModel bundle."
    )
    parser.add_argument("--run", required=True, help="folder made by captioner train")
    parser.add_argument("--output", required=True, help="folder of the bundle")
    parser.add_argument(
        "--engine",
        default=TENSORFLOW,
        choices=ENGINES,
        help="adds what captioner caption --engine needs for it; the bundle still works without "
        f"(default: {TENSORFLOW})",
    )
    add_options(parser, SamplerConfig)
    return parser
