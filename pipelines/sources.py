"""Where captions, splits and pictures come from: files checked and listed before work starts."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from model.image import image_suffixes
from pipelines import files
from pipelines.records import Caption, ImageFile, SplitEntry

_GLOB = re.compile(r"[*?\[]")
_TOKEN_LINE = re.compile(r"(?P<image_id>.+)#(?P<number>\d+)\t(?P<text>.*)")


def normalise_uri(path: str) -> str:
    """An absolute local path, or a URI as it is: the same file has the same name in every run."""
    return os.path.abspath(os.path.expanduser(path)) if files.is_local(path) else path


def _read_text(uri: str, what: str) -> str:
    """The text of a UTF-8 file.

    Raises:
        CaptionerError: if it is missing, a folder, or not UTF-8.
    """
    try:
        return files.read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{what} {uri}: expected UTF-8 text, got {error}") from error
    except (OSError, BeamIOError) as error:
        raise CaptionerError(f"{what} {uri} cannot be read: {error}; check the path") from error


def read_captions(uri: str) -> Iterator[Caption]:
    """The captions of a Flickr8k token file or a COCO captions JSON file, told by its start.

    Raises:
        CaptionerError: if the file cannot be read or is neither; the message names the line.
    """
    text = _read_text(uri, "captions file")
    if text.lstrip()[:1] == "{":
        return _read_coco(text, uri)
    return _read_tokens(text, uri)


def _read_tokens(text: str, uri: str) -> Iterator[Caption]:
    """Lines ``1000268201_693b08cb0e.jpg#0<TAB>A child in a pink dress .``"""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise CaptionerError(f"captions file {uri} is empty")
    for number, line in lines:
        match = _TOKEN_LINE.fullmatch(line.rstrip("\r"))
        if match is None:
            raise CaptionerError(
                f"captions file {uri}, line {number}: got {line[:80]!r}, expected "
                "'IMAGE#NUMBER<TAB>CAPTION' (Flickr8k token file) or a COCO captions JSON file"
            )
        yield Caption(match["image_id"], number, match["text"])


def _read_coco(text: str, uri: str) -> Iterator[Caption]:
    """``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``"""
    try:
        document = json.loads(text)
        names = {image["id"]: image["file_name"] for image in document["images"]}
        annotations = list(document["annotations"])
    except ValueError as error:
        raise CaptionerError(f"captions file {uri}: malformed JSON, {error}") from error
    except (KeyError, TypeError) as error:
        raise CaptionerError(
            f"captions file {uri}: {error} is missing; expected COCO captions JSON with 'images' "
            "(id, file_name) and 'annotations' (image_id, caption)"
        ) from error
    if not annotations:
        raise CaptionerError(f"captions file {uri} holds no captions: its 'annotations' are empty")
    for position, annotation in enumerate(annotations):
        try:
            image_id, text = names[annotation["image_id"]], annotation["caption"]
        except (KeyError, TypeError) as error:
            raise _bad_annotation(uri, position, annotation, f"{error} is missing") from error
        if not (isinstance(image_id, str) and isinstance(text, str)):
            raise _bad_annotation(uri, position, annotation, "name or caption is no text")
        yield Caption(image_id, position, text)


def _bad_annotation(uri: str, position: int, annotation: Any, flaw: str) -> CaptionerError:
    return CaptionerError(
        f"captions file {uri}, annotation {position}: got {str(annotation)[:80]}, expected "
        f"'caption' and the 'image_id' of one of its images ({flaw})"
    )


def read_split_lists(lists: Mapping[str, str]) -> Iterator[SplitEntry]:
    """The entries of split lists, `{split: uri}`, one image id a line.

    Raises:
        CaptionerError: if a list cannot be read, is empty, or shares an image with another.
    """
    seen: dict[str, str] = {}
    for split, uri in lists.items():
        image_ids = [line.strip() for line in _read_text(uri, f"{split} list").splitlines()]
        image_ids = [image_id for image_id in dict.fromkeys(image_ids) if image_id]
        if not image_ids:
            raise CaptionerError(f"{split} list {uri} is empty; expected one image name a line")
        for image_id in image_ids:
            if seen.setdefault(image_id, split) != split:
                raise CaptionerError(
                    f"{split} list {uri}: {image_id!r} is in the {seen[image_id]} list too; "
                    "an image belongs to one split"
                )
            yield SplitEntry(image_id, split)


@dataclass
class SkippedFiles:
    """Files of a folder that are no pictures by their names, counted by suffix."""

    by_suffix: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        if not self.by_suffix:
            return "none"
        counts = ", ".join(f"{s or 'no suffix'}: {n}" for s, n in self.by_suffix.most_common(8))
        return f"{self.by_suffix.total()} ({counts})"


def list_images(source: str, skipped: SkippedFiles) -> Iterator[ImageFile]:
    """The pictures of a folder (with its subfolders) or of a glob, in the order of their names.

    A folder gives the files whose suffix Pillow knows; the others are counted in `skipped`. A glob
    gives every file that it matches. Hidden files and folders are no part of a folder.

    Raises:
        CaptionerError: if the source is missing, holds no picture, or a name that is no UTF-8.
    """
    uri = normalise_uri(source)
    found = 0
    for image in _list_glob(uri) if _GLOB.search(uri) else _list_folder(uri, skipped):
        found += 1
        try:
            image.uri.encode()
        except UnicodeEncodeError as error:
            raise CaptionerError(
                f"{source}: the name {os.fsencode(image.uri)!r} is no UTF-8, which no table can "
                "hold; rename it"
            ) from error
        yield image
    if not found:
        raise CaptionerError(
            f"{source}: no pictures found; files of other kinds: {skipped}. Check the path; a "
            "quoted glob ('folder/*') takes files of any name"
        )


def _list_glob(pattern: str) -> Iterator[ImageFile]:
    root = pattern[: _GLOB.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    (match,) = FileSystems.match([pattern])
    for metadata in sorted(match.metadata_list, key=lambda metadata: metadata.path):
        if not (files.is_local(pattern) and os.path.isdir(metadata.path)):
            image_id = metadata.path[len(root) :].lstrip("/")
            yield ImageFile(metadata.path, image_id, metadata.size_in_bytes)


def _list_folder(folder: str, skipped: SkippedFiles) -> Iterator[ImageFile]:
    suffixes = image_suffixes()
    for uri, byte_size in _walk(folder):
        suffix = PurePosixPath(uri).suffix.lower()
        if suffix in suffixes:
            yield ImageFile(uri, uri[len(folder) :].lstrip("/"), byte_size)
        else:
            skipped.by_suffix[suffix] += 1


def _walk(folder: str) -> Iterator[tuple[str, int]]:
    """The `(uri, byte_size)` of all files below `folder`, sorted within each folder."""
    if files.is_local(folder):
        yield from _walk_local(folder, frozenset())
        return
    (match,) = FileSystems.match([folder.rstrip("/") + "/**"])
    yield from sorted((m.path, m.size_in_bytes) for m in match.metadata_list)


def _walk_local(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """`above` are the folders that lead here: a link back to one of them is not followed."""
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise CaptionerError(f"{folder} cannot be listed: {error}; check the path") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk_local(entry.path, above | {here})
        elif entry.is_file():
            yield entry.path, entry.stat().st_size
        elif entry.is_symlink():
            # It leads nowhere: an input all the same, to be rejected as missing.
            yield entry.path, 0
