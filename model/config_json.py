"""Configurations as JSON files, strictly: what is missing or unknown is an error."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from model.errors import CaptionerError

Config = TypeVar("Config")


# What a JSON document has for values of a type, and what people call it.
_IN_JSON: dict[Any, tuple[Any, str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    str: ((str,), "a text in quotes"),
    tuple: ((list, tuple), "a list"),
    dict: ((dict,), "an object"),
}


def _as_type(annotation: Any, value: Any, where: str) -> Any:
    """`value` of a parsed JSON document as the type that a dataclass field is annotated with.

    Raises:
        CaptionerError: if it is of another type, as people write it by hand (``"32"``).
    """
    if isinstance(annotation, types.UnionType):
        if value is None:
            return None
        (annotation,) = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    nested = dataclasses.is_dataclass(annotation)
    kind = dict if nested else typing.get_origin(annotation) or annotation
    taken, called = _IN_JSON[kind]
    if not isinstance(value, taken):
        raise CaptionerError(
            f"{where}: got {value!r}, expected {called}; correct it, or make the file again"
        )
    if nested:
        return from_dict(typing.cast(type, annotation), value, where)
    if kind is tuple:
        item, *_ = typing.get_args(annotation)
        return tuple(_as_type(item, each, where) for each in value)
    return value


def from_dict(cls: type[Config], document: Mapping[str, Any], where: str) -> Config:
    """Builds the dataclass `cls` from a JSON object.

    A field with a default may be missing: a version that did not have it yet wrote the object, and
    a new field's default is what that version did.

    Raises:
        CaptionerError: if another key is missing, one is unknown, or a value is of another type;
            the message names `where`, and the key.
    """
    hints = typing.get_type_hints(cls)
    optional = {
        field.name
        for field in dataclasses.fields(typing.cast(Any, cls))
        if (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
    }
    unknown, missing = set(document) - set(hints), set(hints) - optional - set(document)
    if unknown or missing:
        raise CaptionerError(
            f"{where}: got keys {sorted(document)}, unknown {sorted(unknown)}, missing "
            f"{sorted(missing)}; it was written by another version: make it again with this one"
        )
    values = {
        name: _as_type(hints[name], value, f"{where}, {name}") for name, value in document.items()
    }
    return cls(**values)


def to_json(config: Any) -> str:
    """The dataclass `config` as an indented JSON document."""
    return json.dumps(dataclasses.asdict(config), indent=2, sort_keys=True) + "\n"


def read_json(cls: type[Config], path: Path, what: str) -> Config:
    """Reads the dataclass `cls` from the JSON file `path`.

    Raises:
        CaptionerError: if the file is absent or no JSON; `what` names the artifact expected.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CaptionerError(
            f"{path.parent} is no {what}: it has no {path.name}; check the path, or make the {what}"
        ) from error
    except ValueError as error:
        raise CaptionerError(
            f"{path}: expected JSON, got {error}; make the {what} again"
        ) from error
    if not isinstance(document, dict):
        raise CaptionerError(
            f"{path}: expected a JSON object, got {document!r}; make the {what} again"
        )
    return from_dict(cls, document, str(path))
