"""Moving averages of a model's weights, which caption better than the weights of any one step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import keras
from keras import ops

# While few steps are done, the average follows faster, so that it does not hold on to the noise
# that the weights began as.
_WARM_UP = 10.0


class WeightAverages(keras.layers.Layer):
    """Exponential moving averages of variables (Polyak & Juditsky 1992; Morales-Brotons 2024).

    A layer, so that checkpoints hold the averages.

    Args:
        variables: to be averaged.
        momentum: share of the average kept in a step; 0 makes it the last step's weights.
    """

    def __init__(self, variables: Sequence[keras.Variable], momentum: float) -> None:
        super().__init__(name="averages", trainable=False)
        self.momentum = momentum
        # Keras would take a list of variables for weights of this layer.
        self._followed = SimpleNamespace(variables=list(variables))
        self.steps = self._weight((), "steps", "float32")
        self.averages = [
            self._weight(variable.shape, f"average_{number}", variable.dtype)
            for number, variable in enumerate(self.followed)
        ]
        self.built = True
        for average, variable in zip(self.averages, self.followed, strict=True):
            average.assign(variable)

    def _weight(self, shape: tuple, name: str, dtype: str) -> keras.Variable:
        """A weight that every replica computes alike."""
        return self.add_weight(
            shape=shape,
            name=name,
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )

    @property
    def followed(self) -> list[keras.Variable]:
        """The variables that are averaged."""
        return self._followed.variables

    def update(self) -> None:
        """Moves the averages towards what the variables are after a step."""
        self.steps.assign(self.steps + 1.0)
        momentum = ops.minimum(self.momentum, self.steps / (self.steps + _WARM_UP))
        for average, variable in zip(self.averages, self.followed, strict=True):
            share = ops.cast(1.0 - momentum, average.dtype)
            average.assign(average + share * (variable - average))

    @property
    def shown(self) -> list[keras.Variable]:
        """What captions are made with: a value for each of the variables."""
        return self.averages

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the variables have the values that captions are made with."""
        trained = [ops.convert_to_numpy(variable) for variable in self.followed]
        for value, variable in zip(self.shown, self.followed, strict=True):
            variable.assign(value)
        try:
            yield
        finally:
            for value, variable in zip(trained, self.followed, strict=True):
                variable.assign(value)


class MeanOfPasses(WeightAverages):
    """The mean of what passes end at that all begin at the same weights (Wortsman et al. 2022).

    "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time". What a pass ends at is its moving average.

    Args:
        variables: to be averaged; every pass begins at what they are now.
        momentum: of the moving average of a pass.
    """

    def __init__(self, variables: Sequence[keras.Variable], momentum: float) -> None:
        super().__init__(variables, momentum)
        self.passes = self._weight((), "passes", "float32")
        self.starts, self.done, self.means = (
            [self._weight(v.shape, f"{name}_{n}", v.dtype) for n, v in enumerate(self.followed)]
            for name in ("start", "done", "mean")
        )
        for start, variable in zip(self.starts, self.followed, strict=True):
            start.assign(variable)

    @property
    def shown(self) -> list[keras.Variable]:
        """The means, up to the last `add_pass`."""
        return self.means

    def begin_pass(self) -> None:
        """Puts the variables, and their moving averages, back to where every pass begins."""
        self.passes.assign(self.passes + 1.0)
        self.steps.assign(0.0)
        for values in zip(
            self.starts, self.done, self.means, self.averages, self.followed, strict=True
        ):
            start, done, mean, average, variable = values
            done.assign(mean)
            average.assign(start)
            variable.assign(start)

    def add_pass(self) -> None:
        """Adds what this pass has come to so far to the mean of those before it."""
        for mean, done, average in zip(self.means, self.done, self.averages, strict=True):
            mean.assign(done + (average - done) / ops.cast(self.passes, mean.dtype))
