"""Reading and decoding an archive that lies far away, and how much of it is fetched for that.

    python -m benchmarks.clouds --images 'photographs/*.jpg'

The cloud is made up: a file system of this machine on which each request takes `--request-ms`, and
which fetches 16 MiB at least where a part of a file is asked for, as Beam's clients do.
"""

import argparse
import glob
import io
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from benchmarks.measure import alternate
from model.config import ImageConfig
from pipelines.archives.containers import close_containers
from pipelines.archives.members import SkippedFiles
from pipelines.images import read_ahead, read_image
from pipelines.sources import list_images
from pipelines.threads import map_ahead

_SCHEME = "made-up://"
_FETCHED_BYTES = 16 << 20


class _Object(io.BytesIO):
    """An object of the cloud: what is asked for, and was not fetched just before, is fetched."""

    def __init__(self, path: str) -> None:
        super().__init__(Path(path).read_bytes())
        self.window = range(0)

    def read(self, size: int | None = -1) -> bytes:
        at, end = self.tell(), len(self.getbuffer())
        stop = end if size is None or size < 0 else min(end, at + size)
        if at not in self.window or stop > self.window.stop:
            least = end if stop == end and size == -1 else at + max(stop - at, _FETCHED_BYTES)
            self.window = range(at, min(end, least))
            MadeUpFileSystem.request(len(self.window))
        return super().read(size)


class MadeUpFileSystem(LocalFileSystem):
    """A cloud far away; `made-up:///folder` is the folder of this machine."""

    request_sec = 0.0
    fetched_bytes = 0

    @classmethod
    def request(cls, size: int = 0) -> None:
        time.sleep(cls.request_sec)
        cls.fetched_bytes += size

    @classmethod
    def scheme(cls) -> str:
        return _SCHEME.removesuffix("://")

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> _Object:
        assert compression_type == CompressionTypes.UNCOMPRESSED
        self.request()  # its size and time
        return _Object(path.removeprefix(_SCHEME))

    def exists(self, path: str) -> bool:
        return super().exists(path.removeprefix(_SCHEME))

    def size(self, path: str) -> int:
        return super().size(path.removeprefix(_SCHEME))

    def last_updated(self, path: str) -> float:
        return super().last_updated(path.removeprefix(_SCHEME))

    def _list(self, dir_or_prefix: str):
        for found in super()._list(dir_or_prefix.removeprefix(_SCHEME)):
            yield FileMetadata(
                _SCHEME + found.path, found.size_in_bytes, found.last_updated_in_seconds
            )


def write_sources(folder: str, paths: list[str]) -> dict[str, str]:
    """The pictures as a folder, a tar, a zip and a Parquet file; where each lies."""
    os.mkdir(f"{folder}/photographs")
    for path in paths:
        shutil.copy(path, f"{folder}/photographs")
    with tarfile.open(f"{folder}/a.tar", "w") as tar, zipfile.ZipFile(f"{folder}/a.zip", "w") as z:
        for path in paths:
            tar.add(path, Path(path).name)
            z.write(path, Path(path).name)
    rows = [{"bytes": Path(path).read_bytes(), "path": Path(path).name} for path in paths]
    pq.write_table(pa.table({"image": rows}), f"{folder}/a.parquet", row_group_size=100)
    names = {"files": "photographs", "tar": "a.tar", "zip": "a.zip", "Parquet": "a.parquet"}
    return {kind: f"{folder}/{name}" for kind, name in names.items()}


def read_all(uri: str, config: ImageConfig) -> None:
    images = list(list_images(uri, SkippedFiles()))
    reads = list(read_ahead(images, config, limit_sec=60.0))
    assert all(read.decoded for read in reads)
    close_containers()


def read_by_cores(uri: str, config: ImageConfig) -> None:
    """As if it were near: as many threads as cores."""
    images = list_images(uri, SkippedFiles())
    for read in map_ahead(lambda image: read_image(image, config, hashed=True), images):
        assert read.decoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="quoted glob")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--request-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths = sorted(glob.glob(options.images, recursive=True))[: options.count]
    config = ImageConfig(224)
    MadeUpFileSystem.request_sec = options.request_ms / 1000
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(folder, paths)
        far = {kind: _SCHEME + uri for kind, uri in sources.items()}
        contenders: dict[str, Callable[[], None]] = {
            "files, near": lambda: read_all(sources["files"], config),
            "files, far, a thread a core": lambda: read_by_cores(far["files"], config),
        }
        for kind, uri in far.items():
            contenders[f"{kind}, far"] = lambda uri=uri: read_all(uri, config)
        fetched: dict[str, int] = {}

        def counted(name: str) -> None:
            MadeUpFileSystem.fetched_bytes = 0
            contenders[name]()
            fetched[name] = MadeUpFileSystem.fetched_bytes

        seconds = alternate(
            {name: lambda name=name: counted(name) for name in contenders}, options.rounds
        )
    in_all = sum(os.path.getsize(path) for path in paths)
    print(f"{len(paths)} images, {in_all / 2**20:.0f} MiB, {options.request_ms:g} ms a request")
    for name, value in seconds.items():
        rate, share = len(paths) / value, fetched[name] / in_all
        print(f"  {name:<30} {rate:8.1f} images/s, listing included; fetched {share:.1f} x")


if __name__ == "__main__":
    main()
