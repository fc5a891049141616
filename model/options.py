"""Fields of dataclasses as command-line options. Imports no framework."""

import argparse
import dataclasses
import types
import typing
from typing import Any, TypeVar

Config = TypeVar("Config")


def option(default: Any, help: str) -> Any:
    """A dataclass field that is also a command-line option."""
    return dataclasses.field(default=default, metadata={"help": help})


def flag(field: str) -> str:
    """The option of a field: ``--batch-size`` of ``batch_size``."""
    return "--" + field.replace("_", "-")


def add_options(parser: argparse.ArgumentParser, cls: type, unset: str | None = None) -> None:
    """Adds an option to `parser` for every field of `cls` made with `option`.

    One that is not given is no attribute of the parsed options, see `from_options`.

    Args:
        unset: what such an option stands for, if not for its default.
    """
    hints = typing.get_type_hints(cls)
    group = parser.add_argument_group(cls.__name__.removesuffix("Config").lower())
    for field in dataclasses.fields(cls):
        if "help" not in field.metadata:
            continue
        group.add_argument(
            flag(field.name),
            type=_parser_of(hints[field.name]),
            default=argparse.SUPPRESS,
            metavar=field.name.rsplit("_", 1)[-1].upper(),
            help=f"{field.metadata['help']} (default: {unset or _typed(field.default)})",
        )


def _typed(default: Any) -> Any:
    """A default as it would be given on the line."""
    if default is None:
        return "none"
    return default if default != "" else "''"


def _parser_of(annotation: Any) -> Any:
    """The function that reads an option's text as `annotation`; ``X | None`` reads 'none'."""
    if not isinstance(annotation, types.UnionType):
        return annotation
    (inner,) = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    return lambda text: None if text == "none" else inner(text)


def from_options(cls: type[Config], options: argparse.Namespace) -> Config:
    """Builds `cls` from parsed options of the same names; the others have their defaults."""
    return with_options(cls(), options)


def with_options(config: Config, options: argparse.Namespace) -> Config:
    """`config`, but for the fields that parsed options of the same names were given for."""
    names = [field.name for field in dataclasses.fields(typing.cast(Any, config))]
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    return dataclasses.replace(typing.cast(Any, config), **given)
