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

import keras
import tensorflow as tf

from model.bundle import (
    ATTENTION_SIGNATURE,
    BUNDLE_FILE,
    METRICS_FILE,
    MODEL_CARD_FILE,
    SIGNATURE,
    TAGS_SIGNATURE,
    WEIGHTS_FILE,
)
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
from model.model_card import model_card
from model.run_folder import restore_captioner
from model.samplers import make_sampler
from model.text import detokenise
from model.vocabulary import SPECIAL_TOKENS, START, Vocabulary, read_vocabulary

# Most tags that a bundle gives of a picture.
_TAGS = 20


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
        self.sampler = make_sampler(sampler, max_length)
        self.words = tf.constant(vocabulary.tokens)
        self.size_px = image.image_size_px
        self.grid = captioner.image_encoder.grid

    def caption_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pictures as `captioner` decodes them, `uint8[B, H, W, 3]`, to captions, best first.

        Returns:
            captions `string[B, K]`, scores `float32[B, K]` (mean log-probability of a token, in
            nats), tags `string[B, T]` and tag_scores `float32[B, T]`; T is 0 without a recogniser.
        """
        memory, tag_logits = self.captioner.look(self.captioner.encode(images))
        samples = self.captioner.write(memory, self.sampler)
        return {
            "captions": detokenise(self._words(samples.token_ids)),
            "scores": samples.scores,
            **self._tags(tag_logits, tf.shape(images)[0]),
        }

    def tag_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities `float32[B, K]` of all concepts, in the order of `bundle.json`."""
        _, tag_logits = self.captioner.look(self.captioner.encode(images))
        return tf.sigmoid(tag_logits)

    def attend_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Where the decoder looked while it wrote each word of the best caption.

        The caption is told to the decoder again, so that captioning itself keeps no weights.

        Returns:
            words `string[B, L]`, empty after the last, and attention `float32[B, L, rows,
            columns]`: each word's share of attention to each patch.
        """
        grid = self.captioner.encode(images)
        memory, _ = self.captioner.look(grid)
        best = self.captioner.write(memory, self.sampler).token_ids[:, :1]
        told = tf.concat([tf.fill(tf.shape(best[:, :, :1]), START), best[:, :, :-1]], axis=2)
        outputs = self.captioner({"grid": grid, "token_ids": told})
        first, (rows, columns) = self.captioner.decoder.first_patch, self.grid
        attention = outputs.attention[:, 0, :, first : first + rows * columns]
        shape = (-1, tf.shape(best)[2], rows, columns)
        token_ids = best[:, 0]
        words = tf.where(token_ids >= len(SPECIAL_TOKENS), tf.gather(self.words, token_ids), "")
        return {"words": words, "attention": tf.reshape(tf.cast(attention, tf.float32), shape)}

    def _words(self, token_ids: tf.Tensor) -> tf.RaggedTensor:
        is_word = token_ids >= len(SPECIAL_TOKENS)
        return tf.ragged.boolean_mask(tf.gather(self.words, token_ids), is_word)

    def _tags(self, tag_logits: tf.Tensor | None, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest concepts and their probabilities, `[B, T]`."""
        recogniser = self.captioner.recogniser
        if tag_logits is None or recogniser is None:
            return {
                "tags": tf.zeros([batch, 0], tf.string),
                "tag_scores": tf.zeros([batch, 0], tf.float32),
            }
        count = min(_TAGS, len(recogniser.concept_ids))
        token_ids, scores = recogniser.likeliest(tag_logits, count)
        return {"tags": tf.gather(self.words, token_ids), "tag_scores": scores}

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
    # Where the weights came from changes nothing.
    model = dataclasses.replace(run.model, encoder_weights=None)
    asked = (run.decoder_version, run.image, model, run.concepts, run.train.max_length, sampler)
    digest.update(json.dumps([str(part) for part in asked]).encode() + words)
    return digest.hexdigest()[:16]


def write_saved_model(graph: CaptionGraph, folder: Path) -> None:
    """Writes the SavedModel with its signatures."""
    archive = keras.export.ExportArchive()
    archive.track(graph.captioner)
    archive.add_endpoint(
        "serving_default", graph.caption_bytes, [tf.TensorSpec([None], tf.string, "image_bytes")]
    )
    shape = [None, graph.size_px, graph.size_px, 3]
    archive.add_endpoint(
        SIGNATURE, graph.caption_pixels, [tf.TensorSpec(shape, tf.uint8, "images")]
    )
    archive.add_endpoint(
        ATTENTION_SIGNATURE, graph.attend_pixels, [tf.TensorSpec(shape, tf.uint8, "images")]
    )
    if graph.captioner.recogniser is not None:
        archive.add_endpoint(
            TAGS_SIGNATURE, graph.tag_pixels, [tf.TensorSpec(shape, tf.uint8, "images")]
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
        concepts=config.concepts,
    )
    temporary = output.with_name(f"_{output.name}.{uuid.uuid4().hex}.tmp")
    try:
        write_saved_model(graph, temporary)
        # What another run starts from, and other engines are built from.
        captioner.save_weights(temporary / WEIGHTS_FILE)
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
        f"bundle {bundle.model_fingerprint} (beam of {bundle.sampler.beam_width}, pictures of "
        f"{bundle.image.image_size_px} px) in {output}"
    )
    return 0


if __name__ == "__main__":
    from model.arguments import export_parser
    from model.command import run_command

    sys.exit(run_command(export_parser(), run, sys.argv[1:]))
