"""Tests of training on several devices: two logical CPUs stand in for two GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Devices must be made before TensorFlow first runs: a process of its own.
PROGRAM = textwrap.dedent("""
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    import test_training as of_one
    from model.training import CrossEntropyTraining, SelfCriticalTraining
    from model.config import TrainConfig

    def trained(strategy, critical):
        config = TrainConfig(
            label_smoothing=0.0, averaging=0.5, self_critical_samples=2, max_length=6, seed=1
        )
        with strategy.scope():
            captioner = of_one.make_captioner()
            if critical:
                training = SelfCriticalTraining(captioner, config, of_one.Wants(7))
            else:
                training = CrossEntropyTraining(captioner, config)
            of_one.compiled(training, 20, 0.02)
        inputs, targets = of_one.batch()
        data = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(4).repeat(5)
        history = training.fit(data, verbose=0, shuffle=False).history
        return [np.array(w) for w in captioner.trainable_weights], history

    one = tf.distribute.get_strategy()
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    assert two.num_replicas_in_sync == 2
    alone, alone_history = trained(one, critical=False)
    together, together_history = trained(two, critical=False)
    # All captions of the batch are of one length, so that the mean of means is the mean. Adam
    # makes steps of what is rounding where the gradient is none.
    for left, right in zip(alone, together, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-3)
    np.testing.assert_allclose(alone_history["loss"], together_history["loss"], rtol=1e-3)
    weights, history = trained(two, critical=True)
    assert all(np.isfinite(weight).all() for weight in weights)
    assert 0 <= history["reward"][0] <= 1
    print("same weights on two devices")
""")


def test_two_devices_learn_what_one_does() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "model"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same weights on two devices" in done.stdout
