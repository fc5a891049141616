"""What datasets, runs and bundles tell of themselves, as frozen dataclasses, and in which files.

Each is written as JSON into its artifact and read back by the next step. Imports no framework: who
only looks at an artifact need not import TensorFlow.
"""

import dataclasses
from dataclasses import dataclass

from model.config import ImageConfig, ModelConfig, SamplerConfig, TrainConfig
from model.errors import CaptionerError

SPLITS = ("train", "validation", "test")
DATASET_FILE = "dataset.json"
VOCABULARY_FILE = "vocabulary.txt"
FREQUENCIES_FILE = "vocabulary_frequencies.tsv"
ENCODER_WEIGHTS_FILE = "encoder.weights.h5"
WEIGHTS_FILE = "captioner.weights.h5"


@dataclass(frozen=True)
class FeatureConfig:
    """Features that preprocessing computed by a frozen image encoder and stored in the dataset.

    Attributes:
        encoder: name of a `keras.applications` network.
        weights_sha256: of the file of its weights in the dataset, in hexadecimal.
        views: grids stored of each training picture; other splits have one.
        patches: cells of a grid.
        channels: numbers of a cell, stored as float16.
    """

    encoder: str
    weights_sha256: str
    views: int
    patches: int
    channels: int


@dataclass(frozen=True)
class DatasetInfo:
    """What ``dataset.json`` tells the steps that follow preprocessing."""

    fingerprint: str
    request: str
    decoder_version: str
    image: ImageConfig
    vocabulary_size: int
    examples: dict[str, int]
    captions: dict[str, int]
    rejects: dict[str, int]
    inputs: int
    duplicates: dict[str, int] = dataclasses.field(default_factory=dict)
    features: FeatureConfig | None = None


@dataclass(frozen=True)
class RunConfig:
    """``run/config.json``: everything needed to build the model again and to go on training."""

    dataset_fingerprint: str
    decoder_version: str
    vocabulary_size: int
    image: ImageConfig
    model: ModelConfig
    train: TrainConfig
    concepts: tuple[str, ...] = ()
    # Of each concept, the share of pictures that show it; none of a dataset that does not tell.
    concept_shares: tuple[float, ...] = ()
    # Whether it keeps training pictures to order captions by what was said of them.
    neighbours: bool = False
    init_from: str | None = None

    @property
    def orders(self) -> frozenset[str]:
        """The settings of `SamplerConfig` by which it can put captions in order."""
        return _orders(self.concept_shares, self.neighbours)

    def __post_init__(self) -> None:
        if not self.train.epochs and self.init_from is None:
            raise CaptionerError(
                "--epochs: got 0, expected above 0 without --init-from: self-critical training "
                "goes on from a trained model"
            )


@dataclass(frozen=True)
class BundleConfig:
    """``bundle/bundle.json``: what a user of the bundle must know without loading it."""

    model_fingerprint: str
    decoder_version: str
    image: ImageConfig
    model: ModelConfig
    sampler: SamplerConfig
    max_length: int
    vocabulary_size: int
    dataset_fingerprint: str
    low_score: float | None
    concepts: tuple[str, ...] = ()
    concept_shares: tuple[float, ...] = ()
    neighbours: bool = False

    @property
    def orders(self) -> frozenset[str]:
        """The settings of `SamplerConfig` by which it can put captions in order."""
        return _orders(self.concept_shares, self.neighbours)


def _orders(shares: tuple[float, ...], neighbours: bool) -> frozenset[str]:
    known = {"concept_weight": bool(shares), "neighbour_weight": neighbours}
    return frozenset(name for name, is_known in known.items() if is_known)
