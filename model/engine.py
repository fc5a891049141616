"""What computes a bundle: the engine of its image encoder, and whether in bfloat16.

Imports no framework, and OpenVINO only when it is asked for.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from model.errors import CaptionerError

TENSORFLOW, OPENVINO = "tensorflow", "openvino"
ENGINES = (TENSORFLOW, OPENVINO)
AUTO, ON, OFF = "auto", "on", "off"
BFLOAT16 = (AUTO, ON, OFF)
ENCODER_FILES = ("encoder.xml", "encoder.bin")
# Of CPUs that multiply bfloat16 themselves; on others it would be imitated, which saves no time.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Engine:
    """What computes a bundle.

    Attributes:
        name: of what computes the image encoder; TensorFlow does the rest.
        bfloat16: whether matrices and convolutions are computed in bfloat16.
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

    def check(self, bundle: Path) -> None:
        """Checks that what it needs is installed, and in the bundle.

        Raises:
            CaptionerError: if it is not.
        """
        if self.name != OPENVINO:
            return
        check_installed()
        missing = [name for name in ENCODER_FILES if not (bundle / name).is_file()]
        if missing:
            raise CaptionerError(
                f"--engine {OPENVINO}: {bundle} has no {' and no '.join(missing)}; export it again "
                f"with captioner export --engine {OPENVINO}"
            )


DEFAULT_ENGINE = Engine()


def check_installed() -> None:
    """Checks that OpenVINO is there.

    Raises:
        CaptionerError: if it is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise CaptionerError(
            f"--engine {OPENVINO}: the package openvino is not installed; "
            "run pip install 'captioner[openvino]', or leave --engine out"
        )


def import_openvino() -> ModuleType:
    """OpenVINO, without the reports of its use that its converter would send over the network."""
    # To OpenVINO the package that sends them, which it can do without, is not installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def load_encoder(bundle: Path, bfloat16: bool, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The image encoder of `bundle`, computed by OpenVINO.

    Args:
        bundle: that `Engine.check` found complete.
        bfloat16: see `Engine`; OpenVINO's own choice would follow the CPU.
        threads: to compute with; 0 for OpenVINO's own choice, all of the CPU.

    Returns:
        `uint8[B, H, W, 3]` to grids `float32[B, P, C]`; any thread may call it at any time.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    core = import_openvino().Core()
    compiled = core.compile_model(str(bundle / ENCODER_FILES[0]), "CPU", settings)
    return lambda images: compiled.infer_new_request([images])[0]


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
    """The engine that the options ``--engine`` and ``--bfloat16`` ask for on this machine."""
    return Engine(name, wants_bfloat16(bfloat16, read_cpu_info()))


def read_cpu_info() -> str:
    """What the system tells of this machine's CPU; nothing where it is no Linux."""
    return _CPU_INFO.read_text(encoding="utf-8") if _CPU_INFO.exists() else ""
