"""Captions files that are one document: Flickr token files, COCO and Karpathy JSON."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from model.errors import CaptionerError
from pipelines.captions.parsing import (
    WHAT,
    FoundCaption,
    captions_of,
    parse_image_id,
    where_of,
)
from pipelines.texts import lines_of, parse_json, read_text, shorten

_TOKEN_LINE = re.compile(r"(?P<image_id>.+?)#(?P<number>\d+)\t(?P<text>.*)", re.DOTALL)
TOKEN_FORM = "'IMAGE#NUMBER<TAB>CAPTION' (Flickr token file)"
COCO_FORM = "COCO captions JSON with 'images' (id, file_name) and 'annotations' (image_id, caption)"
# What JSON has that may name an image.
_ID_TYPES = (int, float, str)
KARPATHY_FORM = "Karpathy JSON with 'images' (filename) of 'sentences' (raw)"


def is_token_line(line: str) -> bool:
    """Whether `line` may be of a Flickr token file."""
    return _TOKEN_LINE.fullmatch(line) is not None


def read_flickr(uri: str) -> Iterator[FoundCaption]:
    """Lines ``1000268201_693b08cb0e.jpg#0<TAB>A child in a pink dress .``

    Raises:
        CaptionerError: if the file cannot be read or a line is another; the message names it.
    """
    for number, line in lines_of(read_text(uri, WHAT)):
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            raise CaptionerError(
                f"{where_of(uri, f'line {number}')}: got {shorten(line)}, expected {TOKEN_FORM}"
            )
        yield FoundCaption(match["image_id"], match["text"], None, f"line {number}")


def _read_document(uri: str, keys: list[str], expected: str) -> dict[str, Any]:
    """The JSON object in `uri`, in which `keys` are lists."""
    text = read_text(uri, WHAT)
    if not text.strip():
        raise CaptionerError(f"{WHAT} {uri} is empty; expected {expected}")
    document = parse_json(text, f"{WHAT} {uri}", object_hook=_without_tokens)
    if not isinstance(document, dict):
        kind = {list: "a JSON list"}.get(type(document), shorten(document))
        raise CaptionerError(f"{WHAT} {uri}: got {kind}, expected {expected}")
    for key in keys:
        if not isinstance(document.get(key), list):
            flaw = f"{key!r} is missing" if key not in document else f"{key!r} is no list"
            raise CaptionerError(
                f"{WHAT} {uri}: {flaw}; expected {expected}, got a JSON object with keys "
                f"{shorten(sorted(document), 400)}"
            )
    return document


def _without_tokens(value: dict[str, Any]) -> dict[str, Any]:
    # Karpathy's files repeat each sentence as a list of its words, most of their memory.
    value.pop("tokens", None)
    return value


def _fields(value: Any, names: Sequence[str], where: str, expected: str) -> list[Any]:
    """What the JSON object `value` has under `names`.

    Raises:
        CaptionerError: if it is no object, or has nothing under one of them.
    """
    if not isinstance(value, dict):
        raise _unexpected(where, value, expected, "no JSON object")
    for name in names:
        if name not in value:
            raise _unexpected(where, value, expected, f"{name!r} is missing")
    return [value[name] for name in names]


def _unexpected(where: str, value: Any, expected: str, flaw: str) -> CaptionerError:
    return CaptionerError(f"{where}: got {shorten(value)}, expected {expected} ({flaw})")


def read_coco(uri: str) -> Iterator[FoundCaption]:
    """``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``

    Raises:
        CaptionerError: if the file cannot be read or is another, or an id is of two pictures; the
            message names the image or annotation.
    """
    document = _read_document(uri, ["images", "annotations"], COCO_FORM)
    names = _names_by_id(document["images"], uri)
    expected = "'caption' and the 'image_id' of one of its images"
    for number, annotation in enumerate(document["annotations"]):
        place = f"annotation {number}"
        where = where_of(uri, place)
        image_id, text = _fields(annotation, ["image_id", "caption"], where, expected)
        if not isinstance(image_id, _ID_TYPES) or image_id not in names:
            raise _unexpected(where, annotation, expected, f"no image has the id {image_id!r}")
        name = names[image_id]
        if not isinstance(name, str):
            raise _unexpected(where, annotation, expected, "its name is no text")
        for caption in captions_of(text, where):
            yield FoundCaption(name, caption, None, place)


def _names_by_id(images: list[Any], uri: str) -> dict[Any, Any]:
    names: dict[Any, Any] = {}
    for number, image in enumerate(images):
        where = where_of(uri, f"image {number}")
        image_id, name = _fields(image, ["id", "file_name"], where, COCO_FORM)
        if not isinstance(image_id, _ID_TYPES):
            raise _unexpected(where, image, COCO_FORM, "'id' is no number and no text")
        if names.setdefault(image_id, name) != name:
            raise CaptionerError(
                f"{where}: got the id {image_id!r} for {shorten(name)}, which an image before has "
                f"for {shorten(names[image_id])}; expected an id of its own for each picture"
            )
    return names


def read_karpathy(uri: str) -> Iterator[FoundCaption]:
    """``{"images": [{"filepath"?, "filename", "split"?, "sentences": [{"raw"}]}]}``

    Raises:
        CaptionerError: if the file cannot be read or is another; the message names the image.
    """
    for number, image in enumerate(_read_document(uri, ["images"], KARPATHY_FORM)["images"]):
        place = f"image {number}"
        where = where_of(uri, place)
        name, sentences = _fields(image, ["filename", "sentences"], where, KARPATHY_FORM)
        if not isinstance(sentences, list):
            raise _unexpected(where, image, KARPATHY_FORM, "'sentences' is no list")
        texts = [_fields(s, ["raw"], where, KARPATHY_FORM)[0] for s in sentences]
        image_id, folder = parse_image_id(name, where), image.get("filepath")
        if folder:
            image_id = f"{parse_image_id(folder, where).rstrip('/')}/{image_id}"
        for text in captions_of(texts, where):
            yield FoundCaption(image_id, text, image.get("split"), place)
