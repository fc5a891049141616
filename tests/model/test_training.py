"""Tests of the two phases' steps: each makes likelier what it should."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.captioner import Captioner, build_captioner
from model.cider import CiderD
from model.config import ImageConfig, ModelConfig, SamplerConfig, TrainConfig
from model.losses import caption_crossentropy, doubly_stochastic, tag_crossentropy
from model.optimiser import make_optimiser
from model.samplers import make_sampler
from model.training import CrossEntropyTraining, SelfCriticalTraining
from model.vocabulary import END, PAD, START

V, LENGTH, BATCH = 12, 6, 4
# Two captions of each of four pictures.
CAPTIONS = [[[5, 6], [5, 7]], [[8, 6], [8, 9]], [[10, 6], [10, 9]], [[11, 7], [11, 6]]]


def make_captioner(
    decoder: str = "transformer", concepts: tuple[int, ...] = (), dropout: float = 0.0
) -> Captioner:
    keras.utils.set_random_seed(1)
    config = ModelConfig(
        encoder="cnn",
        encoder_weights=None,
        decoder=decoder,
        embedding_dim=16,
        hidden_dim=32,
        units=16,
        attention_units=8,
        heads=2,
        decoder_layers=1,
        concept_memory=2,
        dropout=dropout,
    )
    return build_captioner(config, ImageConfig(16), V, concepts, max_length=LENGTH)


def batch() -> tuple[dict[str, Any], np.ndarray]:
    """Four pictures, each with a grid of its own, and what a step is told of them."""
    grid = np.random.default_rng(0).normal(size=(BATCH, 4, 128)).astype("float32")
    targets = np.array([[[*ids, END] for ids in captions] for captions in CAPTIONS], "int32")
    told = np.concatenate([np.full((BATCH, 2, 1), START), targets[:, :, :-1]], axis=2)
    index, key = np.arange(BATCH), np.arange(BATCH)[::-1]
    return {"grid": grid, "token_ids": told, "index": index, "key": key}, targets


def compiled(training: Any, steps: int, rate: float, by_xla: bool = False) -> Any:
    optimiser = make_optimiser(training.config, rate, steps, [])
    training.compile(optimizer=optimiser, jit_compile=by_xla)
    training.optimizer.build(training.trained_variables())
    return training


def step(training: Any, times: int) -> list[dict[str, float]]:
    """Trains on the batch; the logs of every step."""
    inputs, targets = batch()
    logs = []
    for _ in range(times):
        given = training.train_on_batch(inputs, targets, return_dict=True)
        logs.append({name: float(value) for name, value in given.items()})
        training.reset_metrics()
    return logs


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_attention_is_held_to_patches_and_not_to_what_else_a_decoder_looks_at(
    decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner, looked = make_captioner(decoder, concepts=(4, 5, 6)), []

    def term(attention: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        looked.append(attention.shape[-1])
        return doubly_stochastic(attention, targets)

    monkeypatch.setattr("model.training.doubly_stochastic", term)
    config = TrainConfig(attention_regularisation=0.1)
    step(compiled(CrossEntropyTraining(captioner, config), 1, 0.02), 1)
    assert set(looked) == {captioner.image_encoder.patches} == {4}


@pytest.mark.parametrize("decoder", ["transformer", "gru", "lstm"])
def test_cross_entropy_falls_and_the_averages_follow(decoder: str) -> None:
    captioner = make_captioner(decoder)
    config = TrainConfig(label_smoothing=0.0, attention_regularisation=0.1, averaging=0.9)
    training = compiled(CrossEntropyTraining(captioner, config), 60, 0.02)
    losses = [logs["loss"] for logs in step(training, 60)]
    # Untrained, it knows nothing, and guesses somewhat worse than by a fair die.
    assert np.log(V) * 0.9 < losses[0] < np.log(V) * 1.6
    # Each picture has two equally likely captions, which part at their second word.
    assert losses[-1] == pytest.approx(np.log(2) / 3, abs=0.08)
    inputs, targets = batch()
    with training.averages.in_place():
        averaged = float(caption_crossentropy(targets, captioner(inputs).logits))
    assert averaged == pytest.approx(losses[-1], abs=0.1)


def test_what_is_differentiated_is_of_all_that_was_asked_for() -> None:
    captioner = make_captioner("gru", concepts=(5, 8, 9))
    config = TrainConfig(label_smoothing=0.3, attention_regularisation=0.5, averaging=0.75)
    training, scaled = compiled(CrossEntropyTraining(captioner, config), 1, 0.02), []
    training.run_eagerly = True
    (inputs, targets), scale = batch(), training.scale
    outputs, recogniser = captioner(inputs), captioner.recogniser
    loss = float(caption_crossentropy(targets, outputs.logits, 0.3))
    tags = tag_crossentropy(
        recogniser.labels(targets), outputs.tag_logits, recogniser.learning(inputs["key"])
    )
    looked = doubly_stochastic(outputs.attention[..., :4], targets)

    def spy(total: Any) -> Any:
        scaled.append(float(total))
        return scale(total)

    training.scale = spy
    (logs,) = step(training, 1)
    assert scaled == [pytest.approx(loss + 0.1 * float(tags) + 0.5 * float(looked), rel=1e-4)]
    assert training.averages.momentum == 0.75
    assert SelfCriticalTraining(captioner, config, Wants(7)).averages.momentum == 0.75
    # What is shown is of the captions alone.
    assert logs["loss"] == pytest.approx(loss, rel=1e-4)


def test_xla_trains_alike() -> None:
    # As on a GPU, which no test has.
    def losses(by_xla: bool) -> list[float]:
        keras.utils.set_random_seed(1)
        captioner = make_captioner(concepts=(5, 8, 9))
        training = CrossEntropyTraining(captioner, TrainConfig(max_length=LENGTH))
        return [logs["loss"] for logs in step(compiled(training, 10, 0.02, by_xla), 4)]

    expected = losses(by_xla=False)
    assert losses(by_xla=True) == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < 0.8 * expected[0]


def test_concepts_are_learnt_beside_captions() -> None:
    captioner = make_captioner(concepts=(5, 8, 9))
    training = compiled(CrossEntropyTraining(captioner, TrainConfig(averaging=0.0)), 80, 0.02)
    step(training, 80)
    inputs, targets = batch()
    recogniser = captioner.recogniser
    labels = np.asarray(recogniser.labels(targets)) > 0
    each = np.asarray(captioner(inputs).tag_logits) > 0
    for picture, learns in enumerate(np.asarray(recogniser.learning(inputs["key"])) > 0):
        np.testing.assert_array_equal(
            each[picture, learns], np.tile(labels[picture], (learns.sum(), 1))
        )


def test_the_decoder_is_told_concepts_by_who_does_not_know_the_picture() -> None:
    captioner = make_captioner(concepts=(5, 8, 9))
    inputs, _ = batch()
    each = np.asarray(captioner.recogniser(inputs["grid"]))
    given: list[np.ndarray] = []
    likeliest = captioner.recogniser.likeliest

    def spy(logits: Any, count: int) -> Any:
        given.append(np.asarray(logits))
        return likeliest(logits, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioner.recogniser, "likeliest", spy)
        captioner(inputs)
        captioner.look(inputs["grid"], key=inputs["key"])
        captioner.look(inputs["grid"])
    known = each[np.arange(BATCH), inputs["key"] % 4]
    for found, expected in zip(given, [known, known, each.mean(axis=1)], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def self_critical(captioner: Captioner, reward: Any, steps: int) -> SelfCriticalTraining:
    config = TrainConfig(
        self_critical_epochs=1,
        self_critical_samples=8,
        max_length=LENGTH,
        averaging=0.0,
        weight_decay=0.0,
    )
    return compiled(SelfCriticalTraining(captioner, config, reward), steps, 0.02)


class Wants:
    """A reward of one token, for the test: 1 for a caption that has it."""

    def __init__(self, token: int) -> None:
        self.token, self.asked = token, []

    def score(self, images: Any, candidates: list[list[int]]) -> np.ndarray:
        self.asked += zip(images, candidates, strict=True)
        return np.array([self.token in caption for caption in candidates], "float32")


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_what_is_rewarded_becomes_likelier(decoder: str) -> None:
    captioner, reward = make_captioner(decoder), Wants(7)
    logs = step(self_critical(captioner, reward, 50), 50)
    first, last = (np.mean([log["reward"] for log in part]) for part in (logs[:5], logs[-5:]))
    assert first < 0.7
    assert last > 0.95
    samples = captioner.write(
        captioner.look(batch()[0]["grid"])[0], make_sampler(SamplerConfig(beam_width=1), LENGTH)
    )
    assert (np.asarray(samples.token_ids) == 7).any(axis=-1).all()


def test_rewards_are_of_the_right_pictures_captions_with_their_end() -> None:
    captioner, reward = make_captioner(), Wants(7)
    step(self_critical(captioner, reward, 1), 1)
    assert [image for image, _ in reward.asked] == np.repeat(np.arange(BATCH), 8).tolist()
    assert all(caption[-1] == END and PAD not in caption for _, caption in reward.asked)


def test_cider_of_the_pictures_own_captions_rises() -> None:
    captioner = make_captioner()
    # A beam says nothing that is worth a reward before it was told something.
    step(compiled(CrossEntropyTraining(captioner, TrainConfig(averaging=0.0)), 12, 0.02), 12)
    references = [[[*ids, END] for ids in captions] for captions in CAPTIONS]
    reward = CiderD(references)
    rewards = [log["reward"] for log in step(self_critical(captioner, reward, 40), 40)]
    best = float(np.mean(reward.score(range(BATCH), [captions[0] for captions in references])))
    assert rewards[0] < 0.45 * best
    assert np.mean(rewards[-5:]) > 0.55 * best


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_every_pass_of_self_critical_training_begins_where_the_first_began(precision: str) -> None:
    keras.mixed_precision.set_global_policy(precision)
    captioner = make_captioner()
    training = self_critical(captioner, Wants(7), 3)
    keras.mixed_precision.set_global_policy("float32")
    assert hasattr(training.optimizer, "inner_optimizer") == (precision == "mixed_float16")
    optimiser = getattr(training.optimizer, "inner_optimizer", training.optimizer)
    variables = captioner.decoder.trainable_variables
    began = [np.array(variable) for variable in variables]
    ends = []
    for number in range(2):
        training.begin_epoch(number)
        for variable, value in zip(variables, began, strict=True):
            np.testing.assert_array_equal(variable, value)
        assert int(optimiser.iterations) == 0
        step(training, 3)
        training.end_epoch()
        ends.append([np.array(variable) for variable in variables])
    assert any((end != value).any() for end, value in zip(ends[0], began, strict=True))
    # Of the same batches, with an optimiser that remembers nothing.
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    with training.averages.in_place():
        for variable, end in zip(variables, ends[0], strict=True):
            np.testing.assert_allclose(variable, end, atol=1e-5)


def test_a_pass_may_have_several_epochs() -> None:
    training = self_critical(make_captioner(), Wants(7), 3)
    training.config = dataclasses.replace(training.config, self_critical_epochs=2)
    begun = []
    for number in range(4):
        training.begin_epoch(number)
        begun.append((int(training.optimizer.iterations), float(training.averages.passes)))
        step(training, 3)
        training.end_epoch()
    assert begun == [(0, 1), (3, 1), (0, 2), (3, 2)]


def test_the_recogniser_and_the_encoder_stay_in_self_critical_training() -> None:
    captioner = make_captioner(concepts=(5, 8, 9))
    kept = [*captioner.recogniser.weights, *captioner.image_encoder.weights]
    before = [np.array(weight) for weight in kept]
    step(self_critical(captioner, Wants(7), 3), 3)
    for weight, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_the_beams_captions_are_learnt_from_without_dropout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captioner, reward = make_captioner(dropout=0.5, concepts=(5, 8, 9)), Wants(7)
    inputs, _ = batch()
    # Told by the recogniser that does not know the picture, as in training by cross-entropy.
    memory, _ = captioner.look(inputs["grid"], key=inputs["key"])
    beam = make_sampler(SamplerConfig(beam_width=8), LENGTH)
    expected = np.asarray(captioner.write(memory, beam).token_ids)
    learnt: list[dict] = []
    tell = captioner.decoder.tell

    def spy(memory: dict, *rest: Any) -> Any:
        learnt.append({name: np.asarray(value) for name, value in memory.items()})
        return tell(memory, *rest)

    weights: list[np.ndarray] = []

    def loss(targets: Any, logits: Any, **options: Any) -> Any:
        weights.append(np.asarray(options["weights"]))
        return caption_crossentropy(targets, logits, **options)

    monkeypatch.setattr(captioner.decoder, "tell", spy)
    monkeypatch.setattr("model.training.caption_crossentropy", loss)
    training = self_critical(captioner, reward, 1)
    training.run_eagerly = True
    step(training, 1)
    drawn = [caption for _, caption in reward.asked]
    assert drawn == [row[row != PAD].tolist() for picture in expected for row in picture]
    (used,) = learnt
    for name, value in memory.items():
        np.testing.assert_allclose(used[name], value, atol=1e-6)
    # Each against the mean of the others.
    rewards = np.array([[7 in row for row in picture] for picture in expected], float)
    assert 0 < rewards.mean() < 1
    baselines = (rewards.sum(axis=1, keepdims=True) - rewards) / 7
    np.testing.assert_allclose(weights, [rewards - baselines], atol=1e-6)
