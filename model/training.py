"""What a step of training does: cross-entropy first, then the captions' own CIDEr-D.

Each phase is a `keras.Model` around the same captioner, so that `fit` brings its progress bar,
callbacks and distribution to both.
"""

from typing import Any

import keras
import tensorflow as tf

from model.averages import MeanOfPasses, WeightAverages
from model.beam_sampler import BeamSampler
from model.captioner import Captioner, Outputs
from model.cider import CiderD
from model.config import SamplerConfig, TrainConfig
from model.decoding import after_start
from model.losses import caption_crossentropy, doubly_stochastic, tag_crossentropy
from model.vocabulary import END, PAD

Tensor = Any
# Beside the loss of captions, in nats a token, that of hundreds of concepts would be all of it.
_TAG_SHARE = 0.1


class Training(keras.Model):
    """A captioner in training, and the moving averages of its weights.

    Args:
        captioner: the model.
        config: how it is trained.
    """

    # What a step gives to `report`.
    measured: tuple[str, ...] = ("loss",)
    # The option of its learning rate.
    rate_option = "--learning-rate"

    def __init__(self, captioner: Captioner, config: TrainConfig) -> None:
        super().__init__(name="training")
        self.captioner, self.config = captioner, config
        self.averages = self.make_averages(captioner.trainable_variables)
        self.means = [keras.metrics.Mean(name) for name in self.measured]
        self.built = True

    @property
    def metrics(self) -> list[keras.Metric]:
        """Means over the epoch so far of what `measured` names."""
        return self.means

    def make_averages(self, variables: list[keras.Variable]) -> WeightAverages:
        """What makes of the weights of all steps those that captions are made with."""
        return WeightAverages(variables, self.config.averaging)

    def begin_epoch(self, number: int) -> None:
        """To be called before an epoch, of which `number` came before it in this phase."""

    def end_epoch(self) -> None:
        """To be called after an epoch, before its weights count."""

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Outputs:
        return self.captioner(inputs, training=training)

    def trained_variables(self) -> list[keras.Variable]:
        """What the optimiser changes."""
        return self.captioner.trainable_variables

    def apply(self, gradients: list[Tensor], variables: list[keras.Variable]) -> None:
        """A step of the optimiser, and of the averages after it."""
        self.optimizer.apply(_sum_of_replicas(gradients), variables)
        self.averages.update()

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to differentiate: gradients of all replicas are summed."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return self.optimizer.scale_loss(loss / replicas)

    def report(self, *values: Tensor) -> dict[str, Tensor]:
        """The means after a step that gave `values`, by name."""
        for mean, value in zip(self.means, values, strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self.means}


class CrossEntropyTraining(Training):
    """Teacher forcing: every caption of a picture, told word by word, and the concepts in them.

    Call with batches `({"images" | "grid", "key" int[B], "token_ids"}, targets int[B, N, L])`.
    """

    def train_step(self, data: tuple) -> dict[str, Tensor]:
        inputs, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trained_variables()
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)
            loss = caption_crossentropy(targets, outputs.logits, self.config.label_smoothing)
            total = loss
            if self.captioner.recogniser is not None:
                recogniser = self.captioner.recogniser
                labels, learning = recogniser.labels(targets), recogniser.learning(inputs["key"])
                total += _TAG_SHARE * tag_crossentropy(labels, outputs.tag_logits, learning)
            if self.config.attention_regularisation:
                first = self.captioner.decoder.first_patch
                looked = slice(first, first + self.captioner.image_encoder.patches)
                term = doubly_stochastic(outputs.attention[..., looked], targets)
                total += self.config.attention_regularisation * term
            scaled = self.scale(total)
        self.apply(tape.gradient(scaled, [v.value for v in variables]), variables)
        return self.report(loss)


