"""`captioner preprocess`: captions and pictures to TFRecords and a vocabulary."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems

from model.artifacts import (
    DATASET_FILE,
    SPLITS,
    DatasetInfo,
    FeatureConfig,
)
from model.command import check_no_pattern
from model.errors import CaptionerError
from pipelines import files
from pipelines.beam_options import check_workers_see, make_options
from pipelines.dataset_folder import has_dataset, is_done, publish, staging_folder
from pipelines.encoding import save_encoder
from pipelines.failures import dead_workers_told, failures_told
from pipelines.images import STALLED
from pipelines.joins import drop_empty_captions
from pipelines.listing import ReadListing
from pipelines.preprocess_config import PreprocessConfig, read_config, request_digest
from pipelines.preprocess_finish import TALLIES_FILE, finish
from pipelines.preprocess_inputs import (
    IMAGES_PER_STORE,
    Listings,
    combine,
    digest_pictures,
    write_listings,
)
from pipelines.preprocess_progress import Prepared
from pipelines.progress import shown_progress
from pipelines.records import (
    Caption,
    CaptionedImage,
    DuplicatePair,
    PreparedImage,
    SplitEntry,
)
from pipelines.shards import (
    REJECT_FILES,
    write_duplicates,
    write_rejects,
)
from pipelines.sources import SkippedFiles, check_sources, normalise_uri
from pipelines.splits import shard_of
from pipelines.tallies import WriteTallies
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

_DUPLICATES_FILE = "duplicates.parquet"
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
    _ = (written, rejected, told) | WriteTallies(f"{staging}/{TALLIES_FILE}")


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
        info = finish(staging, config, listings, features, request)
        for scratch in _SCRATCH:
            files.delete_tree(f"{staging}/{scratch}")
        FileSystems.delete([f"{staging}/{TALLIES_FILE}"])
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
