"""What is decoded otherwise than a bundle was exported with. Imports no framework."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.artifacts import VOCABULARY_FILE, WEIGHTS_FILE, BundleConfig
from model.config import SamplerConfig
from model.errors import CaptionerError
from model.options import flag
from model.vocabulary import read_vocabulary

_NAMES = ("max_length", *(field.name for field in dataclasses.fields(SamplerConfig)))
# Weights of what orders captions, and what a model lacks that knows nothing of it.
_ORDERS = {
    "concept_weight": "does not know how usual its concepts are; leave it out, or train with "
    "--concepts above 0 on a dataset made by this version",
    "neighbour_weight": "keeps no training pictures; leave it out, or train on a dataset with "
    "features of a frozen --encoder",
}
# Options that mean nothing to other samplers.
_OF_SAMPLER = {
    "beam": ("beam_width", "length_normalisation", *_ORDERS),
    "greedy": (),
    "nucleus": ("samples", "temperature", "top_k", "top_p", "sampling_seed", *_ORDERS),
}


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
            names = ", ".join(flag(name) for name, _ in self.changes)
            raise CaptionerError(
                f"{names}: {bundle} has no {' and no '.join(missing)}, without which it decodes "
                "only as it was exported; export it again"
            )
        if words := SamplerConfig(ban_words=dict(self.changes).get("ban_words", "")).words_to_ban:
            read_vocabulary(bundle / VOCABULARY_FILE).ids_to_ban(words)

    def apply(self, exported: BundleConfig) -> BundleConfig:
        """The bundle with these changes: another model, unless they change nothing.

        Raises:
            CaptionerError: if a value is senseless or one of another sampler, or captions longer
                than the bundle's are asked for.
        """
        changes = dict(self.changes)
        max_length = changes.pop("max_length", exported.max_length)
        if not 1 < max_length <= exported.max_length:
            raise CaptionerError(
                f"--max-length: got {max_length}, expected 2 to {exported.max_length}, for which "
                "the bundle was trained; train with a larger --max-length for longer captions"
            )
        orders = exported.orders
        sampler = change_sampler(exported.sampler, changes, orders)
        sampler.check_length(max_length)
        used = used_settings(sampler, max_length, orders)
        if used == used_settings(exported.sampler, exported.max_length, orders):
            return exported
        told = f"{exported.model_fingerprint} {json.dumps(used, sort_keys=True)}"
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


def change_sampler(
    sampler: SamplerConfig, changes: Mapping[str, Any], orders: Set[str]
) -> SamplerConfig:
    """`sampler` with `changes` that a person asked for.

    Args:
        orders: the weights of which the model knows what they are of, see `RunConfig.orders`.

    Raises:
        CaptionerError: if a value is senseless, or means nothing to the sampler or to the model.
    """
    changed = dataclasses.replace(sampler, **changes)
    _check_used(changes, changed.sampler)
    for name, lack in _ORDERS.items():
        if changes.get(name) and name not in orders:
            raise CaptionerError(f"{flag(name)}: got {changes[name]}, but the model {lack}")
    return changed


def _check_used(changes: Mapping[str, Any], sampler: str) -> None:
    """Raises:
    CaptionerError: if one of `changes` means nothing to `sampler`.
    """
    for other, names in _OF_SAMPLER.items():
        for name in names:
            if name not in _OF_SAMPLER[sampler] and name in changes:
                raise CaptionerError(
                    f"{flag(name)}: got {changes[name]} for {sampler} search, which "
                    f"makes no use of it; leave it out, or give --sampler {other}"
                )


def heeded_settings(sampler: SamplerConfig, orders: Set[str]) -> dict[str, Any]:
    """The settings of `sampler` that change anything.

    Args:
        orders: the weights of which the model knows what they are of, see `RunConfig.orders`.
    """
    others = {n for names in _OF_SAMPLER.values() for n in names} - {*_OF_SAMPLER[sampler.sampler]}
    others |= _ORDERS.keys() if sampler.captions == 1 else _ORDERS.keys() - orders
    return {n: v for n, v in dataclasses.asdict(sampler).items() if n not in others}


def used_settings(sampler: SamplerConfig, max_length: int, orders: Set[str]) -> dict[str, Any]:
    """What decides the captions: what two models decode alike, however they were asked to.

    Args:
        orders: the weights of which the model knows what they are of, see `RunConfig.orders`.
    """
    used = heeded_settings(sampler, orders)
    return {**used, "ban_words": sorted(set(sampler.words_to_ban)), "max_length": max_length}
