"""What computes a bundle: TensorFlow or another engine, and whether in bfloat16.

Imports no framework, and other engines than TensorFlow only when they are asked for.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import CaptionerError
from model.options import flag

TENSORFLOW, OPENVINO, ONNXRUNTIME = "tensorflow", "openvino", "onnxruntime"
ENGINES = (TENSORFLOW, OPENVINO, ONNXRUNTIME)
AUTO, ON, OFF = "auto", "on", "off"
BFLOAT16 = (AUTO, ON, OFF)
# What the other engines need in a bundle: its stages (see `model.cuts`), of which the last is
# always there.
STEM_FILE, ENCODER_FILE, ONNX_FILE = "stem.onnx", "encoder.onnx", "captioner.onnx"
# TensorFlow's own; the other engines heed it too.
THREADS = "TF_NUM_INTRAOP_THREADS"
# Of CPUs that multiply bfloat16 themselves; on others it would be imitated, which saves no time.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Engine:
    """What computes a bundle.

    Attributes:
        name: of what computes it.
        bfloat16: whether it computes in bfloat16 all but the first stage (see `model.cuts`).
    """

    name: str = TENSORFLOW
    bfloat16: bool = False

    def fingerprint(self, model_fingerprint: str) -> str:
        """The fingerprint of captions: the model's, and the engine's name unless TensorFlow's.

        Without bfloat16, which may follow the CPU: a run goes on where it ended on any machine.
        """
        if self.name == TENSORFLOW:
            return model_fingerprint
        return f"{model_fingerprint}-{self.name}"

    def check(self, bundle: Path, changes: Sequence[tuple[str, Any]] = ()) -> None:
        """Checks that what it needs is installed, and in the bundle.

        Args:
            bundle: its folder.
            changes: fields, and their values, in which it is to decode otherwise than exported.

        Raises:
            CaptionerError: if it is not, or the engine cannot decode otherwise.
        """
        if self.name == TENSORFLOW:
            return
        check_installed(self.name)
        if not (bundle / ONNX_FILE).is_file():
            raise CaptionerError(
                f"--engine {self.name}: {bundle} has no {ONNX_FILE}; export it again with "
                f"captioner export --engine {self.name}"
            )
        if changes:
            got = ", ".join(f"{flag(name)} {value}" for name, value in changes)
            raise CaptionerError(
                f"--engine {self.name} decodes as the bundle was exported, got {got}; export it "
                "so, or leave --engine out"
            )


DEFAULT_ENGINE = Engine()


def check_installed(*packages: str) -> None:
    """Checks that an engine's packages are there, of which the first has the engine's name.

    Raises:
        CaptionerError: if one is not installed.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise CaptionerError(
                f"--engine {packages[0]}: the package {package} is not installed; run pip install "
                f"'captioner[{packages[0]}]', or leave --engine out"
            )


def told_threads() -> int:
    """Threads that the environment tells to compute an operation with; 0 if it does not tell.

    Raises:
        CaptionerError: if it tells something else.
    """
    told = os.environ.get(THREADS, "") or "0"
    if not told.isdecimal():
        raise CaptionerError(f"{THREADS}: got {told!r}, expected a number of threads, 0 for all")
    return int(told)


def usable_cores() -> int:
    """Cores that this process may use: in a batch job, or by ``taskset``, not all there are."""
    allowed = getattr(os, "sched_getaffinity", None)  # not every system tells
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def compute_threads() -> int:
    """Threads to compute an operation with: as many as told, else as cores this process may use."""
    return told_threads() or usable_cores()


def wants_bfloat16(asked: str, cpu_info: str) -> bool:
    """Whether to compute in bfloat16.

    Args:
        asked: one of `BFLOAT16`; ``auto`` leaves it to the CPU.
        cpu_info: of the CPU, as Linux tells it in `/proc/cpuinfo`.
    """
    if asked != AUTO:
        return asked == ON
    lists = (line.partition(":")[2] for line in cpu_info.splitlines() if line.startswith("flags"))
    return any(_BFLOAT16_FLAGS & set(flags.split()) for flags in lists)


def choose_engine(name: str, bfloat16: str) -> Engine:
    """The engine that the options ``--engine`` and ``--bfloat16`` ask for on this machine.

    Raises:
        CaptionerError: if bfloat16 is asked of an engine that has none on CPUs.
    """
    if name == ONNXRUNTIME:
        if bfloat16 == ON:
            raise CaptionerError(
                f"--bfloat16: got {ON}, but --engine {ONNXRUNTIME} computes in float32; leave one "
                "of them out"
            )
        return Engine(name)
    return Engine(name, wants_bfloat16(bfloat16, read_cpu_info()))


def read_cpu_info() -> str:
    """What the system tells of this machine's CPU; nothing where it is no Linux."""
    return _CPU_INFO.read_text(encoding="utf-8") if _CPU_INFO.exists() else ""
