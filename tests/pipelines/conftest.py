"""What the pipelines' tests share, and a file system in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem
from pipeline_builders import archive, captioned, captions, preprocessed, tiny_bundle
from quick_runs import quick_runs

from pipelines.archives.containers import close_containers

__all__ = ["archive", "captioned", "captions", "preprocessed", "quick_runs", "tiny_bundle"]


class _Upload(io.BytesIO):
    """A writer whose object is there only once it is closed without an exception.

    As on S3, where Beam uploads in parts, an object of no bytes is an error.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri

    def __exit__(self, kind: type | None, *details: Any) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            if not data:
                raise OSError(f"{self.uri}: MalformedXML: CompleteMultipartUpload without parts")
            MemoryFileSystem.objects[self.uri] = data


class MemoryFileSystem(FileSystem):
    """A cloud's file system: no folders, objects written whole.

    Beam finds it by its scheme, as it finds the one of ``gs://``.
    """

    objects: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def scheme(cls) -> str:
        return "memory"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return folder, name

    def mkdirs(self, path: str) -> None:
        raise AssertionError(f"a cloud has no folders to make: {path}")

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for uri in list(self.objects):
            if uri.startswith(dir_or_prefix):
                yield self.metadata(uri)

    def _open(self, uri: str) -> bytes:
        if uri not in self.objects:
            raise FileNotFoundError(uri)
        return self.objects[uri]

    def create(self, path: str, mime_type: str = "", compression_type: str = "") -> _Upload:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return _Upload(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> io.BytesIO:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return io.BytesIO(self._open(path))

    def copy(self, source: list[str], destination: list[str]) -> None:
        for old, new in zip(source, destination, strict=True):
            self.objects[new] = self._open(old)

    def rename(self, source: list[str], destination: list[str]) -> None:
        self.copy(source, destination)
        self.delete(source)

    def exists(self, path: str) -> bool:
        return path in self.objects

    def size(self, path: str) -> int:
        return len(self._open(path))

    def last_updated(self, path: str) -> float:
        return 0.0

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), 0.0)

    def checksum(self, path: str) -> str:
        return str(hash(self._open(path)))

    def delete(self, paths: list[str]) -> None:
        missing = {path: "missing" for path in paths if path not in self.objects}
        if missing:
            raise BeamIOError("Delete operation failed", missing)
        for path in paths:
            del self.objects[path]


@pytest.fixture
def memory() -> Iterator[dict[str, bytes]]:
    """Objects behind ``memory://`` URIs; empty at first."""
    MemoryFileSystem.objects.clear()
    yield MemoryFileSystem.objects
    close_containers()  # the next test may have others of the same names
    MemoryFileSystem.objects.clear()


@pytest.fixture
def cloud() -> type[MemoryFileSystem]:
    """The file system of ``memory://``, to be made to fail."""
    return MemoryFileSystem


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ``memory://`` URIs opened since."""
    uris: list[str] = []
    open_it = MemoryFileSystem.open

    def recorded(self: MemoryFileSystem, path: str, *kinds: str, **named: str) -> io.BytesIO:
        uris.append(path)
        return open_it(self, path, *kinds, **named)

    monkeypatch.setattr(MemoryFileSystem, "open", recorded)
    return uris
