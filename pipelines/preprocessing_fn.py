"""What tensorflow-transform does to captions: one graph, analysed on the train split alone."""

import dataclasses
import itertools
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops that a worker process finds in the graph
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from model.errors import CaptionerError
from model.text import tokenise
from model.vocabulary import OOV, SPECIAL_TOKENS
from pipelines import files
from pipelines.records import CaptionedImage, PreparedImage, TokenisedImage

VOCABULARY_NAME, FREQUENCIES_NAME = "vocabulary", "vocabulary_frequencies"

_STRINGS = pa.large_list(pa.large_binary())
# What rides along untouched: TFT sees captions only.
PASSED_THROUGH = "image"
_SCHEMA = pa.schema([("captions", _STRINGS), (PASSED_THROUGH, _STRINGS)])


@dataclass(frozen=True)
class TextConfig:
    """How captions become token ids.

    Attributes:
        min_count: words seen less often in the train split become OOV.
        vocabulary_size: most tokens of the vocabulary, the four special ones counted; None for all.
        lower_case: whether captions are made lower case.
    """

    min_count: int = 5
    vocabulary_size: int | None = None
    lower_case: bool = True

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise CaptionerError(f"--min-count: got {self.min_count}, expected 1 or more")
        size = self.vocabulary_size
        if size is not None and size <= len(SPECIAL_TOKENS):
            raise CaptionerError(
                f"--vocabulary-size: got {size}, expected more than the {len(SPECIAL_TOKENS)} "
                "special tokens"
            )


def tensor_adapter_config() -> TensorAdapterConfig:
    """How TFT reads the record batches of `to_record_batch`: captions as a ragged column."""
    representation = text_format.Parse(
        'varlen_sparse_tensor { column_name: "captions" }', schema_pb2.TensorRepresentation()
    )
    return TensorAdapterConfig(_SCHEMA, {"captions": representation})


def to_record_batch(images: list[CaptionedImage], analysed: bool = False) -> pa.RecordBatch:
    """Captioned pictures as the record batch that TFT takes.

    Args:
        analysed: for the vocabulary alone: nothing rides along.
    """
    captions = pa.array([[text.encode() for text in image.captions] for image in images], _STRINGS)
    # The runner holds the batches of all pictures until the vocabulary is known: no byte twice.
    records = [[] if analysed else [_pack(image)] for image in images]
    return pa.RecordBatch.from_arrays([captions, pa.array(records, _STRINGS)], schema=_SCHEMA)


def _pack(image: CaptionedImage) -> bytes:
    """All of it but the captions."""
    return pickle.dumps((dataclasses.astuple(image.image), image.split))


def _unpack(packed: bytes, captions: tuple[str, ...]) -> CaptionedImage:
    record, split = pickle.loads(packed)  # of this very job: no stranger's pickle
    return CaptionedImage(PreparedImage(*record), split, captions)


def make_preprocessing_fn(config: TextConfig) -> Callable[[dict], dict]:
    """The TFT preprocessing function.

    Input: ``captions``, sparse `string[B, (captions)]`. Outputs, ragged: ``texts``, the same;
    ``token_ids`` `int64[B, (tokens of all captions)]`; ``caption_lengths`` `int64[B, (captions)]`.
    """
    size = config.vocabulary_size
    limits = {
        "frequency_threshold": config.min_count if config.min_count > 1 else None,
        "top_k": size - len(SPECIAL_TOKENS) if size else None,
    }

    def preprocessing_fn(inputs: dict[str, tf.SparseTensor]) -> dict[str, tf.RaggedTensor]:
        captions = inputs["captions"]
        tokens = tokenise(captions.values, config.lower_case)
        vocabulary = tft.vocabulary(
            tokens, vocab_filename=VOCABULARY_NAME, reserved_tokens=SPECIAL_TOKENS, **limits
        )
        tft.vocabulary(tokens, vocab_filename=FREQUENCIES_NAME, store_frequency=True, **limits)
        ids = tft.apply_vocabulary(tokens, vocabulary, default_value=OOV)
        images = tf.shape(captions, out_type=tf.int64)[0]
        image_of_caption = captions.indices[:, 0]
        image_of_token = tf.gather(image_of_caption, ids.value_rowids())
        by_row = tf.RaggedTensor.from_value_rowids
        return {
            "texts": by_row(captions.values, image_of_caption, nrows=images),
            "token_ids": by_row(ids.values, image_of_token, nrows=images),
            "caption_lengths": by_row(ids.row_lengths(), image_of_caption, nrows=images),
        }

    return preprocessing_fn


def from_record_batch(batch: pa.RecordBatch) -> list[TokenisedImage]:
    """The pictures of a record batch that TFT has transformed, in order."""
    columns = batch.to_pydict()
    images = []
    for row in range(batch.num_rows):
        (record,) = columns[PASSED_THROUGH][row]
        flat, token_ids = iter(columns["token_ids"][row]), []
        for length in columns["caption_lengths"][row]:
            token_ids.append(tuple(itertools.islice(flat, length)))
        captions = tuple(text.decode() for text in columns["texts"][row])
        images.append(TokenisedImage(_unpack(record, captions), tuple(token_ids)))
    return images


def copy_transform_fn(folder: str, graph: str, metadata: str) -> None:
    """Copies the folders `graph` and `metadata` to where `tft.TFTransformOutput(folder)` looks."""
    files.copy_tree(graph, f"{folder}/{tft.TFTransformOutput.TRANSFORM_FN_DIR}")
    files.copy_tree(metadata, f"{folder}/{tft.TFTransformOutput.TRANSFORMED_METADATA_DIR}")
