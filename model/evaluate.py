"""`captioner evaluate`: the captions of a run or a bundle, scored against a split's own."""

import argparse
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from model.artifacts import DatasetInfo
from model.average_precision import mean_average_precision
from model.bundle_folder import BUNDLE_FILE, METRICS_FILE, NO_CAPTION, read_bundle_config
from model.caption_statistics import caption_statistics
from model.command import check_output_folder, local_path
from model.dataset import read_dataset_info, read_dataset_vocabulary, read_split, whole_shards
from model.decoding_options import Decoding, heeded_settings
from model.engine import choose_engine
from model.errors import CaptionerError
from model.loading import Model, load_model
from model.metrics import CaptionScores, score_captions
from model.model_card import describe_sampler
from model.options import flag
from model.text import tokenise
from model.whole_files import write_whole

PREDICTIONS_FILE = "predictions.parquet"
# Captions scored below this percentile of the split's are flagged as `low_score`.
_LOW_SCORE_PERCENTILE = 10.0

_PREDICTIONS = pa.schema(
    [
        ("image_id", pa.string()),
        ("caption", pa.string()),
        ("score", pa.float32()),
        ("references", pa.list_(pa.string())),
        ("bleu_4", pa.float32()),
        ("rouge_l", pa.float32()),
        ("cider", pa.float32()),
        ("meteor", pa.float32()),
        ("spice", pa.float32()),
    ]
)


def predict(model: Model, examples: tf.data.Dataset, batch_size: int) -> Iterator[dict[str, Any]]:
    """One row a picture: image_id, caption, score, references, and scores of all concepts."""
    fields = examples.map(lambda e: (e["image_id"], e["image"], e["captions"]))
    for image_ids, images, references in fields.ragged_batch(batch_size).prefetch(2):
        pixels = images.to_tensor() if isinstance(images, tf.RaggedTensor) else images
        results = model.caption(pixels.numpy())
        tags = model.tag(pixels.numpy()) if model.concepts else np.zeros((len(results), 0))
        for image_id, result, texts, scores in zip(
            image_ids.numpy(), results, references.to_list(), tags, strict=True
        ):
            if not result.captions:
                raise CaptionerError(
                    f"{NO_CAPTION} of {image_id.decode()}; give other options of the sampler, or "
                    "train the model again"
                )
            yield {
                "image_id": image_id.decode(),
                "caption": result.captions[0].text,
                "score": result.captions[0].score,
                "references": [text.decode() for text in texts],
                "concept_scores": scores,
            }


@dataclass(frozen=True)
class Evaluation:
    """What came of a model on a split.

    Attributes:
        predictions: one row a picture, with the scores of that picture alone.
        scores: of the whole split.
        metrics: the document `metrics.json`.
    """

    predictions: list[dict[str, Any]]
    scores: CaptionScores
    metrics: dict[str, Any]


def check_image_size(model: Model, dataset: Path, info: DatasetInfo) -> None:
    """Raises:
    CaptionerError: if the dataset's pictures are of another size than the model's.
    """
    if model.image.image_size_px != info.image.image_size_px:
        raise CaptionerError(
            f"the model captions pictures of {model.image.image_size_px} px, {dataset} holds "
            f"pictures of {info.image.image_size_px} px; preprocess with --image-size-px "
            f"{model.image.image_size_px}"
        )


def evaluate(
    model: Model, dataset: Path, info: DatasetInfo, split: str, batch_size: int, tokeniser: str
) -> Evaluation:
    """Captions a split and scores the captions.

    Raises:
        CaptionerError: if the split is empty or damaged, its pictures are of another size than the
            model's, or Java's tokeniser was demanded and does not run.
    """
    check_image_size(model, dataset, info)
    if model.dataset_fingerprint != info.fingerprint:
        print(
            f"note: the model was trained on dataset {model.dataset_fingerprint}, this is "
            f"{info.fingerprint}",
            file=sys.stderr,
        )
    with whole_shards(dataset):
        rows = list(predict(model, read_split(dataset, split, info), batch_size))
    captions = [row["caption"] for row in rows]
    scores = score_captions(
        {row["image_id"]: row["caption"] for row in rows},
        {row["image_id"]: row["references"] for row in rows},
        tokeniser,
    )
    vocabulary = read_dataset_vocabulary(dataset, info)
    metrics = {
        "split": split,
        "images": len(rows),
        "epoch": model.epoch,
        "dataset_fingerprint": info.fingerprint,
        "sampler": heeded_settings(model.sampler, model.orders),
        "engine": asdict(model.engine),
        "tokeniser": scores.tokeniser,
        "scores": scores.values(),
        "intervals_95": scores.intervals(),
        "left_out": scores.left_out,
        "low_score": float(np.percentile([row["score"] for row in rows], _LOW_SCORE_PERCENTILE)),
        "captions": caption_statistics(captions, _words(captions), vocabulary),
    }
    if model.concepts:
        precision = tag_precision(model.concepts, rows)
        if precision is None:
            reason = "no caption of the split names a concept of the model"
            metrics["left_out"] = {**scores.left_out, "tag_mean_average_precision": reason}
        else:
            metrics["tag_mean_average_precision"] = precision
    by_image = scores.by_image()
    return Evaluation([{**row, **by_image[row["image_id"]]} for row in rows], scores, metrics)


