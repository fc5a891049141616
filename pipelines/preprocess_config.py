"""What `captioner preprocess` was asked for, checked."""

import argparse
import dataclasses
import hashlib
import json
import os

from model.artifacts import SPLITS
from model.config import ImageConfig
from model.errors import CaptionerError
from model.image import DECODER_VERSION
from model.options import flag, from_options
from pipelines import files
from pipelines.captions.formats import CaptionColumns, CaptionSource, detect_sources
from pipelines.encoding import EncoderRequest
from pipelines.images import check_read_timeout
from pipelines.preprocessing_fn import TextConfig
from pipelines.sources import normalise_uri
from pipelines.splits import SplitRatios, parse_split_ratios

_BYTES_PER_MIB = 1 << 20
# Formats whose files may hold pictures, too large to be read twice for a digest.
_LARGE_FORMATS = ("webdataset", "parquet", "captions")


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """What `captioner preprocess` was asked for; all of it shapes the dataset.

    Attributes:
        images_column: the column of tables of `images`; found if None.
        read_timeout_sec: most seconds to read and decode a picture.
        split_lists: the list of each split; empty without lists.
        split_ratios: as given, or None.
        drop_near_copies: whether near copies of pictures in another split are dropped.
        shard_bytes: bound of a TFRecord file.
        encoder: which features to store; None for none.
    """

    captions: tuple[CaptionSource, ...]
    columns: CaptionColumns
    min_score: float | None
    images: tuple[str, ...]
    images_column: str | None
    read_timeout_sec: float
    split_lists: dict[str, str]
    split_ratios: SplitRatios | None
    image: ImageConfig
    text: TextConfig
    drop_near_copies: bool
    shard_bytes: int
    encoder: EncoderRequest | None


def read_config(options: argparse.Namespace) -> PreprocessConfig:
    """The configuration that the command's options ask for.

    Raises:
        CaptionerError: if they contradict each other, or the captions are missing or unknown.
    """
    lists = {split: getattr(options, f"{split}_list") for split in SPLITS}
    lists = {split: normalise_uri(uri) for split, uri in lists.items() if uri}
    if lists and options.split_ratios:
        raise CaptionerError("got split lists and --split-ratios; give one or the other")
    if lists and "train" not in lists:
        raise CaptionerError(f"got lists for {sorted(lists)}; --train-list is missing")
    if options.images_column is not None and not options.images:
        raise CaptionerError(
            f"--images-column: got {options.images_column!r} without --images; the column of the "
            "captions' own tables is --image-column"
        )
    check_read_timeout(options.read_timeout_sec)
    if options.shard_mib < 1:
        raise CaptionerError(f"--shard-mib: got {options.shard_mib}, expected 1 or more")
    return PreprocessConfig(
        captions=tuple(detect_sources(options.captions, options.format)),
        columns=CaptionColumns(options.image_column, options.caption_column, options.split_column),
        min_score=options.min_score,
        images=tuple(normalise_uri(source) for source in options.images or ()),
        images_column=options.images_column,
        read_timeout_sec=options.read_timeout_sec,
        split_lists=lists,
        split_ratios=parse_split_ratios(options.split_ratios) if options.split_ratios else None,
        image=from_options(ImageConfig, options),
        text=TextConfig(options.min_count, options.vocabulary_size, not options.keep_case),
        drop_near_copies=options.near_duplicates == "drop",
        shard_bytes=options.shard_mib * _BYTES_PER_MIB,
        encoder=_encoder(options),
    )


def _encoder(options: argparse.Namespace) -> EncoderRequest | None:
    if options.encoder:
        views = 1 if options.crops is None else options.crops
        weights = os.path.expanduser(options.encoder_weights or "imagenet")
        return EncoderRequest(options.encoder, weights, views)
    for name in ("encoder_weights", "crops"):
        if getattr(options, name) is not None:
            raise CaptionerError(
                f"{flag(name)}: got {getattr(options, name)} without --encoder; "
                "stored features need both"
            )
    return None


def request_digest(config: PreprocessConfig) -> str:
    """A digest of the options and of the captions and lists that they name.

    Raises:
        CaptionerError: if one of these files cannot be read.
    """
    inputs = {}
    large = {source.uri for source in config.captions if source.format in _LARGE_FORMATS}
    for uri in (*(source.uri for source in config.captions), *config.split_lists.values()):
        try:
            inputs[uri] = _file_state(uri) if uri in large else files.sha256_of(uri)
        except OSError as error:
            raise CaptionerError(f"{uri} cannot be read: {error}; check the path") from error
    if config.encoder and os.path.isfile(config.encoder.weights):
        inputs[config.encoder.weights] = files.sha256_of(config.encoder.weights)
    asked = {"config": dataclasses.asdict(config), "inputs": inputs, "decoder": DECODER_VERSION}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _file_state(uri: str) -> str:
    if files.is_local(uri):
        status = os.stat(uri)
        return str((status.st_size, status.st_mtime_ns))
    found = files.match(uri)
    return str([(m.path, m.size_in_bytes, m.last_updated_in_seconds) for m in found])
