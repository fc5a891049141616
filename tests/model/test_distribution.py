"""Tests of training on several devices: two logical CPUs stand in for two GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Devices must be made before TensorFlow first runs: a process of its own.
PROGRAM = textwrap.dedent("""
    import csv
    import sys
    from pathlib import Path

    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    import test_training as of_one
    from model.training import CrossEntropyTraining
    from model.config import TrainConfig

    def trained(strategy):
        config = TrainConfig(label_smoothing=0.0, averaging=0.5, max_length=6, seed=1)
        with strategy.scope():
            captioner = of_one.make_captioner("gru")
            training = CrossEntropyTraining(captioner, config)
            of_one.compiled(training, 20, 0.02)
        inputs, targets = of_one.batch()
        data = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(4).repeat(5)
        history = training.fit(data, verbose=0, shuffle=False).history
        return [np.array(w) for w in captioner.trainable_weights], history

    one = tf.distribute.get_strategy()
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    assert two.num_replicas_in_sync == 2
    alone, alone_history = trained(one)
    together, together_history = trained(two)
    # All captions of the batch are of one length, so that the mean of means is the mean. Adam
    # makes steps of what is rounding where the gradient is none.
    for left, right in zip(alone, together, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-3)
    np.testing.assert_allclose(alone_history["loss"], together_history["loss"], rtol=1e-3)

    # Gradients are summed before they are clipped, and before float16's infinity is looked for.
    import keras
    from types import SimpleNamespace
    from model.optimiser import make_optimiser

    def stepped(gradients, precision="float32"):
        with two.scope():
            weight = keras.Variable(np.zeros(1), dtype="float32", name="weight")
            config = TrainConfig(clip_norm=1.0, weight_decay=0.0)
            optimiser = make_optimiser(config, 1.0, 1, [])
            inner = optimiser
            if precision == "mixed_float16":
                optimiser = keras.optimizers.LossScaleOptimizer(optimiser, initial_scale=1.0)
            optimiser.build([weight])
            averages = SimpleNamespace(update=lambda: None)
            training = SimpleNamespace(optimizer=optimiser, averages=averages)

        def step():
            own = tf.gather(gradients, tf.distribute.get_replica_context().replica_id_in_sync_group)
            CrossEntropyTraining.apply(training, [own[None]], [weight])

        tf.function(lambda: two.run(step))()
        momentum = keras.ops.convert_to_numpy(inner._momentums[0])
        return float(momentum[0]) / (1 - inner.beta_1), float(weight.numpy()[0])

    for gradients, expected in [([0.2, 0.3], 0.5), ([9.0, 9.0], 1.0), ([5.0, -2.0], 1.0)]:
        momentum, weight = stepped(gradients)
        np.testing.assert_allclose([momentum, weight], [expected, -1.0], rtol=1e-4)
    for gradients in ([np.inf, 1.0], [1.0, np.inf]):
        assert stepped(gradients, "mixed_float16") == (0.0, 0.0), gradients

    # Of a last batch, and of every other, both devices get as much.
    from model.dataset import fill_up, training_batches

    grids = {"grid": tf.zeros([13, 4, 8], tf.float16)}
    examples = tf.data.Dataset.from_tensor_slices(grids).map(
        lambda e: {**e, "token_ids": tf.RaggedTensor.from_row_lengths([5, 6], [2])}
    )
    batches = training_batches(fill_up(examples, 2), 8, 6, shuffle_seed=1)
    shares = [
        [len(part) for part in two.experimental_local_results(inputs["grid"])]
        for inputs, _ in two.experimental_distribute_dataset(batches)
    ]
    assert sorted(shares) == [[3, 3], [4, 4]], shares

    # A whole run of both phases, of a train split whose last batch would be one picture.
    import builders
    from model import train

    train.make_strategy = lambda: two
    folder = Path(sys.argv[1])
    builders.write_dataset(folder / "dataset", {"train": 9, "validation": 4})
    # Of few weights: each costs the tracing of a sum over devices.
    options = {"epochs": 1, "decoder": "transformer", "decoder_layers": 1, "encoder_layers": 0}
    options |= {"concepts": 3, "concept_folds": 2}
    options |= {"self_critical_epochs": 1, "self_critical_passes": 2}
    assert builders.train(folder / "dataset", folder / "odd", batch_size=3, **options) == 2
    assert not (folder / "odd").exists()
    assert builders.train(folder / "dataset", folder / "run", batch_size=4, **options) == 0
    with open(folder / "run" / "history_self_critical.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["2", "3"]
    # Of CIDEr-D, which is ten times that of the metric; NaN is in no range.
    assert all(0 <= float(row["reward"]) <= 10 for row in rows), rows
    assert all(0 < float(row["val_loss"]) < 20 for row in rows), rows
    print("same weights on two devices")
""")


@pytest.mark.timeout(900)  # graphs of four trainings are traced, on a busy machine for minutes
def test_two_devices_learn_what_one_does(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "model"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=880,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same weights on two devices" in done.stdout
    assert "--batch-size: got 3, expected a multiple of 2, the number of GPUs" in done.stderr
