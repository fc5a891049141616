"""`captioner export`: the best model of a run to one self-contained SavedModel bundle."""

import argparse
import hashlib
import json
import os
import shutil
import sys
import uuid
from pathlib import Path

import keras
import tensorflow as tf

from model.bundle import BUNDLE_FILE, METRICS_FILE, MODEL_CARD_FILE
from model.captioner import Captioner
from model.config import (
    VOCABULARY_FILE,
    BundleConfig,
    ImageConfig,
    RunConfig,
    SamplerConfig,
    from_options,
    to_json,
)
from model.errors import CaptionerError
from model.model_card import describe_sampler, model_card
from model.samplers import make_sampler
from model.text import detokenise
from model.train import restore_captioner
from model.vocabulary import SPECIAL_TOKENS, Vocabulary, read_vocabulary


class CaptionGraph(keras.Model):
    """A captioner whose results are strings: pixels in, captions out, one graph.

    Args:
        captioner: the model.
        vocabulary: its words.
        sampler: how captions are drawn.
        max_length: most tokens of a caption, its end mark counted.
        image: size of the pictures.
    """

    def __init__(
        self,
        captioner: Captioner,
        vocabulary: Vocabulary,
        sampler: SamplerConfig,
        max_length: int,
        image: ImageConfig,
    ) -> None:
        super().__init__(name="caption_graph")
        self.captioner = captioner
        self.sampler = make_sampler(sampler, max_length, vocabulary)
        self.words = tf.constant(vocabulary.tokens)
        self.size_px = image.image_size_px

    def caption_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pictures as `captioner` decodes them, `uint8[B, H, W, 3]`, to captions, best first.

        Returns:
            captions `string[B, K]`, scores `float32[B, K]` (mean log-probability of a token, in
            nats), tags `string[B, T]` and tag_scores `float32[B, T]`; T is 0 without a recogniser.
        """
        samples = self.captioner.caption(images, self.sampler)
        token_ids = samples.token_ids
        is_word = token_ids >= len(SPECIAL_TOKENS)
        words = tf.ragged.boolean_mask(tf.gather(self.words, token_ids), is_word)
        batch = tf.shape(images)[0]
        return {
            "captions": detokenise(words),
            "scores": samples.scores,
            "tags": tf.zeros([batch, 0], tf.string),
            "tag_scores": tf.zeros([batch, 0], tf.float32),
        }

    def caption_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Files (JPEG, PNG, GIF, BMP), `string[B]`, to what `caption_pixels` returns.

        Decoded by TensorFlow for the sake of serving: no EXIF orientation, other rounding than
        `model.image`. The pipeline never uses it.
        """
        size = (self.size_px, self.size_px)

        def decode(data: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            image = tf.ensure_shape(image, [None, None, 3])
            image = tf.image.resize(image, size, method="bilinear", antialias=True)
            return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

        spec = tf.TensorSpec((*size, 3), tf.uint8)
        return self.caption_pixels(tf.map_fn(decode, image_bytes, fn_output_signature=spec))


def fingerprint(captioner: Captioner, run: RunConfig, sampler: SamplerConfig, words: bytes) -> str:
    """A digest of all that decides a caption: weights, architecture, vocabulary, sampler."""
    digest = hashlib.sha256()
    for weight in captioner.weights:
        # Not its path: Keras numbers layers by how many this process has made before.
        digest.update(str(tuple(weight.shape)).encode())
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    asked = (run.decoder_version, run.image, run.model.encoder, run.train.max_length, sampler)
    digest.update(json.dumps([str(part) for part in asked]).encode() + words)
    return digest.hexdigest()[:16]


def write_saved_model(graph: CaptionGraph, folder: Path) -> None:
    """Writes the SavedModel with its two signatures."""
    archive = keras.export.ExportArchive()
    archive.track(graph.captioner)
    archive.add_endpoint(
        "serving_default", graph.caption_bytes, [tf.TensorSpec([None], tf.string, "image_bytes")]
    )
    shape = [None, graph.size_px, graph.size_px, 3]
    archive.add_endpoint(
        "caption_pixels", graph.caption_pixels, [tf.TensorSpec(shape, tf.uint8, "images")]
    )
    archive.write_out(str(folder), verbose=False)


def _read_metrics(run: Path) -> dict | None:
    """What `captioner evaluate` last wrote into the run; None if it was never evaluated."""
    path = run / METRICS_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def export(run: Path, output: Path, sampler: SamplerConfig) -> BundleConfig:
    """Exports the best epoch of `run` to `output`, whole or not at all.

    Raises:
        CaptionerError: if `run` is no trained run, or `output` exists.
    """
    if output.exists():
        raise CaptionerError(f"--output {output} exists; choose another folder or delete it")
    captioner, config, epoch = restore_captioner(run)
    vocabulary_path = run / VOCABULARY_FILE
    vocabulary = read_vocabulary(vocabulary_path)
    graph = CaptionGraph(captioner, vocabulary, sampler, config.train.max_length, config.image)
    metrics = _read_metrics(run)
    bundle = BundleConfig(
        model_fingerprint=fingerprint(captioner, config, sampler, vocabulary_path.read_bytes()),
        decoder_version=config.decoder_version,
        image=config.image,
        model=config.model,
        sampler=sampler,
        max_length=config.train.max_length,
        vocabulary_size=len(vocabulary),
        dataset_fingerprint=config.dataset_fingerprint,
        low_score=metrics["low_score"] if metrics else None,
    )
    temporary = output.with_name(f"_{output.name}.{uuid.uuid4().hex}.tmp")
    try:
        write_saved_model(graph, temporary)
        shutil.copyfile(vocabulary_path, temporary / VOCABULARY_FILE)
        (temporary / BUNDLE_FILE).write_text(to_json(bundle), encoding="utf-8")
        if metrics:
            shutil.copyfile(run / METRICS_FILE, temporary / METRICS_FILE)
        card = model_card(bundle, config, epoch, metrics)
        (temporary / MODEL_CARD_FILE).write_text(card, encoding="utf-8")
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return bundle


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    output = Path(options.output)
    bundle = export(Path(options.run), output, from_options(SamplerConfig, options))
    print(
        f"bundle {bundle.model_fingerprint} ({describe_sampler(bundle.sampler)}, pictures of "
        f"{bundle.image.image_size_px} px) in {output}"
    )
    return 0


if __name__ == "__main__":
    from model.arguments import export_parser
    from model.command import run_command

    sys.exit(run_command(export_parser(), run, sys.argv[1:]))
