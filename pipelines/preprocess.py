"""`captioner preprocess`: captions and pictures to TFRecords and a vocabulary."""

import argparse
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from model.artifacts import (
    DATASET_FILE,
    FREQUENCIES_FILE,
    SPLITS,
    VOCABULARY_FILE,
    DatasetInfo,
    FeatureConfig,
)
from model.command import check_no_pattern
from model.config_json import to_json
from model.errors import CaptionerError
from model.image import DECODER_VERSION
from pipelines import files
from pipelines.beam_options import check_workers_see, make_options
from pipelines.dataset_folder import has_dataset, is_done, publish, staging_folder
from pipelines.encoding import save_encoder
from pipelines.failures import dead_workers_told, failures_told
from pipelines.images import STALLED
from pipelines.joins import NO_CAPTION, NO_SPLIT, check_sums, drop_empty_captions, main_reason
from pipelines.listing import ReadListing
from pipelines.preprocess_config import PreprocessConfig, read_config, request_digest
from pipelines.preprocess_inputs import (
    IMAGES_PER_STORE,
    Listings,
    combine,
    digest_pictures,
    write_listings,
)
from pipelines.preprocess_progress import Prepared
from pipelines.preprocessing_fn import FREQUENCIES_NAME, VOCABULARY_NAME
from pipelines.progress import shown_progress
from pipelines.records import (
    Caption,
    CaptionedImage,
    DuplicatePair,
    PreparedImage,
    SplitEntry,
)
from pipelines.shards import (
    PICTURES_OF_TOKENS,
    REJECT_FILES,
    example_reject,
    write_duplicates,
    write_rejects,
)
from pipelines.sources import SkippedFiles, check_sources, normalise_uri
from pipelines.splits import shard_of
from pipelines.tallies import WriteTallies, read_tallies
from pipelines.transforms import (
    DropNearCopies,
    FindNearCopies,
    JoinImages,
    PreparePictures,
    Separate,
    TokeniseCaptions,
    UniteCopies,
    WriteShards,
)

_TALLIES = "tallies.json"
_DUPLICATES_FILE = "duplicates.parquet"
# What tensorflow-transform writes in place of a vocabulary without words.
_DUMMY_WORD = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of rejects, for what hinders reading.
_UNREAD = ("unreadable", STALLED)
# In the staging folder, and no part of the dataset.
_SCRATCH = ("listings", "pixels", "tft")


def build(
    pipeline: beam.Pipeline,
    config: PreprocessConfig,
    listings: Listings,
    features: FeatureConfig | None,
    staging: str,
) -> None:
    """The whole pipeline, from listings to the files in `staging`."""
    prepared, unread = (
        pipeline
        | PreparePictures(
            listings.images, f"{staging}/pixels", config.image, config.read_timeout_sec
        )
        | "Separate unread" >> Separate(PreparedImage)
    )
    rows = {
        "captions": pipeline | "Read captions" >> ReadListing(*listings.captions, Caption),
        "images": (prepared, unread) | "Pictures" >> beam.Flatten(),
        "splits": pipeline | "Read splits" >> ReadListing(*listings.splits, SplitEntry),
    }
    joined, unjoined = rows | JoinImages(listings.ratios)
    # Before copies are looked for: a picture that is no example moves and drops no other one.
    worded, empty = (
        joined | beam.FlatMap(drop_empty_captions) | "Separate empty" >> Separate(CaptionedImage)
    )
    united, copies = worded | UniteCopies(listings.ratios)
    rejects, duplicates = [unjoined, empty], [copies]
    if config.drop_near_copies:
        united, dropped, near = united | DropNearCopies()
        rejects += dropped
        duplicates += near
    else:
        duplicates.append(united | FindNearCopies())
    written = (
        united
        | TokeniseCaptions(staging, config.text)
        | WriteShards(staging, config.image, features, config.shard_bytes)
    )
    rejected = (
        rejects
        | "All rejects" >> beam.Flatten()
        | beam.WithKeys(lambda reject: shard_of(reject.image_id, REJECT_FILES))
        | "Group rejects" >> beam.GroupByKey()
        | "Write rejects" >> beam.FlatMap(write_rejects, f"{staging}/rejects")
    )
    told = (
        duplicates
        | "All duplicates" >> beam.Flatten().with_output_types(DuplicatePair)
        | "Collect duplicates" >> beam.combiners.ToList()
        | "Write duplicates" >> beam.FlatMap(write_duplicates, f"{staging}/{_DUPLICATES_FILE}")
    )
    _ = (written, rejected, told) | WriteTallies(f"{staging}/{_TALLIES}")


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


