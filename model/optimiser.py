"""The optimiser of both phases, and its schedule."""

import keras

from model.config import TrainConfig

# Share of all steps in which the learning rate rises to its peak.
_WARM_UP = 0.05


def learning_rate_schedule(peak: float, steps: int) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up, then cosine decay to zero over `steps` (Loshchilov & Hutter 2017)."""
    warm_up = max(1, round(_WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=peak,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )


class ScaledAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov & Hutter 2019) that gives some variables a share of the learning rate.

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
        share = self.shares.get(path, 1.0)
        super().update_step(gradient, variable, learning_rate * share)


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
