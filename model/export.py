"""`captioner export`: the best model of a run to one self-contained SavedModel bundle."""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from model.artifacts import VOCABULARY_FILE, WEIGHTS_FILE, BundleConfig, RunConfig
from model.bundle_folder import (
    ATTENTION_SIGNATURE,
    BUNDLE_FILE,
    METRICS_FILE,
    MODEL_CARD_FILE,
    SIGNATURE,
    TAGS_SIGNATURE,
)
from model.caption_graph import CaptionGraph
from model.captioner import Captioner
from model.command import check_no_pattern, check_output_folder, local_path
from model.config import SamplerConfig
from model.config_json import from_dict, to_json
from model.decoding_options import Decoding, used_settings
from model.engine import ONNXRUNTIME, OPENVINO, TENSORFLOW, check_installed
from model.errors import CaptionerError
from model.model_card import describe_sampler, model_card
from model.neighbours import NEIGHBOURS_FILE
from model.rebuild import restore_graph
from model.run_folder import run_sampler

_EVALUATE_AGAIN = "run captioner evaluate again, or delete the file"
# What a bundle and its card take of the metrics of a run.
_METRICS = frozenset(
    "split images epoch dataset_fingerprint sampler tokeniser scores low_score".split()
)
# What exporting for an engine takes.
_PACKAGES = {engine: (engine, "onnx", "tf2onnx") for engine in (ONNXRUNTIME, OPENVINO)}


def fingerprint(captioner: Captioner, run: RunConfig, sampler: SamplerConfig, files: bytes) -> str:
    """A digest of all that decides a caption: weights, architecture, sampler, and `files`."""
    digest = hashlib.sha256()
    for weight in captioner.weights:
        # Not its path: Keras numbers layers by how many this process has made before.
        digest.update(str(tuple(weight.shape)).encode())
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    # Where the weights came from changes nothing.
    model = dataclasses.replace(run.model, encoder_weights=None)
    concepts = (run.concepts, run.concept_shares)
    asked = (run.decoder_version, run.image, model, concepts, run.train.max_length, sampler)
    digest.update(json.dumps([str(part) for part in asked]).encode() + files)
    return digest.hexdigest()[:16]


def write_saved_model(graph: CaptionGraph, folder: Path, engine: str = TENSORFLOW) -> None:
    """Writes the SavedModel with its signatures, and what another engine takes in its place."""
    files = tf.TensorSpec([None], tf.string, "image_bytes")
    images = tf.TensorSpec([None, graph.size_px, graph.size_px, 3], tf.uint8, "images")

    def trace(call: Any, spec: tf.TensorSpec) -> Any:
        return tf.function(call, autograph=False).get_concrete_function(spec)

    caption = trace(graph.caption_pixels, images)
    signatures = {
        SIGNATURE: caption,
        "serving_default": trace(
            lambda image_bytes: caption(graph.decode_bytes(image_bytes)), files
        ),
        ATTENTION_SIGNATURE: trace(graph.attend_pixels, images),
    }
    if graph.captioner.recogniser is not None:
        signatures[TAGS_SIGNATURE] = trace(graph.tag_pixels, images)
    saved = tf.Module()
    saved.weights = [variable.value for variable in graph.captioner.variables]
    # Not Keras's ExportArchive, which traces each function twice and writes each weight twice.
    tf.saved_model.save(saved, str(folder), signatures)
    if engine != TENSORFLOW:
        # Here alone: the converter is part of an extra.
        from model.onnx_export import write_onnx

        write_onnx(graph, folder, engine)


def _read_metrics(run: Path, epoch: int) -> dict | None:
    """What `captioner evaluate` wrote into the run of the weights of `epoch`; None if nothing.

    Raises:
        CaptionerError: if something else wrote it.
    """
    path = run / METRICS_FILE
    if not path.exists():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CaptionerError(f"{path}: expected JSON, got {error}; {_EVALUATE_AGAIN}") from error
    missing = _METRICS.difference(metrics if isinstance(metrics, dict) else ())
    if missing:
        raise CaptionerError(
            f"{path}: expected what captioner evaluate writes, got nothing of "
            f"{', '.join(sorted(missing))}; {_EVALUATE_AGAIN}"
        )
    if metrics["epoch"] != epoch:
        print(
            f"note: {path} is of epoch {metrics['epoch']}, exported is epoch {epoch}: left "
            "out; run captioner evaluate before",
            file=sys.stderr,
        )
        return None
    return metrics


