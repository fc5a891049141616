"""Loading a bundle into ONNX Runtime: no TensorFlow, whose import takes longer than all else."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from model.bundle_folder import (
    MOST_TAGS,
    NO_SCORE,
    ImageCaptions,
    ModelError,
    Scored,
    read_bundle_config,
)
from model.config import VOCABULARY_FILE
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import ONNX_FILE, Engine, told_threads
from model.errors import CaptionerError
from model.vocabulary import SPECIAL_TOKENS, read_vocabulary

TOKEN_IDS, JOINED, SCORES, TAG_SCORES = "token_ids", "joined", "scores", "tag_scores"
# What ONNX Runtime says where an operation finds no memory.
_NO_MEMORY = ("bad allocation", "bad_alloc", "Failed to allocate")


def start_session(model: Path | bytes, threads: int) -> Any:
    """An inference session.

    Args:
        model: an ONNX file, or what is in one.
        threads: to compute with; 0 for one for each core that this process may use.

    Raises:
        CaptionerError: if it cannot be loaded.
    """
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    # Not its own choice, by which it ties each thread to a core, the same ones in every process.
    options.intra_op_num_threads = threads or _cores()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except _failures() as error:
        told = " ".join(str(error).split())
        named = model if isinstance(model, Path) else "the model"
        raise CaptionerError(f"{named} cannot be loaded: {told}; export it again") from error


def _cores() -> int:
    """Cores that this process may use; all of them where the system does not tell."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: exceptions of its own, without a common class."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = (getattr(state, name) for name in dir(state))
    return tuple(k for k in kinds if isinstance(k, type) and issubclass(k, Exception))


class OnnxBundle:
    """A bundle in memory, all of it computed by ONNX Runtime.

    Args:
        folder: made by ``captioner export --engine onnxruntime``.
        engine: see `Engine`; its name is `ONNXRUNTIME`.
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
        self._session = start_session(folder / ONNX_FILE, told_threads())
        self._failures = _failures()

    def _run(self, names: list[str], images: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(names, {"images": images})
        except self._failures as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise ModelError(f"{type(error).__name__}: {error}") from error

    def caption(self, images: np.ndarray) -> list[ImageCaptions]:
        """Captions of `images uint8[B, H, W, 3]`, one result a picture, in order.

        Raises:
            ModelError: if the model fails at one of them, or at all.
            MemoryError: if they are too many at once.
        """
        names = [TOKEN_IDS, JOINED, SCORES, *([TAG_SCORES] if self.config.concepts else [])]
        token_ids, joined, scores, *tagged = self._run(names, images)
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
        (scores,) = self._run([TAG_SCORES], images)
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
