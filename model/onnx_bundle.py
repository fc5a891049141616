"""A bundle computed without TensorFlow, whose import takes longer than all else."""

from pathlib import Path

import numpy as np

from model.artifacts import VOCABULARY_FILE
from model.bundle_folder import MOST_TAGS, NO_SCORE, ImageCaptions, Scored, read_bundle_config
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import Engine
from model.onnx_graph import JOINED, SCORES, TAG_SCORES, TOKEN_IDS, OnnxGraph
from model.vocabulary import SPECIAL_TOKENS, read_vocabulary


class OnnxBundle:
    """A bundle in memory, all of it computed by ONNX Runtime or by OpenVINO.

    Args:
        folder: made by ``captioner export`` for the engine.
        engine: `ONNXRUNTIME` or `OPENVINO`.
        decoding: what is decoded otherwise than it was exported with: nothing.

    Raises:
        CaptionerError: if it is no bundle of this decoder version, is damaged, lacks what the
            engine needs, or is to decode otherwise.
    """

    def __init__(self, folder: Path, engine: Engine, decoding: Decoding = AS_EXPORTED) -> None:
        self.config = read_bundle_config(folder)
        same = decoding.apply(self.config) == self.config
        engine.check(folder, () if same else decoding.changes)
        self.vocabulary = read_vocabulary(folder / VOCABULARY_FILE)
        self._graph = OnnxGraph(folder, engine)

    def caption(self, images: np.ndarray) -> list[ImageCaptions]:
        """Captions of `images uint8[B, H, W, 3]`, one result a picture, in order.

        Raises:
            ModelError: if the model fails at one of them, or at all.
            MemoryError: if they are too many at once.
        """
        names = [TOKEN_IDS, JOINED, SCORES, *([TAG_SCORES] if self.config.concepts else [])]
        token_ids, joined, scores, *tagged = self._graph.run(names, images)
        tag_scores = tagged[0] if tagged else np.zeros((len(images), 0))
        if len(scores) != len(images):
            raise RuntimeError(f"got {len(scores)} results from the model, expected {len(images)}")
        rows = zip(token_ids, joined, scores, tag_scores, strict=True)
        return [
            ImageCaptions(self._captions(*told), self._tags(probabilities))
            for *told, probabilities in rows
        ]

    def tag(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of all concepts, `float32[B, K]`, in the order of the bundle's config."""
        (scores,) = self._graph.run([TAG_SCORES], images)
        return scores

    def _captions(
        self, token_ids: np.ndarray, joined: np.ndarray, scores: np.ndarray
    ) -> list[Scored]:
        return [
            Scored(self._text(*caption), float(score))
            for *caption, score in zip(token_ids, joined, scores, strict=True)
            if score > NO_SCORE
        ]

    def _text(self, token_ids: np.ndarray, joined: np.ndarray) -> str:
        """The caption of token ids `int[L]`; `joined bool[L]` are those without a space before."""
        text = ""
        for token_id, is_joined in zip(token_ids.tolist(), joined.tolist(), strict=True):
            if token_id >= len(SPECIAL_TOKENS):
                space = "" if is_joined or not text else " "
                text += space + self.vocabulary.tokens[token_id]
        return text

    def _tags(self, probabilities: np.ndarray) -> list[Scored]:
        """The likeliest concepts; of equal ones the first."""
        order = np.argsort(-probabilities, kind="stable")[:MOST_TAGS]
        return [Scored(self.config.concepts[i], float(probabilities[i])) for i in order]