class SelfCriticalTraining(Training):
    """Self-critical sequence training (Rennie et al. 2017) on CIDEr-D, of a beam's captions.

    Of the captions that a beam search finds for a picture those better than the others become
    likelier, the worse ones less likely (Cornia et al. 2020, "Meshed-Memory Transformer", section
    3.3). Captions drawn at random, as by Rennie et al., did not bear so high a learning rate
    (docs/results.md). The mean of the others is the baseline (Luo 2020, "A Better Variant of
    Self-Critical Sequence Training"). END counts as a token of the reward, so that captions learn
    to end where their references do. Without dropout: what is learnt from is what a beam says.

    A few thousand pictures are soon learnt by heart. So there may be several passes that all begin
    where the first began, each of which sees the pictures in another order; what counts is the mean
    of what they come to.

    Args:
        captioner: the model, trained by cross-entropy before.
        config: how it is trained.
        reward: of the train split's pictures, in the order of their indices.

    Call with batches of `({"images" | "grid", "index", "key" int[B], "token_ids"}, targets)`.
    """

    measured = ("loss", "reward", "words")
    rate_option = "--self-critical-learning-rate"
    averages: MeanOfPasses

    def __init__(self, captioner: Captioner, config: TrainConfig, reward: CiderD) -> None:
        super().__init__(captioner, config)
        self._reward = [reward.score]  # in a list: Keras would take a bound method for a layer's
        beam = SamplerConfig(beam_width=config.self_critical_samples)
        self.sampler = BeamSampler(beam, config.max_length)

    def make_averages(self, variables: list[keras.Variable]) -> WeightAverages:
        return MeanOfPasses(variables, self.config.averaging)

    def begin_epoch(self, number: int) -> None:
        if number % self.config.self_critical_epochs:
            return
        self.averages.begin_pass()
        # In mixed precision it is within another one, which keeps its scale of the loss.
        optimiser: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        for variable in optimiser.variables:
            variable.assign(keras.ops.zeros_like(variable))

    def end_epoch(self) -> None:
        self.averages.add_pass()

    def trained_variables(self) -> list[keras.Variable]:
        return self.captioner.decoder.trainable_variables

    def train_step(self, data: tuple) -> dict[str, Tensor]:
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        grid = self.captioner.grid_of(inputs)
        count = float(self.config.self_critical_samples)
        variables = self.trained_variables()
        with tf.GradientTape() as tape:
            memory, _ = self.captioner.look(grid, key=inputs["key"])
            with tape.stop_recording():
                drawn = self.captioner.write(memory, self.sampler).token_ids
                rewards = tf.numpy_function(self._score, [inputs["index"], drawn], tf.float32)
                rewards = tf.ensure_shape(rewards, [None, self.config.self_critical_samples])
                others = (tf.reduce_sum(rewards, 1, keepdims=True) - rewards) / (count - 1.0)
            told = after_start(drawn)
            logits, _ = self.captioner.decoder.tell(memory, tf.where(told == END, PAD, told))
            loss = caption_crossentropy(drawn, logits, weights=rewards - others)
            scaled = self.scale(loss)
        self.apply(tape.gradient(scaled, [v.value for v in variables]), variables)
        words = tf.reduce_sum(tf.cast(drawn > END, tf.float32), axis=2)
        return self.report(loss, tf.reduce_mean(rewards), tf.reduce_mean(words))

    def _score(self, index: Any, drawn: Any) -> Any:
        """CIDEr-D `float32[B, K]` of captions `int[B, K, L]` of the pictures `int[B]`."""
        captions = [row[row != PAD].tolist() for picture in drawn for row in picture]
        scores = self._reward[0](index.repeat(drawn.shape[1]), captions)
        return scores.reshape(drawn.shape[:2])


def _sum_of_replicas(gradients: list[Tensor]) -> list[Tensor]:
    """Gradients, some of which may be None, summed over all replicas.

    Before the optimiser sees them: Keras would clip, and look for infinity, in each replica alone.
    """
    given = [gradient for gradient in gradients if gradient is not None]
    replica = tf.distribute.get_replica_context()
    summed = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, given))
    return [None if gradient is None else next(summed) for gradient in gradients]
