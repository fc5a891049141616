"""Opening a bundle with what is to compute it."""

from pathlib import Path

from model.bundle_folder import LoadedBundle
from model.command import quiet_imports
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import DEFAULT_ENGINE, TENSORFLOW, Engine


def open_bundle(
    folder: Path, engine: Engine = DEFAULT_ENGINE, decoding: Decoding = AS_EXPORTED
) -> LoadedBundle:
    """A bundle in memory, ready to caption; imports TensorFlow only where it computes.

    Args:
        folder: made by ``captioner export``.
        engine: what computes it.
        decoding: what is decoded otherwise than it was exported with.

    Raises:
        CaptionerError: if it is no bundle of this decoder version, is damaged, lacks what the
            engine needs, or is to decode otherwise than the engine can.
    """
    if engine.name != TENSORFLOW:
        from model.onnx_bundle import OnnxBundle

        return OnnxBundle(folder, engine, decoding)
    with quiet_imports():
        from model.bundle import Bundle
    return Bundle(folder, engine, decoding)