def _low_score(metrics: dict | None, sampler: SamplerConfig, config: RunConfig) -> float | None:
    """The score below which captions of `sampler` are flagged, if it was evaluated."""
    if metrics is None:
        return None
    # Another version may have known fewer settings, of which these captions need none.
    evaluated = from_dict(SamplerConfig, metrics["sampler"], METRICS_FILE)
    length, orders = config.train.max_length, config.orders
    if used_settings(evaluated, length, orders) != used_settings(sampler, length, orders):
        print(
            "note: evaluated with another sampler than exported: no caption will be flagged as "
            "low_score; give captioner evaluate the same options before",
            file=sys.stderr,
        )
        return None
    return metrics["low_score"]


def export(
    run: Path, output: Path, sampler: SamplerConfig, engine: str = TENSORFLOW
) -> BundleConfig:
    """Exports the best epoch of `run` to `output`, whole or not at all.

    Raises:
        CaptionerError: if `run` is no trained run, `output` exists or cannot be a folder that
            TensorFlow loads, or the engine is not installed or cannot compute the model.
    """
    if engine != TENSORFLOW:
        check_installed(*_PACKAGES[engine])
    if output.exists():
        raise CaptionerError(f"--output {output} exists; choose another folder or delete it")
    check_output_folder(output)
    check_no_pattern(str(output), "--output")
    graph, config, epoch = restore_graph(run, sampler)
    captioner, metrics = graph.captioner, _read_metrics(run, epoch)
    # Without a weight they are left out: a bundle may go to where what was said shall not.
    neighbours = config.neighbours and sampler.neighbour_weight > 0
    kept = [VOCABULARY_FILE, *[NEIGHBOURS_FILE] * neighbours]
    files = b"".join((run / name).read_bytes() for name in kept)
    bundle = BundleConfig(
        model_fingerprint=fingerprint(captioner, config, sampler, files),
        decoder_version=config.decoder_version,
        image=config.image,
        model=config.model,
        sampler=sampler,
        max_length=config.train.max_length,
        vocabulary_size=captioner.decoder.vocabulary_size,
        dataset_fingerprint=config.dataset_fingerprint,
        low_score=_low_score(metrics, sampler, config),
        concepts=config.concepts,
        concept_shares=config.concept_shares,
        neighbours=neighbours,
    )
    temporary = output.with_name(f"_{output.name}.{uuid.uuid4().hex}.tmp")
    try:
        write_saved_model(graph, temporary, engine)
        # What another run starts from, and other engines are built from.
        captioner.save_weights(temporary / WEIGHTS_FILE)
        for name in kept:
            shutil.copyfile(run / name, temporary / name)
        (temporary / BUNDLE_FILE).write_text(to_json(bundle), encoding="utf-8")
        if metrics:
            shutil.copyfile(run / METRICS_FILE, temporary / METRICS_FILE)
        card = model_card(bundle, config, epoch, metrics)
        (temporary / MODEL_CARD_FILE).write_text(card, encoding="utf-8")
        _put_in_place(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return bundle


def _put_in_place(temporary: Path, output: Path) -> None:
    """Renames the finished folder.

    Raises:
        CaptionerError: if there is another one by now.
    """
    try:
        os.replace(temporary, output)
    except OSError as error:
        if not output.exists():
            raise
        raise CaptionerError(
            f"--output {output} was made by something else meanwhile; choose another folder, or "
            "delete it"
        ) from error


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    output = local_path("--output", options.output)
    run_folder = local_path("--run", options.run)
    bundle = export(
        run_folder, output, run_sampler(run_folder, Decoding.of(vars(options))), options.engine
    )
    sampler_told = describe_sampler(bundle.sampler, bundle.orders)
    print(
        f"bundle {bundle.model_fingerprint} ({sampler_told}, pictures of "
        f"{bundle.image.image_size_px} px) in {output}"
    )
    return 0


if __name__ == "__main__":
    from model.arguments import export_parser
    from model.command import run_command

    sys.exit(run_command(export_parser(), run, sys.argv[1:]))
