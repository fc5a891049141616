"""A caption graph as ONNX files, computed by ONNX Runtime or by OpenVINO."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from model.cuts import look
from model.engine import (
    ENCODER_FILE,
    ONNX_FILE,
    OPENVINO,
    STEM_FILE,
    Engine,
    compute_threads,
)
from model.errors import CaptionerError
from model.onnxruntime_session import OnnxRuntimeSession
from model.openvino_session import OpenVinoSession

# The graph's input, and its outputs.
IMAGES = "images"
TOKEN_IDS, JOINED, SCORES, TAG_SCORES = "token_ids", "joined", "scores", "tag_scores"


class Session(Protocol):
    """A model in memory, whatever computes it."""

    given: str
    made: tuple[str, ...]

    def run(self, names: Sequence[str], given: np.ndarray) -> list[np.ndarray]:
        """The outputs `names`."""


class OnnxGraph:
    """What `CaptionGraph.spell_pixels` computes, without TensorFlow.

    Args:
        folder: with the files that `write_onnx` wrote.
        engine: `ONNXRUNTIME` or `OPENVINO`.

    Raises:
        CaptionerError: if a file cannot be loaded, or one is missing.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._threads = compute_threads()
        found = [f for f in (STEM_FILE, ENCODER_FILE, ONNX_FILE) if (folder / f).exists()]
        # What sees the pictures themselves, in bundles of before all of it, is never rounded.
        *looks, self._rest = (
            self._start(folder / name, engine, engine.bfloat16 and name != found[0])
            for name in found
        )
        made: tuple[str, ...] = (IMAGES,)
        for session in (*looks, self._rest):
            if made != (session.given,):
                raise CaptionerError(
                    f"{folder}: got {', '.join(made)} for a model of {session.given}; a file is "
                    f"missing or another bundle's: export it again"
                )
            made = session.made
        self._looks = [functools.partial(_only, session) for session in looks]

    def _start(self, path: Path, engine: Engine, bfloat16: bool) -> Session:
        if engine.name == OPENVINO:
            return OpenVinoSession(path, self._threads, bfloat16)
        return OnnxRuntimeSession(path, self._threads)

    def run(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
        """The outputs `names` of `images uint8[B, H, W, 3]`; any thread may ask at any time.

        Raises:
            ModelError: if an operation fails.
            MemoryError: if it finds no memory.
        """
        return self._rest.run(names, look(self._looks, images, self._threads))


def _only(session: Session, given: np.ndarray) -> np.ndarray:
    """The one output of `session`."""
    (result,) = session.run(session.made, given)
    return result
