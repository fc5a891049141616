"""Numbers, sizes and durations as people read them."""

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


def duration(seconds: float) -> str:
    """A duration as a person says it, e.g. ``2 h 25 min``."""
    minutes = round(seconds / 60)
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"
