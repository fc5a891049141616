"""Files of captions: found, told apart by format, and read one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.errors import CaptionerError
from pipelines import files
from pipelines.archives.parquet_files import open_parquet
from pipelines.arguments import CAPTION_FORMATS
from pipelines.captions.detection import detect_format
from pipelines.captions.documents import read_coco, read_flickr, read_karpathy
from pipelines.captions.own import (
    check_one_row_each,
    list_captioned,
    list_parts,
    read_own_captions,
)
from pipelines.captions.parsing import WHAT, CaptionColumns, FoundCaption, parse_split, where_of
from pipelines.captions.shared_names import SharedNames
from pipelines.captions.tables import (
    picture_column,
    read_delimited_captions,
    read_json_lines_captions,
    read_parquet_captions,
)
from pipelines.captions.webdataset import read_webdataset
from pipelines.folders import is_folder, is_glob, match_glob
from pipelines.records import Caption, ImageFile
from pipelines.sources import normalise_uri
from pipelines.texts import shorten

FORMATS = CAPTION_FORMATS
_OWN = "captions"
_TABLES = frozenset(["csv", "tsv", "jsonl", "parquet"])


@dataclass(frozen=True)
class CaptionSource:
    """A file of captions.

    Attributes:
        uri: of the file.
        format: one of `FORMATS`.
    """

    uri: str
    format: str


def detect_sources(paths: Sequence[str], format: str | None) -> list[CaptionSource]:
    """The files that `paths` name, sorted, each once, with their formats.

    Args:
        paths: files, globs, and folders of captions that `captioner caption` wrote.
        format: the format of all of them; told by names and first bytes if None.

    Raises:
        CaptionerError: if a file is missing or of no known format, or captions that `captioner
            caption` wrote are mixed with others.
    """
    if format is not None and format not in FORMATS:
        raise CaptionerError(f"got the format {format!r}, expected one of {', '.join(FORMATS)}")
    found: dict[str, str | None] = {}
    for path in paths:
        found.update(_expand(normalise_uri(path), format))
    sources = [
        CaptionSource(uri, known or detect_format(uri)) for uri, known in sorted(found.items())
    ]
    own = [source for source in sources if source.format == _OWN]
    if own and len(own) < len(sources):
        other = next(source for source in sources if source.format != _OWN)
        raise CaptionerError(
            f"got captions that captioner caption wrote, {own[0].uri}, and others, {other.uri} "
            f"({other.format}); give one kind alone"
        )
    check_one_row_each(source.uri for source in own)
    return sources


def _expand(uri: str, format: str | None) -> dict[str, str | None]:
    """The files that `uri` names, with their format where it is known."""
    if is_glob(uri):
        matched = list(match_glob(uri))
        if not matched:
            raise CaptionerError(f"{WHAT} {uri}: the glob matches no file; check the path")
        return {file.uri: format for file in matched}
    if not is_folder(uri) and files.exists(uri):
        return {uri: format}
    parts = list_parts(uri)
    if not parts:
        raise CaptionerError(
            f"{WHAT} {uri} is missing, or a folder without model=*/part-*.parquet; expected a "
            "file, a quoted glob, or a folder that captioner caption wrote"
        )
    if format not in (None, _OWN):
        raise CaptionerError(
            f"{WHAT} {uri}: got a folder that captioner caption wrote, expected the format "
            f"{format}; leave the format out"
        )
    return dict.fromkeys(parts, _OWN)


def read_all_captions(
    sources: Sequence[CaptionSource],
    columns: CaptionColumns | None = None,
    min_score: float | None = None,
    with_splits: bool = True,
    shared: SharedNames | None = None,
) -> Iterator[Caption]:
    """The captions of all `sources`, one after the other, their positions counted through.

    Names of pictures are normalised, see `normalise_id`.

    Args:
        columns: columns of tables that were named.
        min_score: least score of captions that `captioner caption` wrote.
        with_splits: whether what the sources say of splits counts; else it is not looked at.
        shared: names of which the file is a part; none if None.

    Raises:
        CaptionerError: at once if an option fits none of the sources; while reading if a source is
            damaged or holds no captions, or two captions disagree on the split of their picture.
    """
    columns = columns or CaptionColumns()
    formats = sorted({source.format for source in sources})
    if min_score is not None and any(format != _OWN for format in formats):
        raise CaptionerError(
            f"--min-score: got {min_score}, and captions of the format {', '.join(formats)}; "
            "only captions that captioner caption wrote have a score"
        )
    if columns != CaptionColumns() and not _TABLES.intersection(formats):
        raise CaptionerError(
            f"--image-column, --caption-column, --split-column: got {columns}, and captions of the "
            f"format {', '.join(formats)}, which has no columns; leave them out "
            "(the column of --images is --images-column)"
        )
    return _read_all(sources, columns, min_score, with_splits, shared or SharedNames())


def _read_all(
    sources: Sequence[CaptionSource],
    columns: CaptionColumns,
    min_score: float | None,
    with_splits: bool,
    shared: SharedNames,
) -> Iterator[Caption]:
    position, splits = 0, _Splits()
    for source in sources:
        start = position
        for found in _read(source, columns, min_score):
            _check_text(found, source.uri)
            image_id = shared.name(source.uri, found.image_id)
            split = splits.read(image_id, found, source.uri) if with_splits else None
            yield Caption(image_id, position, found.text, split)
            position += 1
        # A part of captions whose pictures were all rejected is no fault.
        if position == start and source.format != _OWN:
            raise CaptionerError(f"{WHAT} {source.uri} holds no captions; expected one at least")
    if position == 0:
        least = "" if min_score is None else f" of a score of {min_score} or more"
        raise CaptionerError(f"the captions given hold none{least}; expected one at least")


def _read(
    source: CaptionSource, columns: CaptionColumns, min_score: float | None
) -> Iterator[FoundCaption]:
    uri = source.uri
    match source.format:
        case "flickr":
            return read_flickr(uri)
        case "coco":
            return read_coco(uri)
        case "karpathy":
            return read_karpathy(uri)
        case "csv" | "tsv":
            return read_delimited_captions(uri, f".{source.format}", columns)
        case "jsonl":
            return read_json_lines_captions(uri, columns)
        case "parquet":
            return read_parquet_captions(uri, columns)
        case "webdataset":
            return read_webdataset(uri)
        case _:
            return read_own_captions(uri, min_score)


def _check_text(found: FoundCaption, uri: str) -> None:
    """JSON can spell halves of characters, which no table holds."""
    for value in (found.image_id, found.text):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CaptionerError(
                f"{where_of(uri, found.place)}: got {shorten(value)}, expected text that UTF-8 "
                "can hold"
            ) from error


class _Splits:
    """The split of every picture that has one, and where it was given."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, str, str]] = {}

    def read(self, image_id: str, found: FoundCaption, uri: str) -> str | None:
        """The split that a caption gives its picture, if any.

        Raises:
            CaptionerError: if there is no such split, or an earlier caption gave another.
        """
        split = parse_split(found.split, where_of(uri, found.place))
        if split is None:
            return None
        given, *place = self._given.setdefault(image_id, (split, uri, found.place))
        if given != split:
            raise CaptionerError(
                f"{where_of(uri, found.place)}: {image_id!r} is in {split}, but in "
                f"{given} in {', '.join(place)}; an image belongs to one split"
            )
        return split


def image_sources_of(
    sources: Sequence[CaptionSource], columns: CaptionColumns | None = None
) -> list[str]:
    """The `sources` that hold their pictures themselves: WebDataset tars, Parquet with bytes.

    Raises:
        CaptionerError: if a Parquet file cannot be read.
    """
    image = columns.image if columns else None
    return [source.uri for source in sources if _holds_pictures(source, image)]


def _holds_pictures(source: CaptionSource, image_column: str | None) -> bool:
    if source.format == "parquet":
        with open_parquet(source.uri, WHAT) as parquet:
            where = f"{WHAT} {source.uri}"
            return picture_column(parquet.schema_arrow, image_column, where) is not None
    return source.format == "webdataset"


def list_captioned_images(
    sources: Sequence[CaptionSource], min_score: float | None
) -> Iterator[ImageFile]:
    """The pictures of captions that `captioner caption` wrote, each once, named by their URIs.

    See `list_captioned`.
    """
    return list_captioned([s.uri for s in sources if s.format == _OWN], min_score)
