"""`captioner preprocess`: captions and pictures to TFRecords and a vocabulary."""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from model.config import DatasetInfo, ImageConfig, from_options, to_json
from model.dataset import DATASET_FILE, SPLITS, VOCABULARY_FILE
from model.errors import CaptionerError
from model.image import DECODER_VERSION
from pipelines import files
from pipelines.beam_options import make_options
from pipelines.joins import check_sums, drop_empty_captions
from pipelines.listing import ReadListing, write_listing
from pipelines.preprocessing_fn import VOCABULARY_NAME
from pipelines.records import (
    Caption,
    ImageFile,
    SplitEntry,
    Tally,
    TokenisedImage,
)
from pipelines.shards import REJECT_FILES, WriteShard, write_rejects
from pipelines.sources import (
    SkippedFiles,
    list_images,
    normalise_uri,
    read_captions,
    read_split_lists,
)
from pipelines.splits import SplitRatios, parse_split_ratios, shard_of
from pipelines.transforms import JoinImages, SeparateRejects, TokeniseCaptions, WriteShards

_STAGING = "_incomplete"
_LISTING_ROWS = 4096
_TALLIES = "tallies.json"


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """What `captioner preprocess` was asked for; all of it shapes the dataset."""

    captions: str
    images: str
    split_lists: dict[str, str]
    split_ratios: SplitRatios | None
    image: ImageConfig
    min_count: int
    images_per_shard: int

    def __post_init__(self) -> None:
        for name in ("min_count", "images_per_shard"):
            value = getattr(self, name)
            if value < 1:
                raise CaptionerError(f"--{name.replace('_', '-')}: got {value}, expected 1 or more")


def read_config(options: argparse.Namespace) -> PreprocessConfig:
    """The configuration that the command's options ask for.

    Raises:
        CaptionerError: if they contradict each other.
    """
    lists = {split: getattr(options, f"{split}_list") for split in SPLITS}
    lists = {split: normalise_uri(uri) for split, uri in lists.items() if uri}
    if lists and options.split_ratios:
        raise CaptionerError("got split lists and --split-ratios; give one or the other")
    if lists and "train" not in lists:
        raise CaptionerError(f"got lists for {sorted(lists)}; --train-list is missing")
    ratios = None if lists else parse_split_ratios(options.split_ratios or "0.8,0.1,0.1")
    return PreprocessConfig(
        captions=normalise_uri(options.captions),
        images=normalise_uri(options.images),
        split_lists=lists,
        split_ratios=ratios,
        image=from_options(ImageConfig, options),
        min_count=options.min_count,
        images_per_shard=options.images_per_shard,
    )


def request_digest(config: PreprocessConfig) -> str:
    """A digest of the options and of the captions and lists that they name.

    Raises:
        CaptionerError: if one of these files cannot be read.
    """
    inputs = {}
    for uri in (config.captions, *config.split_lists.values()):
        try:
            inputs[uri] = files.sha256_of(uri)
        except OSError as error:
            raise CaptionerError(f"{uri} cannot be read: {error}; check the path") from error
    asked = {"config": dataclasses.asdict(config), "inputs": inputs, "decoder": DECODER_VERSION}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _is_done(output: str, request: str) -> bool:
    """Whether `output` already holds the dataset asked for.

    Raises:
        CaptionerError: if it holds something else.
    """
    marker = FileSystems.join(output, DATASET_FILE)
    if FileSystems.exists(marker):
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged one is another one
            if json.loads(files.read_bytes(marker))["request"] == request:
                return True
        raise CaptionerError(
            f"--output {output} already holds another dataset (other options, captions or lists); "
            "choose another folder or delete this one"
        )
    if files.is_local(output) and os.path.lexists(output) and not os.path.isdir(output):
        raise CaptionerError(f"--output {output} is a file; expected a folder")
    staging = FileSystems.join(output, _STAGING, "")
    foreign = [uri for uri in files.list_tree(output) if not uri.startswith(staging)]
    if foreign:
        raise CaptionerError(
            f"--output {output} holds files that are no dataset, e.g. {foreign[0]}; choose "
            "another folder or empty this one"
        )
    return False


@contextlib.contextmanager
def _staging(output: str) -> Iterator[str]:
    """A folder under `output` for all that is written before the end; gone afterwards."""
    existed = files.is_local(output) and os.path.isdir(output)
    staging = FileSystems.join(output, _STAGING)
    files.delete_tree(staging)
    try:
        yield staging
    finally:
        files.delete_tree(staging)
        if files.is_local(output) and not existed and not files.list_tree(output):
            files.delete_tree(output)


@dataclasses.dataclass(frozen=True)
class _Listings:
    """The listings in the staging folder: their URIs and numbers of batches."""

    captions: tuple[str, int]
    images: tuple[str, int]
    splits: tuple[str, int]


def _write_listings(config: PreprocessConfig, folder: str, skipped: SkippedFiles) -> _Listings:
    """Reads and checks all inputs but the pictures' bytes."""

    def listing(name: str, rows: Iterator, row_type: type) -> tuple[str, int]:
        uri = f"{folder}/{name}.arrow"
        return uri, sum(1 for _ in write_listing(rows, row_type, uri, _LISTING_ROWS))

    return _Listings(
        captions=listing("captions", read_captions(config.captions), Caption),
        images=listing("images", list_images(config.images, skipped), ImageFile),
        splits=listing("splits", read_split_lists(config.split_lists), SplitEntry),
    )


