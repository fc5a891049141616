"""SPICE (Anderson et al., ECCV 2016), where its files are present; they are never downloaded."""

import json
import tempfile
from pathlib import Path

from model.java import JavaError, run_java
from model.measures import Guess, Measure, Truth, mean_of

_PARSER = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
# Its parser takes a minute to start on a slow machine, and up to a second for an image.
_START_SECONDS, _SECONDS_PER_IMAGE = 600.0, 2.0


def spice(truth: Truth, guess: Guess) -> Measure:
    """Mean SPICE F-measure, 0 to 1: objects, attributes and relations that were named.

    Raises:
        JavaError: if a file of its parser is missing, or the program fails.
    """
    # Imported here: the rest of `model` works where pycocoevalcap is not installed.
    from pycocoevalcap import spice as package

    folder = Path(package.__file__).parent
    missing = [name for name in _PARSER if not (folder / "lib" / name).exists()]
    if missing:
        raise JavaError(
            f"pycocoevalcap comes without {' and '.join(missing)}; put them into its spice/lib"
        )
    pairs = [
        # Numbers, as in COCO: what other ids the program takes is not documented.
        {"image_id": number, "test": guess[image][0], "refs": references}
        for number, (image, references) in enumerate(truth.items())
    ]
    with tempfile.TemporaryDirectory() as temporary:
        asked, answered = Path(temporary, "captions.json"), Path(temporary, "scores.json")
        asked.write_text(json.dumps(pairs), encoding="utf-8")
        jar = folder / "spice-1.0.jar"
        run_java(
            ["-Xmx8G", "-jar", str(jar), str(asked), "-out", str(answered), "-silent"],
            "",
            _START_SECONDS + _SECONDS_PER_IMAGE * len(pairs),
        )
        text = answered.read_text(encoding="utf-8") if answered.exists() else ""
    return mean_of("spice", _parse(text, len(pairs)))


def _parse(text: str, images: int) -> list[float]:
    """The F-measures of images 0, 1, ... in what the program wrote."""
    try:
        scores = {row["image_id"]: float(row["scores"]["All"]["f"]) for row in json.loads(text)}
        return [scores[number] for number in range(images)]
    except (ValueError, TypeError, KeyError) as error:
        raise JavaError(f"SPICE gave no score for each of {images} images: {error!r}") from error
