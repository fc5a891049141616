"""Tests of what a training runs on."""

from __future__ import annotations

import pytest
import tensorflow as tf

from model.devices import (
    check_batch_size,
    compiles,
    count_gpus,
    enough_memory,
    make_strategy,
)
from model.errors import CaptionerError


@pytest.mark.parametrize(
    ("gpus", "decoder", "self_critical", "expected"),
    [
        (1, "transformer", False, True),
        (0, "transformer", False, False),
        (2, "transformer", False, False),
        (1, "gru", False, False),
        (1, "lstm", False, False),
        (1, "transformer", True, False),
    ],
)
def test_xla_compiles_what_it_can(
    gpus: int, decoder: str, self_critical: bool, expected: bool
) -> None:
    assert compiles(gpus, decoder, self_critical) is expected


@pytest.mark.skipif(count_gpus() > 0, reason="this machine has a GPU")
def test_without_gpus_the_one_device_does_all() -> None:
    assert make_strategy() is tf.distribute.get_strategy()
    assert make_strategy().num_replicas_in_sync == 1


def test_replicas_share_a_batch_evenly() -> None:
    check_batch_size(16, 4)
    with pytest.raises(CaptionerError, match="got 15, expected a multiple of 4"):
        check_batch_size(15, 4)


def test_too_little_memory_is_told_with_what_to_lower() -> None:
    oom = "OOM when allocating tensor with shape[256,5,20,50000] and type float on GPU:0"
    # As `fit` raises it.
    message = (
        "Graph execution error:\n\nDetected at node mul defined at (most recent call last):\n"
        f'  File "/OOM/train.py", line 1, in train_step\n\n{oom}\n\t [[{{{{node mul}}}}]]\n'
        "Hint: If you want to see a list of allocated tensors when OOM happens, add\n"
    )
    error = tf.errors.ResourceExhaustedError(None, None, message)
    with pytest.raises(CaptionerError) as told, enough_memory(256):
        raise error
    assert f"for a step of 256 pictures ({oom}); " in str(told.value)
    assert "a lower --batch-size" in str(told.value)


def test_a_full_disk_is_no_lack_of_memory() -> None:
    error = tf.errors.ResourceExhaustedError(None, None, "run/logs: No space left on device")
    with pytest.raises(tf.errors.ResourceExhaustedError), enough_memory(256):
        raise error
