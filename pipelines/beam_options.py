"""Beam's own options, those after ``--``: checked, because Beam itself passes unknown ones over."""

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from model.errors import CaptionerError

# "DirectRunner" tries to download another runner first: machines would differ.
DEFAULT_RUNNER = "FnApiRunner"


def make_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options from the arguments after ``--``; the runner is FnApiRunner unless named.

    Raises:
        CaptionerError: if an argument is no option that Beam knows.
    """
    arguments = list(arguments)
    known = set(PipelineOptions([]).get_all_options())
    given = PipelineOptions(arguments).get_all_options(retain_unknown_options=True)
    unknown = sorted(f"--{name}" for name in set(given) - known)
    unknown += _positional(arguments)
    if unknown:
        raise CaptionerError(
            f"after '--': got {', '.join(unknown)}, which Beam does not know; expected options of "
            "Apache Beam, e.g. --runner=DataflowRunner. The command's own options go before '--'"
        )
    if not any(argument.split("=")[0] == "--runner" for argument in arguments):
        arguments.append(f"--runner={DEFAULT_RUNNER}")
    return PipelineOptions(arguments)


def _positional(arguments: Sequence[str]) -> list[str]:
    """Words that neither are an option nor follow one that may take a value."""
    previous = ["", *arguments]
    return [
        word
        for before, word in zip(previous, arguments, strict=False)
        if not word.startswith("-") and (not before.startswith("--") or "=" in before)
    ]
