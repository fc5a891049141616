"""`MODEL_CARD.md` of a bundle, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

from model.artifacts import BundleConfig, RunConfig
from model.config import ModelConfig, SamplerConfig
from model.run_config import WEIGHTS_OF_DATASET

_CARD = """# Model card: captioner {fingerprint}

Writes a sentence about a picture. Made by `captioner export`.

| | |
|---|---|
| image encoder | {encoder} |
| decoder | {decoder} |
| concepts | {concepts} |
| pictures | {size} x {size} px, decoder version `{decoder_version}` |
| vocabulary | {vocabulary} tokens |
| sampler | {sampler}, at most {max_length} tokens |
| trained on | {training} |

## How good it is

{metrics}

## What to expect

It knows the words and the subjects of its training captions and no others: it names what looks most
like them, and it can be wrong with a high score. Captions of people state what the training
captions would have stated, their errors and prejudices included. Read a sample before you publish.

## Use

```python
import tensorflow as tf

bundle = tf.saved_model.load("bundle")
caption = bundle.signatures["serving_default"]
print(caption(image_bytes=tf.constant([open("picture.jpg", "rb").read()]))["captions"])
```

`serving_default` decodes with TensorFlow; `captioner caption` decodes with Pillow (orientation, all
modes and formats) and calls `caption_pixels`.
"""


def model_card(
    bundle: BundleConfig, run: RunConfig, epoch: int, metrics: dict[str, Any] | None
) -> str:
    """The card of `bundle` as Markdown; `metrics` is what ``captioner evaluate`` wrote."""
    return _CARD.format(
        fingerprint=bundle.model_fingerprint,
        encoder=describe_encoder(run),
        decoder=_decoder(run.model),
        concepts=f"{len(run.concepts)}, given as tags" if run.concepts else "none",
        size=bundle.image.image_size_px,
        decoder_version=bundle.decoder_version,
        vocabulary=bundle.vocabulary_size,
        sampler=describe_sampler(bundle.sampler, bundle.orders),
        max_length=bundle.max_length,
        training=describe_training(run, epoch),
        metrics=describe_metrics(metrics, bundle.dataset_fingerprint),
    )


def describe_encoder(run: RunConfig) -> str:
    """The image encoder of a run, and where its weights come from."""
    model = run.model
    if run.init_from:
        weights = f"those of {Path(run.init_from).name}, which training started from"
    elif model.encoder == "cnn":
        weights = "trained from scratch"
    elif model.encoder_weights == WEIGHTS_OF_DATASET:
        weights = "those that made the features of the dataset"
    else:
        weights = model.encoder_weights or "random"
    tuned = f"; fine-tuned from {model.fine_tune_from} on" if model.fine_tune_from else ""
    return f"{model.encoder} (weights: {weights}{tuned})"


def describe_training(run: RunConfig, epoch: int) -> str:
    """What a run learnt from: its dataset, and all that its start knew."""
    told = f"dataset `{run.dataset_fingerprint}`, epoch {epoch}"
    if run.init_from:
        told += f", after all that {Path(run.init_from).name} was trained on"
    return told


def _decoder(model: ModelConfig) -> str:
    if model.decoder == "transformer":
        layers = f"{model.encoder_layers} + {model.decoder_layers} layers"
        return f"Transformer of {layers}, {model.embedding_dim} wide"
    return f"{model.decoder.upper()} of {model.units} units with additive attention"


def describe_sampler(config: SamplerConfig, orders: Set[str]) -> str:
    """The sampler in a few words, with the settings that it heeds.

    Args:
        orders: the weights of which the model knows what they are of, see `RunConfig.orders`.
    """
    if config.sampler == "nucleus":
        words = (
            f"nucleus of {config.top_p}, temperature {config.temperature}, "
            f"{config.samples} drawn, seed {config.sampling_seed}"
        )
        words += f", top {config.top_k}" if config.top_k else ""
    elif config.sampler == "greedy" or config.beam_width == 1:
        words = "greedy search"
    else:
        words = f"beam of {config.beam_width}, length normalisation {config.length_normalisation}"
    for name in sorted(orders) if config.captions > 1 else ():
        if weight := getattr(config, name):
            words += f", {name.replace('_', ' ')} {weight}"
    words += f", at least {config.min_length} words" if config.min_length > 1 else ""
    words += f", no {config.no_repeat_ngram} words in a row twice" if config.no_repeat_ngram else ""
    banned = ", ".join(config.words_to_ban)
    return words + (f", without the words {banned}" if banned else "")


def describe_metrics(metrics: dict[str, Any] | None, trained_on: str) -> str:
    """The scores of `metrics.json` as a table, and what they were measured on.

    Args:
        trained_on: fingerprint of the dataset that the model learnt from.
    """
    if metrics is None:
        return "Not measured: `captioner evaluate` was not run before the export."
    scores = metrics["scores"]
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in scores.items())
    dataset = metrics["dataset_fingerprint"]
    other = "" if dataset == trained_on else f" of another dataset, `{dataset}`"
    return (
        f"On {metrics['images']} images of the {metrics['split']} split{other}, "
        f"sampler {json.dumps(metrics['sampler'])}, tokeniser {metrics['tokeniser']}:\n\n"
        f"| | |\n|---|---|\n{rows}"
    )
