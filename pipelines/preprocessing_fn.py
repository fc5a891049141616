"""What tensorflow-transform does to captions: one graph, analysed on the train split alone."""

from collections.abc import Callable

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from model.text import tokenise
from model.vocabulary import OOV, SPECIAL_TOKENS
from pipelines.records import CaptionedImage, TokenisedImage

VOCABULARY_NAME = "vocabulary"

_STRINGS = pa.large_list(pa.large_binary())
# The other columns ride along untouched: TFT sees captions only.
PASSED_THROUGH = ("image_id", "uri", "split", "texts")
_SCHEMA = pa.schema([("captions", _STRINGS), *((name, _STRINGS) for name in PASSED_THROUGH)])


def tensor_adapter_config() -> TensorAdapterConfig:
    """How TFT reads the record batches of `to_record_batch`: captions as a ragged column."""
    representation = text_format.Parse(
        'varlen_sparse_tensor { column_name: "captions" }', schema_pb2.TensorRepresentation()
    )
    return TensorAdapterConfig(_SCHEMA, {"captions": representation})


def to_record_batch(images: list[CaptionedImage]) -> pa.RecordBatch:
    """Captioned pictures as the record batch that TFT takes."""
    captions = [[text.encode() for text in image.captions] for image in images]
    columns = [
        captions,
        *([[getattr(image, name).encode()] for image in images] for name in PASSED_THROUGH[:-1]),
        captions,
    ]
    arrays = [pa.array(column, _STRINGS) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def make_preprocessing_fn(min_count: int) -> Callable[[dict], dict]:
    """The TFT preprocessing function.

    Input: ``captions``, sparse `string[B, (captions)]`. Outputs, ragged: ``token_ids``
    `int64[B, (tokens of all captions)]` and ``caption_lengths`` `int64[B, (captions)]`.

    Args:
        min_count: words seen less often in the train split become OOV.
    """

    def preprocessing_fn(inputs: dict[str, tf.SparseTensor]) -> dict[str, tf.RaggedTensor]:
        captions = inputs["captions"]
        tokens = tokenise(captions.values)
        vocabulary = tft.vocabulary(
            tokens,
            frequency_threshold=min_count if min_count > 1 else None,
            vocab_filename=VOCABULARY_NAME,
            reserved_tokens=SPECIAL_TOKENS,
        )
        ids = tft.apply_vocabulary(tokens, vocabulary, default_value=OOV)
        images = tf.shape(captions, out_type=tf.int64)[0]
        image_of_caption = captions.indices[:, 0]
        image_of_token = tf.gather(image_of_caption, ids.value_rowids())
        by_row = tf.RaggedTensor.from_value_rowids
        return {
            "token_ids": by_row(ids.values, image_of_token, nrows=images),
            "caption_lengths": by_row(ids.row_lengths(), image_of_caption, nrows=images),
        }

    return preprocessing_fn


def from_record_batch(batch: pa.RecordBatch) -> list[TokenisedImage]:
    """The pictures of a record batch that TFT has transformed, in order."""
    columns = batch.to_pydict()
    images = []
    for row in range(batch.num_rows):
        captions = tuple(text.decode() for text in columns["texts"][row])
        image_id, uri, split = (columns[name][row][0].decode() for name in PASSED_THROUGH[:-1])
        flat, token_ids = iter(columns["token_ids"][row]), []
        for length in columns["caption_lengths"][row]:
            token_ids.append(tuple(next(flat) for _ in range(length)))
        image = CaptionedImage(image_id, uri, split, captions)
        images.append(TokenisedImage(image, tuple(token_ids)))
    return images