def _finish(
    staging: str,
    config: PreprocessConfig,
    listings: Listings,
    features: FeatureConfig | None,
    request: str,
) -> DatasetInfo:
    """Checks the sums, puts the vocabulary in place and writes `dataset.json`."""
    tallies = read_tallies(f"{staging}/{_TALLIES}")
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


def _check_tensorflow_writes(output: str) -> None:
    """Raises:
    CaptionerError: if TensorFlow, by which tensorflow-transform writes, lacks its file system.
    """
    scheme, known = output.rpartition("://")[0], tf.io.gfile.get_registered_schemes()
    if scheme not in known:
        named = ", ".join(f"{name}://" for name in sorted(known) if name not in ("", "file", "ram"))
        raise CaptionerError(
            f"--output: got {output}, expected a path of this machine or of {named}, for "
            "TensorFlow writes there too; write it there, and copy it"
        )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    pipeline_options = make_options(options.beam)
    config, output = read_config(options), normalise_uri(options.output)
    check_workers_see(pipeline_options, {"--output": [output], "--images": config.images})
    check_no_pattern(output, "--output")
    _check_tensorflow_writes(output)
    asked = request_digest(config)
    made_usec = files.modified_usec(f"{output}/{DATASET_FILE}") if has_dataset(output) else None
    if is_done(output, lambda: combine(asked, digest_pictures(config, made_usec))):
        print(f"{output} already holds this dataset: nothing to do.")
        for line in _told_of_unread(output):
            print(line)
        return 0
    # Before the folder is taken over from a run that may be at work there.
    check_sources(config.images, config.images_column)
    skipped = SkippedFiles()
    with failures_told(), staging_folder(output) as staging:
        listings = write_listings(config, f"{staging}/listings", f"{staging}/rejects", skipped)
        request = combine(asked, listings.digest)
        features = None
        if config.encoder:
            features = save_encoder(config.encoder, config.image, staging)
        to_do = listings.listed - listings.uncaptioned
        prepared = Prepared(staging, to_do, IMAGES_PER_STORE, listings.captioned)
        pipeline = beam.Pipeline(options=pipeline_options)
        with dead_workers_told(), shown_progress(prepared.look), pipeline:
            build(pipeline, config, listings, features, staging)
        info = _finish(staging, config, listings, features, request)
        for scratch in _SCRATCH:
            files.delete_tree(f"{staging}/{scratch}")
        FileSystems.delete([f"{staging}/{_TALLIES}"])
        publish(staging, output)
    for line in _summary(info, output, skipped):
        print(line)
    return 0


def _told_of_unread(output: str) -> Iterator[str]:
    """What the dataset in `output` lacks that may be read by now: a disk may have been away."""
    rejects = json.loads(files.read_bytes(f"{output}/{DATASET_FILE}"))["rejects"]
    if unread := [f"{reason} {rejects[reason]}" for reason in _UNREAD if reason in rejects]:
        yield (
            f"  rejected when it was made: {', '.join(unread)}; if a disk or a network was to "
            "blame, delete the folder and run the command again"
        )


def _summary(info: DatasetInfo, output: str, skipped: SkippedFiles) -> Iterator[str]:
    total = sum(info.examples.values())
    yield f"{info.inputs} images = {total} examples + {info.inputs - total} rejected"
    for split in SPLITS:
        counts = f"{info.examples[split]:>8} images {info.captions[split]:>8} captions"
        yield f"  {split:<10} {counts}"
    for reason, count in sorted(info.rejects.items()):
        yield f"  rejected: {reason} {count}"
    for action, count in sorted(info.duplicates.items()):
        yield f"  the same or nearly the same in two splits: {count} {action}"
    yield f"  vocabulary {info.vocabulary_size:>8} tokens"
    if info.features:
        yield f"  features   {dataclasses.asdict(info.features)}"
    yield from skipped.lines()
    yield f"dataset {info.fingerprint} in {Path(output) if files.is_local(output) else output}"


if __name__ == "__main__":
    from pipelines.cli import leave, main

    leave(main(["preprocess", *sys.argv[1:]]))
