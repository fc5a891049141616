"""Small files that are there whole or not at all, and weights that load or say why not."""

import os
from pathlib import Path

import keras

from model.errors import CaptionerError


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file under another name first, then renames it.

    Raises:
        OSError: if it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f"_{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(model: keras.Model, path: Path) -> None:
    """Loads `path` into `model`.

    Raises:
        CaptionerError: if there is no such file, or it is damaged or of another architecture.
    """
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        told = " ".join(str(error).split())
        raise CaptionerError(
            f"{path} cannot be loaded: expected whole weights of the architecture that is "
            f"configured beside it, got {told[:300]}; make them again"
        ) from error
