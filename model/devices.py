"""What a training runs on: the GPUs of this machine, or its CPU."""

import tensorflow as tf

from model.errors import CaptionerError


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
