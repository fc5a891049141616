"""What a training runs on: the GPUs of this machine, or its CPU."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from model.command import disk_failure
from model.errors import CaptionerError

# The line that tells how much was asked for, among those that tell where in the graph.
_OUT_OF_MEMORY = re.compile(
    r"^(?! *File|Hint).*(OOM|[Oo]ut of memory|[Ff]ailed to allocate).*$", re.MULTILINE
)


def count_gpus() -> int:
    """How many GPUs TensorFlow sees."""
    return len(tf.config.list_logical_devices("GPU"))


def make_strategy() -> tf.distribute.Strategy:
    """All GPUs of this machine in step, or the one device there is."""
    return tf.distribute.MirroredStrategy() if count_gpus() > 1 else tf.distribute.get_strategy()


def compiles(gpus: int, decoder: str, self_critical: bool) -> bool:
    """Whether XLA compiles the steps of a decoder.

    Not on CPU, where it makes them several times slower; not on several GPUs, for on two devices a
    step looked for its variables on the other one; not rewards, which are computed outside of
    TensorFlow; nor recurrent decoders, the gradient of whose loop it does not know.
    """
    return gpus == 1 and decoder == "transformer" and not self_critical


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raises:
    CaptionerError: if `replicas` cannot share `batch_size` pictures evenly.
    """
    if batch_size % replicas:
        raise CaptionerError(
            f"--batch-size: got {batch_size}, expected a multiple of {replicas}, the number of GPUs"
        )


@contextlib.contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Within, a training by batches of `batch_size` pictures computes.

    Raises:
        CaptionerError: if that takes more memory than the device has.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if disk_failure(error):  # TensorFlow's name for that too
            raise
        found = _OUT_OF_MEMORY.search(error.message)
        told = found[0] if found else "TensorFlow does not tell how much"
        raise CaptionerError(
            f"too little memory for a step of {batch_size} pictures ({told}); end what else uses "
            "the device and run the same command again, or train into another folder with a lower "
            "--batch-size; checkpoints are kept"
        ) from error