def build(
    pipeline: beam.Pipeline, config: PreprocessConfig, listings: _Listings, staging: str
) -> None:
    """The whole pipeline, from listings to the files in `staging`."""
    sources = {
        "captions": ReadListing(*listings.captions, Caption),
        "images": ReadListing(*listings.images, ImageFile),
        "splits": ReadListing(*listings.splits, SplitEntry),
    }
    rows = {name: pipeline | f"Read {name}" >> source for name, source in sources.items()}
    images, unjoined = rows | JoinImages(config.split_ratios)
    tokenised, empty = (
        images
        | TokeniseCaptions(staging, config.min_count)
        | beam.FlatMap(drop_empty_captions)
        | SeparateRejects(TokenisedImage)
    )
    written = tokenised | WriteShards(staging, config.image, config.images_per_shard)
    rejected = (
        [unjoined, empty, written[WriteShard.REJECTS]]
        | "All rejects" >> beam.Flatten()
        | beam.WithKeys(lambda reject: shard_of(reject.image_id, REJECT_FILES))
        | "Group rejects" >> beam.GroupByKey()
        | "Write rejects" >> beam.FlatMap(write_rejects, f"{staging}/rejects")
    )
    inputs = (
        [images, unjoined]
        | "All inputs" >> beam.Flatten()
        | beam.Map(lambda _: Tally("inputs", "", 1))
    )
    _ = (
        [written.tallies, rejected, inputs]
        | "All tallies" >> beam.Flatten()
        | beam.Map(lambda tally: ((tally.what, tally.of), tally.number))
        | beam.CombinePerKey(sum)
        | beam.combiners.ToList()
        | beam.Map(
            lambda pairs, uri: files.write_text(uri, json.dumps(pairs)), f"{staging}/{_TALLIES}"
        )
    )


def _read_tallies(staging: str) -> dict[str, dict[str, int]]:
    tallies: dict[str, dict[str, int]] = defaultdict(dict)
    for (what, of), count in json.loads(files.read_bytes(f"{staging}/{_TALLIES}")):
        tallies[what][of] = count
    return tallies


def _finish(staging: str, config: PreprocessConfig, request: str) -> DatasetInfo:
    """Checks the sums, puts the vocabulary in place and writes `dataset.json`."""
    tallies = _read_tallies(staging)
    examples = {split: tallies["examples"].get(split, 0) for split in SPLITS}
    rejects, inputs = tallies["rejects"], tallies["inputs"].get("", 0)
    check_sums(examples, sum(rejects.values()), inputs)
    if not examples["train"]:
        raise CaptionerError(
            f"no image is left to train on: {inputs} images, rejected {rejects}, examples "
            f"{examples}; do the captions name images as paths below {config.images}?"
        )
    asset = files.read_bytes(f"{staging}/transform_fn/assets/{VOCABULARY_NAME}")
    files.write_text(f"{staging}/{VOCABULARY_FILE}", asset.decode())
    content = json.dumps([request, sorted(tallies["shards"]), asset.decode()])
    info = DatasetInfo(
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:16],
        request=request,
        decoder_version=DECODER_VERSION,
        image=config.image,
        vocabulary_size=asset.decode().count("\n"),
        examples=examples,
        captions={split: tallies["captions"].get(split, 0) for split in SPLITS},
        rejects={**rejects, **_caption_rejects(tallies)},
        inputs=inputs,
    )
    files.write_text(f"{staging}/{DATASET_FILE}", to_json(info))
    return info


def _caption_rejects(tallies: dict[str, dict[str, int]]) -> dict[str, int]:
    """Captions rejected on their own, under keys that tell them from pictures."""
    return {f"{reason} (caption)": n for reason, n in tallies["rejected captions"].items()}


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    pipeline_options: PipelineOptions = make_options(options.beam)
    config, output = read_config(options), normalise_uri(options.output)
    request = request_digest(config)
    if _is_done(output, request):
        print(f"{output} already holds this dataset: nothing to do.")
        return 0
    skipped = SkippedFiles()
    with _staging(output) as staging:
        listings = _write_listings(config, f"{staging}/listings", skipped)
        with beam.Pipeline(options=pipeline_options) as pipeline:
            build(pipeline, config, listings, staging)
        info = _finish(staging, config, request)
        for scratch in ("listings", "tft"):
            files.delete_tree(f"{staging}/{scratch}")
        FileSystems.delete([f"{staging}/{_TALLIES}"])
        files.move_tree(staging, output, last=DATASET_FILE)
    _print_summary(info, output, skipped)
    return 0


def _print_summary(info: DatasetInfo, output: str, skipped: SkippedFiles) -> None:
    total = sum(info.examples.values())
    rejected = info.inputs - total
    print(f"{info.inputs} images = {total} examples + {rejected} rejected")
    for split in SPLITS:
        print(f"  {split:<10} {info.examples[split]:>8} images {info.captions[split]:>8} captions")
    for reason, count in sorted(info.rejects.items()):
        print(f"  rejected: {reason} {count}")
    print(f"  vocabulary {info.vocabulary_size:>8} tokens")
    print(f"  files of the folder that are no pictures: {skipped}")
    print(f"dataset {info.fingerprint} in {Path(output) if files.is_local(output) else output}")


if __name__ == "__main__":
    from pipelines.cli import main

    sys.exit(main(["preprocess", *sys.argv[1:]]))
