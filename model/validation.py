"""How good a captioner in training is: its loss and the CIDEr-D of captions it generates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from model.caption_graph import CaptionGraph
from model.cider import CiderD
from model.losses import caption_crossentropy
from model.vocabulary import END, PAD


@dataclass(frozen=True)
class Quality:
    """What `Validator` measured.

    Attributes:
        loss: cross-entropy of the split's captions, in nats a token.
        cider: CIDEr-D of generated captions over token ids, 0 to 10.
        captions: the generated captions' token ids, in the order of the split.
    """

    loss: float
    cider: float
    captions: list[list[int]]


class Validator:
    """Captions a split as archives are captioned, and compares with its own captions.

    Weights that greedy search likes best may be two CIDEr worse by a beam (docs/results.md). The
    measure is `model.cider` over the dataset's own tokens: fast, and the same in every language.
    `captioner evaluate` scores texts with the published programs.

    Args:
        graph: the model, whose weights at the time of the call count, and how it captions.
        batches: of `model.dataset.training_batches`, unshuffled.
        references: token ids of each picture's captions, in the same order.
    """

    def __init__(
        self,
        graph: CaptionGraph,
        batches: tf.data.Dataset,
        references: Sequence[Sequence[Sequence[int]]],
    ) -> None:
        self.batches, self.cider = batches, CiderD(references)
        captioner = graph.captioner

        @tf.function(reduce_retracing=True, jit_compile=False, autograph=False)
        def measure(inputs: dict, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
            grid = captioner.grid_of(inputs)
            memory, tag_logits = captioner.look(grid)
            logits, _ = captioner.decoder.tell(memory, inputs["token_ids"])
            tokens = tf.reduce_sum(tf.cast(targets != PAD, tf.float32))
            loss = caption_crossentropy(targets, logits) * tokens
            return graph.write(grid, memory, tag_logits).token_ids[:, 0], loss, tokens

        self.measure = measure

    def __call__(self) -> Quality:
        captions: list[list[int]] = []
        losses, counts = [], []
        for inputs, targets in self.batches:
            written, loss, tokens = self.measure(inputs, targets)
            captions += [row[row > END].tolist() for row in written.numpy()]
            losses.append(float(loss))
            counts.append(float(tokens))
        scores = self.cider.score(range(len(captions)), captions)
        return Quality(sum(losses) / max(sum(counts), 1.0), float(np.mean(scores)), captions)
