"""Captions files that are one document: Flickr token files, COCO and Karpathy JSON."""

import re
from collections.abc import Iterator
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


def read_coco(uri: str) -> Iterator[FoundCaption]:
    """``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``

    Raises:
        CaptionerError: if the file cannot be read or is another; the message names the annotation.
    """
    document = _read_document(uri, ["images", "annotations"], COCO_FORM)
    try:
        names = {image["id"]: image["file_name"] for image in document["images"]}
    except (KeyError, TypeError) as error:
        raise CaptionerError(
            f"{WHAT} {uri}: {error} is missing in one of its 'images'; expected {COCO_FORM}"
        ) from error
    for number, annotation in enumerate(document["annotations"]):
        place = f"annotation {number}"
        try:
            image_id, text = names[annotation["image_id"]], annotation["caption"]
        except (KeyError, TypeError) as error:
            raise _bad_annotation(uri, place, annotation, f"{error} is missing") from error
        if not (isinstance(image_id, str) and isinstance(text, str)):
            raise _bad_annotation(uri, place, annotation, "name or caption is no text")
        yield FoundCaption(image_id, text, None, place)


def _bad_annotation(uri: str, place: str, annotation: Any, flaw: str) -> CaptionerError:
    return CaptionerError(
        f"{where_of(uri, place)}: got {str(annotation)[:80]}, expected 'caption' and the "
        f"'image_id' of one of its images ({flaw})"
    )


def read_karpathy(uri: str) -> Iterator[FoundCaption]:
    """``{"images": [{"filepath"?, "filename", "split"?, "sentences": [{"raw"}]}]}``

    Raises:
        CaptionerError: if the file cannot be read or is another; the message names the image.
    """
    for number, image in enumerate(_read_document(uri, ["images"], KARPATHY_FORM)["images"]):
        place = f"image {number}"
        where = where_of(uri, place)
        try:
            name, folder = image["filename"], image.get("filepath")
            texts = [sentence["raw"] for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise CaptionerError(
                f"{where}: got {str(image)[:80]}, expected {KARPATHY_FORM} ({error} is missing)"
            ) from error
        image_id = parse_image_id(name, where)
        if folder:
            image_id = f"{parse_image_id(folder, where).rstrip('/')}/{image_id}"
        for text in captions_of(texts, where):
            yield FoundCaption(image_id, text, image.get("split"), place)
