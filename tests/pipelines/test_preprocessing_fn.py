"""Tests of the captions' way through tensorflow-transform: real analysis, real graph."""

from __future__ import annotations

import json
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from hypothesis import given
from hypothesis import strategies as st
from pipeline_builders import captioned_image

from model.errors import CaptionerError
from model.text import tokenise
from model.vocabulary import OOV, SPECIAL_TOKENS
from pipelines.preprocessing_fn import (
    FREQUENCIES_NAME,
    VOCABULARY_NAME,
    TextConfig,
    from_record_batch,
    to_record_batch,
)
from pipelines.records import CaptionedImage, PreparedImage, TokenisedImage
from pipelines.transforms import TokeniseCaptions

MIN_COUNT = 2
TRAIN = [
    ("A dog runs .", "A dog's bone , a dog", "A DOG"),
    ("a bone", "!!!", "a once-only word"),
]
VALIDATION = [("a dog sees a validation-word", "bone bone"), ("validation-word",)]
# By count, most first: a 6 (in train), dog 4, bone 2; "runs" and others once only.
VOCABULARY = [*SPECIAL_TOKENS, "a", "dog", "bone"]


def images_of(split: str, captions: list[tuple[str, ...]]) -> list[CaptionedImage]:
    return [
        captioned_image(f"{split}/{i}.jpg", split, texts, uri=f"/archive/ü {i}.jpg")
        for i, texts in enumerate(captions)
    ]


