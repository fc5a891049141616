"""The optimiser of both phases, and its schedule."""

import keras
from keras import ops

from model.config import TrainConfig

# Share of all steps in which the learning rate rises to its peak.
_WARM_UP = 0.05


def learning_rate_schedule(peak: float, steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up, then cosine decay to zero over `steps` (Loshchilov & Hutter 2017).

    Few steps have no warm-up: it begins at zero, so that one of a single step would lose the step.
    """
    warm_up = round(_WARM_UP * steps)
    if warm_up <= 1:
        return keras.optimizers.schedules.CosineDecay(peak, decay_steps=steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=peak,
        warmup_steps=warm_up,
        decay_steps=steps - warm_up,
    )


class ScaledAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov & Hutter 2019) that gives some variables a share of the learning rate.

    Their weights decay by that share too. Of several replicas it is given gradients that are summed
    already (see `model.training`).

    Args:
        shares: by path of a variable, its share; 1 for those not named.
        options: of `keras.optimizers.AdamW`.
    """

    def __init__(self, shares: dict[str, float], **options: object) -> None:
        super().__init__(**options)
        self.shares = shares

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: float
    ) -> None:
        # On TensorFlow `variable` is its own, without a path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        rate = learning_rate * self.shares.get(path, 1.0)
        if self._use_weight_decay(variable):
            # In the order of Keras, to the last bit.
            decay = variable * ops.cast(self.weight_decay, variable.dtype)
            self.assign_sub(variable, decay * ops.cast(rate, variable.dtype))
        super().update_step(gradient, variable, rate)

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple]) -> list[tuple]:
        """As they are: Keras would sum the sums."""
        return grads_and_vars

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        """Nothing: Keras would take one rate for all, `update_step` knows each variable's."""


def make_optimiser(
    train: TrainConfig, peak: float, steps: int, fine_tuned: list[keras.Variable]
) -> ScaledAdamW:
    """The optimiser of a phase of `steps` steps.

    Args:
        peak: highest learning rate.
        fine_tuned: variables of the image encoder, which learn slower.
    """
    optimiser = ScaledAdamW(
        shares={variable.path: train.encoder_learning_rate for variable in fine_tuned},
        learning_rate=learning_rate_schedule(peak, steps),
        weight_decay=train.weight_decay,
        global_clipnorm=train.clip_norm,
    )
    # Decay draws weights to zero, where biases and scales have no reason to be.
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser
