"""The whole model as one graph: pixels in, strings out."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from model.bundle_folder import MOST_TAGS
from model.caption_order import ConceptLifts, make_order
from model.captioner import Captioner
from model.config import ImageConfig, SamplerConfig
from model.consensus import Consensus
from model.decoding import Memory, Samples, after_start
from model.neighbours import Neighbours
from model.samplers import make_sampler
from model.text import Joints, detokenise
from model.vocabulary import SPECIAL_TOKENS, Vocabulary


class CaptionGraph(keras.Model):
    """A captioner whose results are strings: pixels in, captions out, one graph.

    Args:
        captioner: the model.
        vocabulary: its words.
        sampler: how captions are drawn.
        max_length: most tokens of a caption, its end mark counted.
        image: size of the pictures.
        concept_shares: of each concept of the captioner, the share of pictures that show it; none
            where nobody knows: then captions are not ordered by what they name.
        neighbours: training pictures, to order captions by what was said of them; None without.
    """

    def __init__(
        self,
        captioner: Captioner,
        vocabulary: Vocabulary,
        sampler: SamplerConfig,
        max_length: int,
        image: ImageConfig,
        concept_shares: Sequence[float] = (),
        neighbours: Neighbours | None = None,
    ) -> None:
        super().__init__(name="caption_graph")
        self.captioner = captioner
        self.sampler = make_sampler(sampler, max_length, vocabulary)
        lifts = None
        if captioner.recogniser is not None and concept_shares:
            lifts = ConceptLifts(captioner.recogniser.concept_ids, concept_shares, len(vocabulary))
        consensus = Consensus(neighbours) if neighbours else None
        self.order = make_order(sampler, lifts, consensus)
        self.words = tf.constant(vocabulary.tokens)
        self.size_px = image.image_size_px
        self.grid = captioner.image_encoder.grid

    def caption_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pictures as `captioner` decodes them, `uint8[B, H, W, 3]`, to captions, best first.

        Returns:
            captions `string[B, K]`, scores `float32[B, K]` (mean log-probability of a token, in
            nats), tags `string[B, T]` and tag_scores `float32[B, T]`; T is 0 without a recogniser.
        """
        grid = self.captioner.encode(images)
        memory, tag_logits = self.captioner.look(grid)
        samples = self.write(grid, memory, tag_logits)
        return {
            "captions": self._captions(samples.token_ids),
            "scores": samples.scores,
            # Not of the images: what comes after the encoder is to follow from its grid alone.
            **self._tags(tag_logits, tf.shape(samples.scores)[0]),
        }

    def spell_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `caption_pixels` returns, before it becomes strings: for engines without them.

        Returns:
            token_ids `int32[B, K, L]`; joined `bool[B, K, L]`, whether a token follows the one
            before without a space; scores `float32[B, K]`; and, with a recogniser, tag_scores
            `float32[B, concepts]`, in the order of `bundle.json`.
        """
        grid = self.captioner.encode(images)
        memory, tag_logits = self.captioner.look(grid)
        samples = self.write(grid, memory, tag_logits)
        joints = Joints.of(self.words)
        told = {
            "token_ids": samples.token_ids,
            "joined": joints.joined(samples.token_ids),
            "scores": samples.scores,
        }
        if tag_logits is not None and self.captioner.recogniser is not None:
            together = self.captioner.recogniser.together(tag_logits)
            told["tag_scores"] = tf.sigmoid(tf.cast(together, tf.float32))
        return told

    def tag_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Probabilities `float32[B, K]` of all concepts, in the order of `bundle.json`."""
        recogniser = self.captioner.recogniser
        assert recogniser is not None, "a bundle without a recogniser has no such signature"
        each = recogniser(self.captioner.encode(images))
        return tf.sigmoid(recogniser.together(each))

    def attend_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Where the decoder looked while it wrote each word of the best caption.

        The caption is told to the decoder again, so that captioning itself keeps no weights.

        Returns:
            words `string[B, L]`, empty after the last, and attention `float32[B, L, rows,
            columns]`: each word's share of attention to each patch.
        """
        grid = self.captioner.encode(images)
        memory, tag_logits = self.captioner.look(grid)
        best = self.write(grid, memory, tag_logits).token_ids[:, :1]
        outputs = self.captioner({"grid": grid, "token_ids": after_start(best)})
        first, (rows, columns) = self.captioner.decoder.first_patch, self.grid
        attention = outputs.attention[:, 0, :, first : first + rows * columns]
        shape = (-1, tf.shape(best)[2], rows, columns)
        token_ids = best[:, 0]
        words = tf.where(token_ids >= len(SPECIAL_TOKENS), tf.gather(self.words, token_ids), "")
        return {"words": words, "attention": tf.reshape(tf.cast(attention, tf.float32), shape)}

    def write(self, grid: tf.Tensor, memory: Memory, tag_logits: tf.Tensor | None) -> Samples:
        """The captions of what `Captioner.look` saw in `grid`, best first."""
        samples = self.captioner.write(memory, self.sampler)
        if self.order is None:
            return samples
        recogniser, logits = self.captioner.recogniser, tag_logits
        if recogniser is not None and tag_logits is not None:
            logits = recogniser.together(tag_logits)
        return self.order(samples, logits, grid)

    def _captions(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Token ids `int[B, K, L]` as texts `string[B, K]`."""
        is_word = token_ids >= len(SPECIAL_TOKENS)
        words = tf.ragged.boolean_mask(tf.gather(self.words, token_ids), is_word)
        return detokenise(words).to_tensor("", shape=token_ids.shape[:2])

    def _tags(self, tag_logits: tf.Tensor | None, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """The likeliest concepts and their probabilities, `[B, T]`."""
        recogniser = self.captioner.recogniser
        if tag_logits is None or recogniser is None:
            return {
                "tags": tf.zeros([batch, 0], tf.string),
                "tag_scores": tf.zeros([batch, 0], tf.float32),
            }
        count = min(MOST_TAGS, len(recogniser.concept_ids))
        token_ids, scores = recogniser.likeliest(recogniser.together(tag_logits), count)
        return {"tags": tf.gather(self.words, token_ids), "tag_scores": scores}

    def decode_bytes(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Files (JPEG, PNG, GIF, BMP), `string[B]`, to pictures, `uint8[B, H, W, 3]`.

        Decoded by TensorFlow for the sake of serving: no EXIF orientation, other rounding than
        `model.image`. The pipeline never uses it.
        """
        size = (self.size_px, self.size_px)

        def decode(data: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            image = tf.ensure_shape(image, [None, None, 3])
            image = tf.image.resize(image, size, method="bilinear", antialias=True)
            return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

        spec = tf.TensorSpec((*size, 3), tf.uint8)
        return tf.map_fn(decode, image_bytes, fn_output_signature=spec)
