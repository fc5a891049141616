"""`captioner evaluate --compare`: two models on the same pictures, and where they differ."""

import argparse
from collections.abc import Sequence
from typing import Any

from model.bootstrap import difference_intervals
from model.command import check_output_folder, local_path, printable
from model.dataset import read_dataset_info
from model.decoding_options import Decoding
from model.engine import choose_engine
from model.errors import CaptionerError
from model.evaluate import (
    Evaluation,
    check_image_size,
    describe_captions,
    evaluate,
    write_document,
)
from model.loading import load_model
from model.model_card import describe_sampler
from model.tokenisers import ADAPTED

COMPARISON_FILE = "comparison.json"
_SHARED = ("split", "images", "dataset_fingerprint", "tokeniser")
_TAGS = "tag_mean_average_precision"
_OWN = ("epoch", "sampler", "engine", "scores", "intervals_95", "left_out", "captions", _TAGS)
_SHOWN_IMAGES = 5


def compare(a: Evaluation, b: Evaluation) -> dict[str, Any]:
    """The document `comparison.json` of two models on the same pictures, less the models' names.

    Raises:
        CaptionerError: if the captions were not split by the same tokeniser.
        ValueError: if they are not of the same pictures.
    """
    # Of captions in plain letters, as those of one of the two may be, adapting changes nothing.
    names = {evaluation.scores.tokeniser.removesuffix(ADAPTED) for evaluation in (a, b)}
    if len(names) > 1:
        raise CaptionerError(
            f"A was scored with {a.scores.tokeniser}, B with {b.scores.tokeniser}: such scores do "
            "not compare; see that Java runs, or give --tokeniser python"
        )
    if a.scores.image_ids != b.scores.image_ids:
        raise ValueError("got evaluations of different pictures; expected the same in one order")
    return {
        **{name: a.metrics[name] for name in _SHARED},
        "a": _own(a.metrics),
        "b": _own(b.metrics),
        "b_minus_a": _differences(a, b),
        "most_different": most_different(a.predictions, b.predictions),
    }


def _own(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is told of one model; there are no tags without a recogniser."""
    return {name: metrics[name] for name in _OWN if name in metrics}


def _differences(a: Evaluation, b: Evaluation) -> dict[str, dict[str, Any]]:
    """The scores of `b` less those of `a` with paired intervals, by name."""
    others = {measure.names: measure for measure in b.scores.measures}
    a_values, b_values = a.scores.values(), b.scores.values()
    return {
        name: {"difference": b_values[name] - a_values[name], "interval_95": ends}
        for measure in a.scores.measures
        if measure.names in others  # a Java program may have failed for one of the two
        for name, ends in difference_intervals(measure, others[measure.names]).items()
    }


def most_different(
    a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The few pictures whose CIDEr differs, and differs most, the largest difference first."""
    pairs = [
        (a_row, b_row)
        for a_row, b_row in zip(a, b, strict=True)
        if a_row["cider"] != b_row["cider"]
    ]
    pairs.sort(key=lambda pair: abs(pair[0]["cider"] - pair[1]["cider"]), reverse=True)
    return [
        {
            "image_id": a_row["image_id"],
            "a": {name: a_row[name] for name in ("caption", "cider")},
            "b": {name: b_row[name] for name in ("caption", "cider")},
            "references": a_row["references"],
        }
        for a_row, b_row in pairs[:_SHOWN_IMAGES]
    ]


def print_comparison(comparison: dict[str, Any]) -> None:
    """Prints two models side by side."""
    a, b = comparison["a"], comparison["b"]
    print(f"{comparison['images']} images of the {comparison['split']} split")
    print(f"tokeniser: {comparison['tokeniser']}; 95% intervals over images")
    print(f"  {'':8}" + "".join(f"{head:>25}" for head in ("A", "B", "B - A")))
    for name, found in comparison["b_minus_a"].items():
        cells = [
            _cell(a["scores"][name], a["intervals_95"][name]),
            _cell(b["scores"][name], b["intervals_95"][name]),
            _cell(found["difference"], found["interval_95"], sign="+"),
        ]
        print(f"  {name:8}" + "".join(f"{cell:>25}" for cell in cells))
    if _TAGS in a and _TAGS in b:
        values = a[_TAGS], b[_TAGS], b[_TAGS] - a[_TAGS]
        print("  tags mAP" + "".join(f"{100 * value:25.1f}" for value in values))
    for name, own in (("A", a), ("B", b)):
        print(f"captions of {name}: {describe_captions(own['captions'])}")
    for name, reason in {**a["left_out"], **b["left_out"]}.items():
        print(f"  {name:8} left out: {reason}")
    print("captions differ most in CIDEr:" if comparison["most_different"] else "no CIDEr differs")
    for image in comparison["most_different"]:
        print(f"  {printable(image['image_id'])}")
        for name in ("a", "b"):
            caption = printable(image[name]["caption"])
            print(f"    {name.upper()} {image[name]['cider'] * 100:6.1f}  {caption}")


def _cell(value: float, ends: Sequence[float], sign: str = "") -> str:
    """A score and its interval, in hundredths."""
    low, high = ends
    return f"{value * 100:{sign}.1f} [{low * 100:{sign}.1f}, {high * 100:{sign}.1f}]"


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    if not options.output:
        raise CaptionerError(f"--compare needs --output, a folder to write {COMPARISON_FILE} into")
    folders = [local_path("--compare", path) for path in options.compare]
    dataset = local_path("--dataset", options.dataset)
    output = local_path("--output", options.output)
    check_output_folder(output)
    info = read_dataset_info(dataset)
    engine = choose_engine(options.engine, options.bfloat16)
    decoding = Decoding.of(vars(options))
    models = [load_model(folder, decoding, engine) for folder in folders]
    for model in models:  # before the first captions
        check_image_size(model, dataset, info)
    evaluations = []
    for name, folder, model in zip("AB", folders, models, strict=True):
        print(f"{name}: {folder}, {describe_sampler(model.sampler, model.orders)}")
        evaluations.append(
            evaluate(model, dataset, info, options.split, options.batch_size, options.tokeniser)
        )
    comparison = compare(*evaluations)
    for name, path in zip("ab", options.compare, strict=True):
        comparison[name] = {"model": path, **comparison[name]}
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_document(output / COMPARISON_FILE, comparison)
    finally:  # a disk may be full
        print_comparison(comparison)
    print(output / COMPARISON_FILE)
    return 0