def tag_precision(concepts: tuple[str, ...], rows: list[dict[str, Any]]) -> float | None:
    """Mean average precision of the recogniser: a concept is true if a reference names it.

    None if no reference names any.
    """
    # Of a vocabulary that keeps its case ("Hund"), as German's must.
    lower_case = all(concept == concept.lower() for concept in concepts)
    labels = []
    for row in rows:
        texts = tf.constant(row["references"])
        tokens = tokenise(texts, lower_case=lower_case).flat_values.numpy()
        named = {token.decode() for token in tokens}
        labels.append([concept in named for concept in concepts])
    if not np.any(labels):
        return None
    return mean_average_precision(np.stack([r["concept_scores"] for r in rows]), np.array(labels))


def _words(captions: list[str]) -> list[list[str]]:
    """The words of captions as the vocabulary has them."""
    # Written from a vocabulary, they have its case.
    tokens = tokenise(tf.constant(captions), lower_case=False)
    return [[token.decode() for token in line] for line in tokens.to_list()]


def write_results(folder: Path, evaluation: Evaluation) -> None:
    """Writes `metrics.json` and `predictions.parquet`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(evaluation.predictions, _PREDICTIONS), buffer)
    write_whole(folder / PREDICTIONS_FILE, buffer.getvalue())
    write_document(folder / METRICS_FILE, evaluation.metrics)


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    write_whole(path, (json.dumps(document, indent=2) + "\n").encode())


def _print_metrics(metrics: dict[str, Any], split: str, sampler: str) -> None:
    print(f"{metrics['images']} images of the {split} split, {sampler}")
    print(f"tokeniser: {metrics['tokeniser']}; 95% intervals over images")
    for name, value in metrics["scores"].items():
        low, high = metrics["intervals_95"][name]
        print(f"  {name:<8} {value * 100:6.1f}   [{low * 100:.1f}, {high * 100:.1f}]")
    if "tag_mean_average_precision" in metrics:
        print(f"  tags mAP {metrics['tag_mean_average_precision'] * 100:6.1f}")
    for name, reason in metrics["left_out"].items():
        print(f"  {name:<8} left out: {reason}")
    print(f"captions: {describe_captions(metrics['captions'])}")


def describe_captions(said: dict[str, Any]) -> str:
    """What `caption_statistics` found, in one line."""
    return (
        f"{said['distinct_share']:.1%} distinct, {said['vocabulary_words_used']} of "
        f"{said['vocabulary_words']} words used, {said['mean_words']:.1f} words long, "
        f"{said['repeats_share']:.1%} with repeats, {said['dangling_ending_share']:.1%} with "
        f"dangling endings, {said['unknown_word_rate']:.1%} of words unknown"
    )


def _check_tells_of(folder: Path, decoding: Decoding) -> None:
    """Raises:
    CaptionerError: if `folder` is a bundle, and its own figures would become those of `decoding`.
    """
    if not (folder / BUNDLE_FILE).exists():
        return
    exported = read_bundle_config(folder)
    if decoding.apply(exported) != exported:
        names = ", ".join(flag(name) for name, _ in decoding.changes)
        raise CaptionerError(
            f"{names}: {folder / METRICS_FILE} tells how good the bundle is as exported; name "
            "another folder by --output"
        )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    if options.batch_size < 1:
        raise CaptionerError(f"--batch-size: got {options.batch_size}, expected 1 or more")
    if options.compare:
        # Imported here: it builds on this module.
        from model.compare import run as run_comparison

        return run_comparison(options)
    model_folder = local_path("--model", options.model)
    dataset = local_path("--dataset", options.dataset)
    folder = local_path("--output", options.output or options.model)
    check_output_folder(folder)
    info = read_dataset_info(dataset)
    engine = choose_engine(options.engine, options.bfloat16)
    decoding = Decoding.of(vars(options))
    if not options.output:
        _check_tells_of(model_folder, decoding)
    model = load_model(model_folder, decoding, engine)
    evaluation = evaluate(
        model, dataset, info, options.split, options.batch_size, options.tokeniser
    )
    try:
        write_results(folder, evaluation)
    finally:  # a disk may be full
        sampler_told = describe_sampler(model.sampler, model.orders)
        _print_metrics(evaluation.metrics, options.split, sampler_told)
    print(f"{folder / METRICS_FILE} and {folder / PREDICTIONS_FILE}")
    return 0


if __name__ == "__main__":
    from model.arguments import evaluate_parser
    from model.command import run_command

    sys.exit(run_command(evaluate_parser(), run, sys.argv[1:]))
