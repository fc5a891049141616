"""What `captioner caption` was asked for, checked before work starts."""

import argparse
import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from apache_beam.io.localfilesystem import LocalFileSystem

from model.artifacts import BundleConfig
from model.bundle_folder import read_bundle_config
from model.command import check_no_pattern, check_output_folder, local_path
from model.decoding_options import AS_EXPORTED, Decoding
from model.engine import DEFAULT_ENGINE, Engine, choose_engine
from model.errors import CaptionerError
from model.options import flag
from pipelines import files
from pipelines.claims import RUNS
from pipelines.folders import is_glob
from pipelines.images import check_read_timeout
from pipelines.kept import Kept
from pipelines.sources import normalise_uri
from pipelines.units import Selection

# The slash before the first name that is a pattern.
_FIRST_WILD_NAME = re.compile(r"/(?=[^/]*[*?\[])")


@dataclasses.dataclass(frozen=True)
class CaptionConfig:
    """What `captioner caption` was asked for; see its options."""

    bundle: str
    inputs: tuple[str, ...]
    output: str
    unit_size: int
    batch_size: int
    max_reject_ratio: float
    read_timeout_sec: float = 300.0
    num_captions: int | None = None
    tags: int | None = None
    sample: float = 1.0
    limit: int | None = None
    retry_rejected: bool = False
    remove_unlisted: bool = False
    dry_run: bool = False
    image_column: str | None = None
    engine: Engine = DEFAULT_ENGINE
    decoding: Decoding = AS_EXPORTED

    def __post_init__(self) -> None:
        least = {"unit_size": 1, "batch_size": 1, "num_captions": 1, "tags": 0, "limit": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise CaptionerError(f"{flag(name)}: got {value}, expected {bound} or more")
        if not 0 <= self.max_reject_ratio <= 1:
            raise CaptionerError(
                f"--max-reject-ratio: got {self.max_reject_ratio}, expected a share from 0 to 1"
            )
        check_read_timeout(self.read_timeout_sec)
        if not 0 < self.sample <= 1:
            raise CaptionerError(
                f"--sample: got {self.sample}, expected a share above 0, up to 1 for all"
            )
        if self.remove_unlisted and not self.selection.is_complete:
            raise CaptionerError(
                f"--remove-unlisted: got it with --limit {self.limit} and --sample "
                f"{self.sample:g}, expected neither: the rows of all other images would go; leave "
                "them out"
            )

    @property
    def kept(self) -> Kept:
        """What of the model's results becomes part of a row."""
        return Kept(self.num_captions, self.tags)

    @property
    def selection(self) -> Selection:
        """Which pictures of the inputs the run is about."""
        return Selection(self.sample, self.limit, self.retry_rejected)


def read_config(options: argparse.Namespace) -> CaptionConfig:
    """The configuration that the command's options ask for."""
    asked = {name: value for name, value in vars(options).items() if name not in ("input", "beam")}
    asked |= {"bundle": normalise_uri(options.bundle), "output": normalise_uri(options.output)}
    return CaptionConfig(inputs=tuple(options.input), **take_model_options(asked), **asked)


def take_model_options(asked: dict[str, Any]) -> dict[str, Any]:
    """Fields of `CaptionConfig` about the model, whose options are taken out of `asked`."""
    decoding = Decoding.of(asked)
    for name, _ in decoding.changes:
        del asked[name]
    # Settled here, so that all workers compute alike.
    engine = choose_engine(asked.pop("engine"), asked.pop("bfloat16"))
    return {"engine": engine, "decoding": decoding}


def check_model(config: CaptionConfig) -> BundleConfig:
    """The model that is asked for, without loading it.

    Raises:
        CaptionerError: if it is no bundle, or lacks what the engine or the decoding needs.
    """
    folder = local_path("--bundle", config.bundle)
    exported = read_bundle_config(folder)
    bundle = config.decoding.apply(exported)
    config.engine.check(folder, () if bundle == exported else config.decoding.changes)
    config.decoding.check(folder)
    if (config.num_captions or 1) > bundle.sampler.captions:
        raise CaptionerError(
            f"--num-captions: got {config.num_captions}, expected at most "
            f"{bundle.sampler.captions}, which {bundle.sampler.sampler} search writes; give a "
            "larger --beam-width or --samples"
        )
    return bundle


def check_output(config: CaptionConfig) -> None:
    """Checks that the output is absent, empty, or holds captions, and is no part of an input.

    What lies beside captions, a report say, stays there.

    Raises:
        CaptionerError: if it is anything else.
    """
    output = config.output
    for source in config.inputs:
        if _would_list(normalise_uri(source), output):
            raise CaptionerError(
                f"--output {output} lies in --input {source}: the next run would take captions "
                "for inputs; choose a folder outside of it"
            )
    if not files.is_local(output):
        check_no_pattern(output, "--output", "Beam")  # which finds no row there, then
        return
    check_output_folder(Path(output))
    if not os.path.isdir(output):
        return
    names = [name for name in os.listdir(output) if not name.startswith(".")]
    if names and not any(name == RUNS or "model=" in name for name in names):
        raise CaptionerError(
            f"--output {output} holds files that are no captions, e.g. {sorted(names)[0]}; "
            "choose another folder"
        )
    for name in names:
        if "model=" in name and os.path.islink(f"{output}/{name}"):
            raise CaptionerError(
                f"--output {output}: {name} is a link, which readers of the table do not follow; "
                f"move what it leads to back, or make {output} itself the link"
            )


def _would_list(source: str, output: str) -> bool:
    """Whether files of captions in `output` would be files of `source`."""
    part = f"{_real(output)}/model=0/part-0.parquet"
    if is_glob(source):
        fixed, wild = _FIRST_WILD_NAME.split(source, maxsplit=1)
        pattern = LocalFileSystem.translate_pattern(f"{_real(fixed).rstrip('/')}/{wild}")
        return re.match(pattern, part) is not None
    return part.startswith(f"{_real(source).rstrip('/')}/")


def _real(uri: str) -> str:
    """`uri` without links and without a slash at its end."""
    return os.path.realpath(uri) if files.is_local(uri) else uri.rstrip("/")
