"""Schemas of the Parquet files, each defined once. Units: see `docs/artifacts.md`."""

import pyarrow as pa

from model.errors import CaptionerError

CAPTIONED, REJECTED = "captioned", "rejected"


def _required(name: str, type: pa.DataType) -> pa.Field:
    return pa.field(name, type, nullable=False)


def _list_of_scored(name: str) -> pa.DataType:
    return pa.list_(pa.struct([(name, pa.string()), ("score", pa.float32())]))


# One row per input picture. `container` and `member` are set for pictures inside an archive file.
CAPTIONS = pa.schema(
    [
        _required("image_uri", pa.string()),
        pa.field("container", pa.string()),
        pa.field("member", pa.string()),
        pa.field("sha256", pa.string()),
        _required("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("error", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("score", pa.float32()),
        _required("alternatives", _list_of_scored("caption")),
        _required("tags", _list_of_scored("tag")),
        _required("flags", pa.list_(pa.string())),
        pa.field("width_px", pa.int32()),
        pa.field("height_px", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("byte_size", pa.int64()),
        _required("model_fingerprint", pa.string()),
        _required("captioned_at", pa.timestamp("us", tz="UTC")),
    ]
)

# One row per input of preprocessing that gives no example.
REJECTS = pa.schema(
    [
        _required("image_id", pa.string()),
        pa.field("image_uri", pa.string()),
        _required("stage", pa.string()),
        _required("reason", pa.string()),
        _required("error", pa.string()),
        pa.field("caption", pa.string()),
    ]
)

# One row per example of a dataset: what a person asks of it, without the pixels.
EXAMPLES = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("image_uri", pa.string()),
        _required("split", pa.string()),
        _required("captions", pa.list_(pa.string())),
        _required("token_counts", pa.list_(pa.int32())),
        _required("unknown_counts", pa.list_(pa.int32())),
        _required("width_px", pa.int32()),
        _required("height_px", pa.int32()),
        _required("mode", pa.string()),
        _required("format", pa.string()),
        _required("byte_size", pa.int64()),
        _required("pixel_sha256", pa.string()),
        _required("perceptual_hash", pa.string()),
    ]
)

# One row per pair of pictures with (nearly) the same content in two splits.
DUPLICATES = pa.schema(
    [
        _required("image_id", pa.string()),
        _required("split", pa.string()),
        _required("other_image_id", pa.string()),
        _required("other_split", pa.string()),
        _required("distance", pa.int32()),
        _required("action", pa.string()),
    ]
)


def check_no_nulls(table: pa.Table) -> pa.Table:
    """`table` as it is; Arrow itself does not enforce ``nullable=False``.

    Raises:
        CaptionerError: if a required column holds a null.
    """
    for name in table.schema.names:
        if not table.schema.field(name).nullable and table.column(name).null_count:
            raise CaptionerError(f"column {name}: got a null, expected a value in every row")
    return table
