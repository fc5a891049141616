"""What `captioner plan` was asked for, checked before work starts."""

import argparse
import dataclasses
import math

from model.errors import CaptionerError
from pipelines.caption_config import CaptionConfig, take_model_options
from pipelines.sources import normalise_uri


@dataclasses.dataclass(frozen=True)
class PlanConfig:
    """What `captioner plan` was asked for; see its options.

    Attributes:
        caption: how the sample is captioned, and where to.
    """

    caption: CaptionConfig
    sample_images: int
    workers: tuple[int, ...]
    price_per_worker_hour: float | None = None

    def __post_init__(self) -> None:
        if self.sample_images < 1:
            raise CaptionerError(f"--sample-images: got {self.sample_images}, expected 1 or more")
        for workers in self.workers:
            if workers < 1:
                raise CaptionerError(f"--workers: got {workers}, expected 1 or more")
        price = self.price_per_worker_hour
        if price is not None and not 0 <= price < math.inf:
            raise CaptionerError(
                f"--price-per-worker-hour: got {price}, expected a price of 0 or more"
            )


def read_plan_config(options: argparse.Namespace, output: str) -> PlanConfig:
    """The configuration that the command's options ask for; captions go to `output`."""
    asked = dict(vars(options))
    bundle, inputs = normalise_uri(asked.pop("bundle")), tuple(asked.pop("input"))
    own = {
        "sample_images": asked.pop("sample_images"),
        "workers": tuple(asked.pop("workers")),
        "price_per_worker_hour": asked.pop("price_per_worker_hour"),
    }
    model = take_model_options(asked)
    caption = CaptionConfig(bundle, inputs, output, max_reject_ratio=1.0, **model, **asked)
    return PlanConfig(caption, **own)
