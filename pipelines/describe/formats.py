"""Numbers as people read them, in a dataset's description."""

import math

NOTHING = "\N{EN DASH}"


def share(part: int, whole: int) -> str:
    """``12.3%``; a dash of nothing, and never 0.0% for what is there."""
    if not whole:
        return NOTHING
    return "<0.1%" if 0 < part / whole < 0.0005 else f"{part / whole:.1%}"


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2,000 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def decimal(value: float, decimals: int) -> str:
    """``1,234.5``; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:,.{decimals}f}"


def byte_size(size: int) -> str:
    """``12.3 MiB``."""
    if size < 1024:
        return plural(size, "byte")
    power = min(4, (size.bit_length() - 1) // 10)
    return f"{size / 1024**power:,.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
