"""What is decoded otherwise than a bundle was exported with. Imports no framework."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import VOCABULARY_FILE, WEIGHTS_FILE, BundleConfig, SamplerConfig
from model.errors import CaptionerError
from model.vocabulary import read_vocabulary

_NAMES = ("max_length", *(field.name for field in dataclasses.fields(SamplerConfig)))


@dataclass(frozen=True)
class Decoding:
    """Changes to a bundle's sampler and its longest caption.

    Attributes:
        changes: pairs of a field of `SamplerConfig`, or ``max_length``, and its value.
    """

    changes: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Decoding":
        """The changes among the options that were given."""
        return cls(tuple((name, options[name]) for name in _NAMES if name in options))

    def check(self, bundle: Path) -> None:
        """Checks that the bundle holds what it takes to decode otherwise.

        Raises:
            CaptionerError: if it does not, or has none of the words to ban.
        """
        missing = [n for n in (WEIGHTS_FILE, VOCABULARY_FILE) if not (bundle / n).is_file()]
        if self.changes and missing:
            names = ", ".join(f"--{name.replace('_', '-')}" for name, _ in self.changes)
            raise CaptionerError(
                f"{names}: {bundle} has no {' and no '.join(missing)}, without which it decodes "
                "only as it was exported; export it again"
            )
        if words := SamplerConfig(ban_words=dict(self.changes).get("ban_words", "")).words_to_ban:
            read_vocabulary(bundle / VOCABULARY_FILE).ids_to_ban(words)

    def apply(self, exported: BundleConfig) -> BundleConfig:
        """The bundle with these changes: another model, unless they change nothing.

        Raises:
            CaptionerError: if a value is senseless, or captions longer than the bundle's are asked
                for.
        """
        changes = dict(self.changes)
        max_length = changes.pop("max_length", exported.max_length)
        if not 1 < max_length <= exported.max_length:
            raise CaptionerError(
                f"--max-length: got {max_length}, expected 2 to {exported.max_length}, for which "
                "the bundle was trained; train with a larger --max-length for longer captions"
            )
        sampler = dataclasses.replace(exported.sampler, **changes)
        sampler.check_length(max_length)
        if (sampler, max_length) == (exported.sampler, exported.max_length):
            return exported
        told = f"{exported.model_fingerprint} {sampler} {max_length}"
        fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
        # A low score of other captions is another one, which nobody has measured.
        return dataclasses.replace(
            exported,
            sampler=sampler,
            max_length=max_length,
            model_fingerprint=fingerprint,
            low_score=None,
        )


AS_EXPORTED = Decoding()
