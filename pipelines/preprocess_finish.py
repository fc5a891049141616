"""The end of preprocessing: sums are checked, and what describes the dataset is put in place."""

import hashlib
import json
import re
from collections.abc import Mapping

from model.artifacts import (
    DATASET_FILE,
    FREQUENCIES_FILE,
    SPLITS,
    VOCABULARY_FILE,
    DatasetInfo,
    FeatureConfig,
)
from model.config_json import to_json
from model.errors import CaptionerError
from model.image import DECODER_VERSION
from pipelines import files
from pipelines.joins import NO_CAPTION, NO_SPLIT, check_sums, main_reason
from pipelines.preprocess_config import PreprocessConfig
from pipelines.preprocess_inputs import Listings
from pipelines.preprocessing_fn import FREQUENCIES_NAME, VOCABULARY_NAME
from pipelines.shards import PICTURES_OF_TOKENS, example_reject
from pipelines.tallies import read_tallies

# Of what was written, in the staging folder.
TALLIES_FILE = "tallies.json"
# What tensorflow-transform writes in place of a vocabulary without words.
_DUMMY_WORD = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def finish(
    staging: str,
    config: PreprocessConfig,
    listings: Listings,
    features: FeatureConfig | None,
    request: str,
) -> DatasetInfo:
    """Checks the sums, puts the vocabulary in place and writes `dataset.json`."""
    tallies = read_tallies(f"{staging}/{TALLIES_FILE}")
    examples = {split: tallies["examples"].get(split, 0) for split in SPLITS}
    rejects = tallies["rejects"]
    if listings.uncaptioned:
        rejects[NO_CAPTION] = listings.uncaptioned
    check_sums(examples, rejects, listings.listed, tallies["unlisted"].get("", 0))
    _check_splits(examples, config, listings, rejects, staging)
    vocabulary = _write_vocabulary(staging, tallies[PICTURES_OF_TOKENS])
    content = json.dumps([request, sorted(tallies["shards"]), vocabulary])
    info = DatasetInfo(
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:16],
        request=request,
        decoder_version=DECODER_VERSION,
        image=config.image,
        vocabulary_size=vocabulary.count("\n"),
        examples=examples,
        captions={split: tallies["captions"].get(split, 0) for split in SPLITS},
        rejects={**rejects, **_caption_rejects(tallies)},
        inputs=sum(examples.values()) + sum(rejects.values()),
        duplicates=tallies["duplicates"],
        features=features,
    )
    files.write_text(f"{staging}/{DATASET_FILE}", to_json(info))
    return info


def _write_vocabulary(staging: str, pictures: Mapping[str, int]) -> str:
    """Puts the vocabulary and its frequencies in place; returns the vocabulary's text.

    Args:
        pictures: of token ids, how many pictures of the train split have a caption with each.
    """
    assets = f"{staging}/transform_fn/assets"
    vocabulary = files.read_bytes(f"{assets}/{VOCABULARY_NAME}").decode()
    files.write_text(f"{staging}/{VOCABULARY_FILE}", vocabulary)
    counted = files.read_bytes(f"{assets}/{FREQUENCIES_NAME}").decode().removesuffix("\n")
    pairs = [line.split(" ", 1) for line in counted.split("\n")]
    if len(pairs) == 1 and _DUMMY_WORD.fullmatch(pairs[0][-1]):
        raise CaptionerError(
            "no word of the train split occurs --min-count times; lower it, or give more captions"
        )
    ids = {token: str(number) for number, token in enumerate(vocabulary.split("\n"))}
    lines = (f"{token}\t{count}\t{pictures[ids[token]]}\n" for count, token in pairs)
    files.write_text(f"{staging}/{FREQUENCIES_FILE}", "".join(lines))
    return vocabulary


def _check_splits(
    examples: dict[str, int],
    config: PreprocessConfig,
    listings: Listings,
    rejects: dict[str, int],
    staging: str,
) -> None:
    """Raises:
    CaptionerError: if there is nothing to train on, or nothing is left of a list.
    """
    for split, uri in config.split_lists.items():
        if not examples[split] and any(examples.values()):
            raise CaptionerError(
                f"--{split}-list {uri} names none of the pictures that have captions, called e.g. "
                f"{listings.caption_name!r}, or all that it names were rejected or moved to "
                f"another split: rejected {rejects}"
            )
    if not examples["train"] and any(examples.values()):
        raise CaptionerError(
            f"no image is left to train on: all went to other splits, {examples}; give more "
            "pictures, or --split-ratios 1,0,0"
        )
    if not examples["train"]:
        names = listings.why_none_is_left(rejects)
        why = names or example_reject(f"{staging}/rejects", main_reason(rejects))
        by_names = names or NO_SPLIT in rejects
        raise CaptionerError(
            f"no image is left to train on: rejected {rejects}; {why}"
            + ("; split lists must use these names too" if config.split_lists and by_names else "")
        )


def _caption_rejects(tallies: dict[str, dict[str, int]]) -> dict[str, int]:
    """Captions rejected on their own, under keys that tell them from pictures."""
    return {f"{reason} (caption)": n for reason, n in tallies["rejected captions"].items()}
