"""Where pictures and splits come from: sources checked and listed before work starts."""

import dataclasses
import importlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from apache_beam.io.filesystems import FileSystems
from apache_beam.io.localfilesystem import LocalFileSystem

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import (
    check_not_compressed,
    is_archive,
    list_container,
    suffix_of,
)
from pipelines.archives.members import SkippedFiles, as_unicode, is_hidden, is_picture
from pipelines.archives.parquet_images import holds_pictures
from pipelines.manifests import is_manifest, list_manifest
from pipelines.records import ImageFile, SplitEntry
from pipelines.texts import one_line, read_text

_GLOB = re.compile(r"[*?\[]")


class ListedFile(NamedTuple):
    """A file as a listing tells of it; see `ImageFile`."""

    uri: str
    byte_size: int
    modified_usec: int | None


def normalise_uri(path: str) -> str:
    """An absolute local path, or a URI without a slash at its end: the same in every run.

    Raises:
        CaptionerError: if it is empty, or of a file system that is not there.
    """
    if not path:
        raise CaptionerError("got an empty path; expected that of a file or a folder")
    path = path.removeprefix(files.LOCAL_SCHEME)
    if files.is_local(path):
        return os.path.abspath(os.path.expanduser(path))
    _check_file_system(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{rest.rstrip('/')}"


def _check_file_system(uri: str) -> None:
    """Raises:
    CaptionerError: if Beam knows no file system of this URI, or not the package that it needs.
    """
    try:
        FileSystems.get_filesystem(uri)
        if uri.startswith("s3://"):
            importlib.import_module("boto3")  # which Beam misses with an assertion, and late
    except Exception as error:  # each file system has its own
        raise CaptionerError(
            f"{uri}: its file system cannot be used: {one_line(error)}; correct the URI, or "
            "install Beam's extra for it, e.g. apache-beam[gcp], apache-beam[aws]"
        ) from error


def normalise_id(image_id: str) -> str:
    """The name of a picture by which captions, lists and files find each other.

    macOS spells accents as characters of their own (NFD), nearly all else does not (NFC).
    """
    return unicodedata.normalize("NFC", image_id)


def is_glob(uri: str) -> bool:
    """Whether `uri` is a pattern, and no file or folder of just this name."""
    return _GLOB.search(uri) is not None and not FileSystems.exists(uri)


def match_glob(pattern: str) -> list[ListedFile]:
    """The files that `pattern` matches, sorted; no folders.

    On a local disk as in a folder: links are followed, those that lead nowhere are files, and what
    is hidden is no part of it. There Beam would pass linked folders and dead links over.
    """
    if not files.is_local(pattern):
        return _match(pattern)
    root = _fixed_part(pattern)
    if not os.path.isdir(root or "/"):
        return []
    matches = re.compile(LocalFileSystem.translate_pattern(pattern)).match
    return sorted(file for file in _walk(root or "/") if matches(file.uri))


def _fixed_part(pattern: str) -> str:
    """The folder above the first name of `pattern` that is no plain name."""
    return pattern[: _GLOB.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]


def _match(pattern: str) -> list[ListedFile]:
    (match,) = FileSystems.match([pattern])
    return sorted(
        # Where a file system does not tell the time, Beam says 0.
        ListedFile(m.path, m.size_in_bytes, int(m.last_updated_in_seconds * 1e6) or None)
        for m in match.metadata_list
    )


def is_folder(uri: str) -> bool:
    """Whether `uri` is a folder of a local disk."""
    return files.is_local(uri) and os.path.isdir(uri)


def read_split_lists(lists: Mapping[str, str]) -> Iterator[SplitEntry]:
    """The entries of split lists, `{split: uri}`, one image id a line.

    Raises:
        CaptionerError: if a list cannot be read, is empty, or shares an image with another.
    """
    seen: dict[str, str] = {}
    for split, uri in lists.items():
        lines = read_text(uri, f"{split} list").split("\n")
        image_ids = [normalise_id(line.strip()) for line in lines]
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


def list_all_images(
    sources: Sequence[str], skipped: SkippedFiles, image_column: str | None = None
) -> Iterator[ImageFile]:
    """The pictures of all `sources`, one after the other; see `list_images`."""
    for source in sources:
        yield from list_images(source, skipped, image_column)


def list_images(
    source: str, skipped: SkippedFiles, image_column: str | None = None
) -> Iterator[ImageFile]:
    """The pictures of a source, in the order of their names or, in a file, in the file's order.

    Args:
        source: one of

            - a folder: its files, and those of its subfolders, whose suffix Pillow knows; hidden
              ones are no part of it
            - a glob: every file that it matches, and the members of the containers among them
            - a container: a tar or zip file, or a Parquet file with bytes of pictures
            - a manifest: a ``.txt`` file of a path a line, or a CSV, TSV, JSON lines or Parquet
              file with a column of paths
        skipped: counts what is passed over.
        image_column: the column of a manifest or of a Parquet file; found if None.

    Raises:
        CaptionerError: if the source is missing, damaged, or holds no picture.
    """
    uri = normalise_uri(source)
    found = 0
    for image in _list_source(uri, skipped, image_column):
        found += 1
        yield _with_unicode_name(image)
    if not found:
        raise CaptionerError(
            f"{source}: no pictures found; files of other kinds: {skipped}. Check the path; a "
            "quoted glob ('folder/*') takes files of any name"
        )


def _with_unicode_name(image: ImageFile) -> ImageFile:
    """The picture, flawed if its name is no UTF-8, which no table can hold."""
    uri = as_unicode(image.uri)
    if uri == image.uri:
        return image
    return dataclasses.replace(
        image,
        uri=uri,
        image_id=as_unicode(image.image_id),
        container=image.container and as_unicode(image.container),
        flaw=f"unsafe_name: the name {uri!r} is no UTF-8; rename it",
    )


def _list_source(uri: str, skipped: SkippedFiles, image_column: str | None) -> Iterator[ImageFile]:
    if is_glob(uri):
        return _list_glob(uri, skipped, image_column)
    if is_folder(uri):
        return _list_folder(uri, skipped)
    check_not_compressed(uri)
    if _is_container(uri, image_column):
        return list_container(uri, skipped, image_column)
    if is_manifest(uri):
        return list_manifest(uri, image_column)
    return _list_folder(uri, skipped)


def _is_container(uri: str, image_column: str | None) -> bool:
    is_parquet = suffix_of(uri) == ".parquet"
    return is_archive(uri) or (is_parquet and holds_pictures(uri, image_column))


def _list_glob(
    pattern: str, skipped: SkippedFiles, image_column: str | None
) -> Iterator[ImageFile]:
    root = _fixed_part(pattern)
    for uri, byte_size, modified in match_glob(pattern):
        check_not_compressed(uri)
        if _is_container(uri, image_column):
            yield from list_container(uri, skipped, image_column)
        else:
            image_id = uri[len(root) :].lstrip("/")
            yield ImageFile(uri, image_id, byte_size, modified_usec=modified)


def _list_folder(folder: str, skipped: SkippedFiles) -> Iterator[ImageFile]:
    for uri, byte_size, modified in _walk(folder):
        if is_picture(uri):
            image_id = uri[len(folder) :].lstrip("/")
            yield ImageFile(uri, image_id, byte_size, modified_usec=modified)
        else:
            skipped.count(uri)


def _walk(folder: str) -> Iterator[ListedFile]:
    """All files below `folder`, sorted within each folder."""
    if files.is_local(folder):
        yield from _walk_local(folder, frozenset())
        return
    root = folder.rstrip("/")
    yield from (file for file in _match(f"{root}/**") if not is_hidden(file.uri[len(root) :]))


def _walk_local(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[ListedFile]:
    """`above` are the folders that lead here: a link back to one of them is not followed."""
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except NotADirectoryError as error:
        raise CaptionerError(
            f"{folder} cannot be listed: it is a file, and no tar, zip, Parquet or manifest; give "
            "its folder, or a glob"
        ) from error
    except OSError as error:
        raise CaptionerError(f"{folder} cannot be listed: {error}; check the path") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
            size, modified = files.size_and_time(entry.stat()) if is_file else (0, None)
        except OSError:  # a link to itself, or gone by now
            is_folder, is_file, size, modified = False, True, 0, None
        if is_folder:
            yield from _walk_local(entry.path, above | {here})
        elif is_file or entry.is_symlink():
            # One that leads nowhere is an input all the same, to be rejected when it is read.
            yield ListedFile(entry.path, size, modified)
