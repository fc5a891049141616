"""Small containers for tests: made of whatever is given, listed and read."""

from __future__ import annotations

import datetime
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.archives.containers import list_container, read_image_bytes
from pipelines.archives.members import SkippedFiles
from pipelines.records import ImageFile
from pipelines.schemas import CAPTIONED, CAPTIONS

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes]]
HUB_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _pairs(members: Members) -> Iterable[tuple[str, bytes]]:
    return members.items() if isinstance(members, Mapping) else members


def tar_bytes(members: Members, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed tar of `members`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, data in _pairs(members):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of `members`, the same bytes at any time of the day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in _pairs(members):
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def parquet_bytes(columns: Mapping[str, Any], **options: Any) -> bytes:
    """A Parquet file of `columns`, lists or Arrow arrays."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer, **options)
    return buffer.getvalue()


def hub_images(members: Iterable[tuple[str | None, bytes | None]]) -> pa.Array:
    """A column of pictures as dataset hubs store it."""
    return pa.array([{"path": name, "bytes": data} for name, data in members], HUB_TYPE)


def write(path: Path, data: bytes) -> str:
    """Writes `data` to `path`; returns its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def caption_row(image_uri: str, **values: Any) -> dict[str, Any]:
    """A row of captions: one that was captioned unless `values` say otherwise."""
    return {
        **dict.fromkeys(CAPTIONS.names),
        "image_uri": image_uri,
        "status": CAPTIONED,
        "caption": "A dog",
        "score": -1.0,
        "alternatives": [],
        "tags": [],
        "flags": [],
        "byte_size": 4,
        "model_fingerprint": "0123",
        "captioned_at": datetime.datetime.now(datetime.UTC),
        **values,
    }


def write_part(path: Path, rows: list[dict[str, Any]]) -> str:
    """Writes a file of captions as `captioner caption` does; returns its name."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, CAPTIONS), buffer)
    return write(path, buffer.getvalue())


def listed(uri: str, skipped: SkippedFiles | None = None, **options: Any) -> list[ImageFile]:
    """The pictures of a container."""
    return list(list_container(uri, skipped or SkippedFiles(), **options))


def contents_of(images: list[ImageFile]) -> dict[str, bytes]:
    """The bytes of those that are not flawed."""
    return {image.image_id: read_image_bytes(image) for image in images if not image.flaw}


def flaws_of(images: list[ImageFile]) -> dict[str, str]:
    """The reasons of the flawed ones."""
    return {image.image_id: image.flaw.partition(": ")[0] for image in images if image.flaw}


def read_in_threads(images: list[ImageFile], threads: int = 4) -> list[bytes]:
    """The bytes of `images`, asked for at the same time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(read_image_bytes, images))
