"""Captions in WebDataset tars: ``KEY.txt`` or ``KEY.json`` beside ``KEY.jpg``."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from model.errors import CaptionerError
from model.image import FOREIGN_SUFFIXES
from pipelines import files
from pipelines.archives.members import Member, is_hidden, is_picture, member_id, suffix_of
from pipelines.archives.tars import walk_tar
from pipelines.captions.parsing import WHAT, FoundCaption, captions_of, where_of
from pipelines.texts import decode_utf8, lines_of, one_line, parse_json, shorten

_TEXT, _JSON = ".txt", ".json"
_JSON_KEYS = ("caption", "captions", "text")


@dataclass
class _Sample:
    """The members of one key."""

    key: str
    picture: str | None = None
    text: Member | None = None
    json: Member | None = None

    def add(self, member: Member) -> None:
        """Of several members of a kind the first counts; a picture that can be read, before all."""
        suffix = suffix_of(member.name)
        if is_picture(member.name):
            readable = suffix not in FOREIGN_SUFFIXES
            if self.picture is None or (readable and suffix_of(self.picture) in FOREIGN_SUFFIXES):
                self.picture = member_id(member.name)
        elif suffix == _TEXT:
            self.text = self.text or member
        elif suffix == _JSON:
            self.json = self.json or member

    def is_whole(self) -> bool:
        return self.picture is not None and (self.text or self.json) is not None


def read_webdataset(uri: str) -> Iterator[FoundCaption]:
    """The captions of a WebDataset tar: each line of a text that is not blank is one.

    A text counts before a JSON object of its key, which usually repeats it. A text whose picture
    is not there has the key for a name. What a truncated tar lost is accounted for by the listing
    of its pictures.

    Raises:
        CaptionerError: if the tar cannot be read, or a text is no UTF-8 or malformed; the message
            names the member.
    """
    try:
        with files.open_bytes(uri) as file:
            for sample in _samples(walk_tar(file, uri)):
                yield from _captions_of_sample(file, uri, sample)
    except OSError as error:
        raise CaptionerError(
            f"{WHAT} {uri} cannot be read: {one_line(error)}; check the path"
        ) from error


def _samples(members: Iterable[Member]) -> Iterator[_Sample]:
    """Samples as soon as they are whole; those whose members lie apart at the end."""
    apart: dict[str, _Sample] = {}
    readable = (m for m in members if m.flaw is None and not is_hidden(m.name))
    for key, group in itertools.groupby(readable, _key_of):
        sample = apart.get(key) or _Sample(key)
        for member in group:
            sample.add(member)
        if key not in apart and sample.is_whole():
            yield sample
        elif sample != _Sample(key):
            apart[key] = sample
    yield from apart.values()


def _key_of(member: Member) -> str:
    return member_id(member.name).removesuffix(PurePosixPath(member.name).suffix)


def _captions_of_sample(file: Any, uri: str, sample: _Sample) -> Iterator[FoundCaption]:
    member = sample.text or sample.json
    if member is None:
        return
    place = f"member {member.name!r}"
    where = where_of(uri, place)
    file.seek(member.offset)
    text = decode_utf8(file.read(member.size), where)
    found = _lines(text) if member is sample.text else _texts_of_json(text, where)
    for caption in found:
        yield FoundCaption(sample.picture or sample.key, caption, None, place)


def _lines(text: str) -> list[str]:
    # A text of blanks is an empty caption, which is counted.
    return [line.strip() for _, line in lines_of(text)] or [""]


def _texts_of_json(text: str, where: str) -> Iterator[str]:
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise CaptionerError(
            f"{where}: got {shorten(value)}, expected a JSON object with one of "
            f"{', '.join(_JSON_KEYS)}"
        )
    key = next((key for key in _JSON_KEYS if key in value), None)
    # Without a caption it describes the picture otherwise, which is no fault.
    if key is not None:
        yield from captions_of(value[key], where)