IMAGES = [*images_of("train", TRAIN), *images_of("validation", VALIDATION)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one run of the real pipeline wrote its function, and the images it gave."""
    folder = tmp_path_factory.mktemp("transform")
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(IMAGES)
            | TokeniseCaptions(str(folder), TextConfig(MIN_COUNT))
            | beam.Map(repr)
            | beam.combiners.ToList()
            | beam.Map(lambda lines, path: Path(path).write_text("\n".join(lines)), folder / "out")
        )
    return folder


@pytest.fixture(scope="module")
def tokenised(folder: Path) -> dict[str, TokenisedImage]:
    names = {kind.__name__: kind for kind in (TokenisedImage, CaptionedImage, PreparedImage)}
    images = [eval(line, names) for line in (folder / "out").read_text().splitlines()]
    assert len(images) == len(IMAGES)
    return {image.image.image_id: image for image in images}


def words_of(image: TokenisedImage) -> list[list[str]]:
    return [[VOCABULARY[token] for token in ids] for ids in image.token_ids]


def test_the_vocabulary_is_the_special_tokens_and_the_train_splits_frequent_words(
    folder: Path,
) -> None:
    words = (folder / "transform_fn" / "assets" / VOCABULARY_NAME).read_text().split()
    assert words == VOCABULARY
    assert words[:4] == ["<pad>", "<start>", "<end>", "<unk>"]


def test_the_function_is_written_as_others_read_it(folder: Path) -> None:
    written = tft.TFTransformOutput(str(folder))
    captions = tf.RaggedTensor.from_row_lengths(["a dog"], [1]).to_sparse()
    found = written.transform_raw_features({"captions": captions})["token_ids"]
    assert found.values.numpy().tolist() == [VOCABULARY.index(word) for word in ("a", "dog")]
    assert len(written.transformed_metadata.schema.feature) == 3


def test_the_frequencies_are_the_train_splits(folder: Path) -> None:
    lines = (folder / "transform_fn" / "assets" / FREQUENCIES_NAME).read_text().splitlines()
    assert lines == ["6 a", "4 dog", "2 bone"]


# English, German, Chinese, Japanese and Arabic, each with its tokens.
LANGUAGES = {
    "The dog's ball": ["the", "dog", "'s", "ball"],
    "Die M\u00e4dchen spielen.": ["die", "m\u00e4dchen", "spielen"],
    "\u4e24\u53ea\u72d7": ["\u4e24", "\u53ea", "\u72d7"],
    "\u72ac\u304c\u30dc\u30fc\u30eb\u3067": ["\u72ac", "\u304c", "\u30dc\u30fc\u30eb", "\u3067"],
    "\u0643\u0644\u0628 \u064a\u062c\u0631\u064a\u060c": [
        "\u0643\u0644\u0628",
        "\u064a\u062c\u0631\u064a",
    ],
}


def test_captions_of_all_scripts_go_through_the_graph(tmp_path: Path) -> None:
    images = [captioned_image(str(n), captions=[text]) for n, text in enumerate(LANGUAGES)]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create(images)
            | TokeniseCaptions(str(tmp_path), TextConfig(min_count=1))
            | beam.Map(lambda image: json.dumps([image.image.captions[0], image.token_ids[0]]))
            | beam.combiners.ToList()
            | beam.Map(
                lambda lines, path: Path(path).write_text("\n".join(lines)), tmp_path / "out"
            )
        )
    asset = tmp_path / "transform_fn" / "assets" / VOCABULARY_NAME
    words = asset.read_text(encoding="utf-8").split("\n")
    lines = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert {text: [words[token] for token in ids] for text, ids in lines} == LANGUAGES


@pytest.mark.parametrize(("field", "value"), [("min_count", 0), ("vocabulary_size", 4)])
def test_a_senseless_text_option_is_refused(field: str, value: int) -> None:
    with pytest.raises(CaptionerError, match=f"--{field.replace('_', '-')}: got {value}"):
        TextConfig(**{field: value})


def test_rare_words_are_oov_and_words_of_the_validation_split_alone_too(
    tokenised: dict[str, TokenisedImage],
) -> None:
    first, second = (words_of(tokenised[f"train/{i}.jpg"]) for i in range(2))
    oov = SPECIAL_TOKENS[OOV]
    assert first == [["a", "dog", oov], ["a", "dog", oov, "bone", "a", "dog"], ["a", "dog"]]
    assert second == [["a", "bone"], [], ["a", oov, oov]]
    assert words_of(tokenised["validation/0.jpg"]) == [["a", "dog", oov, "a", oov], ["bone"] * 2]
    assert words_of(tokenised["validation/1.jpg"]) == [[oov]]


def test_a_caption_without_words_has_no_tokens_and_keeps_its_place(
    tokenised: dict[str, TokenisedImage],
) -> None:
    assert [len(ids) for ids in tokenised["train/1.jpg"].token_ids] == [2, 0, 3]


def test_images_come_out_with_all_they_came_in_with(tokenised: dict[str, TokenisedImage]) -> None:
    assert sorted(i.image.image_id for i in tokenised.values()) == sorted(
        image.image_id for image in IMAGES
    )
    for image in IMAGES:
        assert tokenised[image.image_id].image == image


def test_the_saved_function_gives_the_same_ids_without_tft(
    folder: Path, tokenised: dict[str, TokenisedImage]
) -> None:
    """No skew: what TensorFlow alone loads says what the pipeline said."""
    loaded = tf.saved_model.load(str(folder / "transform_fn"))
    for image in IMAGES:
        captions = tf.sparse.from_dense([list(image.captions)])
        outputs = loaded.transform_fn({"captions": captions})
        flat = outputs["token_ids"].values.numpy().tolist()
        lengths = outputs["caption_lengths"].values.numpy().tolist()
        expected = tokenised[image.image_id].token_ids
        assert lengths == [len(ids) for ids in expected]
        assert flat == [token for ids in expected for token in ids]


def test_the_ids_are_those_of_the_models_own_tokeniser(
    tokenised: dict[str, TokenisedImage],
) -> None:
    for image in tokenised.values():
        tokens = tokenise(tf.constant(image.image.captions)).to_list()
        ids = [
            tuple(VOCABULARY.index(t.decode()) if t.decode() in VOCABULARY else OOV for t in words)
            for words in tokens
        ]
        assert tuple(ids) == image.token_ids


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.lists(text, min_size=1, max_size=4), min_size=1, max_size=5), st.data())
def test_record_batches_hold_images_and_ids_without_loss(
    captions: list[list[str]], data: st.DataObject
) -> None:
    images = images_of("train", [tuple(texts) for texts in captions])
    batch = to_record_batch(images)
    one_caption = st.lists(st.integers(4, 99), max_size=5).map(tuple)
    ids = [tuple(data.draw(one_caption) for _ in image.captions) for image in images]
    # As TFT adds them to the column that it passes through.
    batch = batch.rename_columns(["texts", "image"])
    batch = batch.append_column("token_ids", [[t for c in image for t in c] for image in ids])
    batch = batch.append_column("caption_lengths", [[len(c) for c in image] for image in ids])
    assert from_record_batch(batch) == [
        TokenisedImage(image, tokens) for image, tokens in zip(images, ids, strict=True)
    ]
