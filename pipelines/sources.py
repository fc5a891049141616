"""Where pictures and splits come from: sources checked and listed before work starts."""

import dataclasses
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from apache_beam.io.filesystems import FileSystems

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.containers import (
    check_not_compressed,
    is_archive,
    is_container,
    list_container,
)
from pipelines.archives.members import SkippedFiles, as_unicode, is_picture, without_here
from pipelines.archives.parquet_images import holds_pictures
from pipelines.folders import ListedFile, fixed_part, is_folder, is_glob, match_glob, walk
from pipelines.manifests import is_manifest, list_manifest
from pipelines.records import ImageFile, SplitEntry
from pipelines.s3_clients import check_s3
from pipelines.texts import one_line, read_text


def normalise_uri(path: str) -> str:
    """An absolute local path, or a URI without a slash at its end: the same in every run.

    Raises:
        CaptionerError: if it is empty, or of a file system that is not there.
    """
    if not path:
        raise CaptionerError("got an empty path; expected that of a file or a folder")
    path = files.without_local_scheme(path)
    if files.is_local(path):
        return files.normalise_path(os.path.abspath(os.path.expanduser(path)))
    _check_file_system(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{rest.rstrip('/')}"


def _check_file_system(uri: str) -> None:
    """Raises:
    CaptionerError: if Beam knows no file system of this URI, or not the package that it needs,
        or if there are no credentials of S3.
    """
    try:
        FileSystems.get_filesystem(uri)
        if uri.startswith("s3://"):
            check_s3(uri)  # Beam finds out later
    except CaptionerError:
        raise
    except Exception as error:  # each file system has its own
        raise CaptionerError(
            f"{uri}: its file system cannot be used: {one_line(error)}; correct the URI, or "
            "install what it needs, e.g. captioner[s3] or apache-beam[azure]"
        ) from error


def normalise_id(image_id: str) -> str:
    """The name of a picture by which captions, lists and files find each other.

    macOS spells accents as characters of their own (NFD), nearly all else does not (NFC); Windows
    has a backslash between folders. `find` writes ``./`` before a path, and other tools ``file://``.
    """
    name = unicodedata.normalize("NFC", files.without_local_scheme(image_id)).replace("\\", "/")
    return without_here(name)


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

            - a folder: its files, and those of its subfolders, with the suffix of a picture; hidden
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
    if _holds_images(uri, image_column):
        return _list_members(uri, skipped, image_column)
    if is_manifest(uri):
        return list_manifest(uri, image_column)
    return _list_folder(uri, skipped)


def _holds_images(uri: str, image_column: str | None) -> bool:
    return is_archive(uri) or (is_container(uri) and holds_pictures(uri, image_column))


def _list_glob(
    pattern: str, skipped: SkippedFiles, image_column: str | None
) -> Iterator[ImageFile]:
    root = fixed_part(pattern)
    for file in match_glob(pattern):
        check_not_compressed(file.uri)
        image = _image_file(file, root)
        if is_archive(file.uri):
            yield from _list_archive(image, skipped)
        elif not file.is_folder and _holds_images(file.uri, image_column):
            yield from _list_members(file.uri, skipped, image_column)
        else:
            yield image


def _list_members(
    uri: str, skipped: SkippedFiles, image_column: str | None = None
) -> Iterator[ImageFile]:
    """The pictures in a container that is given, as no folder that it lies in opens it."""
    skipped.opened.add(uri)
    return list_container(uri, skipped, image_column)


def _list_archive(archive: ImageFile, skipped: SkippedFiles) -> Iterator[ImageFile]:
    """The members of one archive of many, or itself, flawed: it costs the others nothing."""
    try:
        yield from _list_members(archive.uri, skipped)
    except CaptionerError as error:
        yield dataclasses.replace(archive, flaw=f"unreadable: {error}")


def _list_folder(folder: str, skipped: SkippedFiles) -> Iterator[ImageFile]:
    for file in walk(folder):
        if file.is_folder or is_picture(file.uri):
            yield _image_file(file, folder)
        else:
            skipped.count(file.uri, is_container(file.uri))


def _image_file(file: ListedFile, root: str) -> ImageFile:
    uri, byte_size, modified, flaw = file
    image_id = uri[len(root) :].lstrip("/")
    return ImageFile(uri, image_id, byte_size, modified_usec=modified, flaw=flaw)


def check_sources(sources: Sequence[str], image_column: str | None = None) -> None:
    """Checks as much of `sources` as takes little time: that the first picture of each is found.

    Those far away are taken on trust, for to list a part of one is to list all of it; so are pipes,
    which can be read but once.

    Raises:
        CaptionerError: as `list_images`.
    """
    for source in sources:
        uri = normalise_uri(source)
        is_pipe = os.path.exists(uri) and not (os.path.isdir(uri) or os.path.isfile(uri))
        if files.is_local(uri) and not is_pipe:
            next(list_images(source, SkippedFiles(), image_column))
