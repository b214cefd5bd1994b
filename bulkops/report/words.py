"""Numbers, durations and tables as people read them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 80
"""Columns that everything fits in."""


def count(number: int) -> str:
    """`1,234,567`."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 operation`, `9,000 operations`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short_count(number: int) -> str:
    """At most five characters: `99999`, `100k`, `1.23M`, `12.3M`."""
    if number < 100_000:
        return str(number)
    if number < 999_500:
        return f"{number / 1000:.0f}k"
    return f"{number / 1e6:.3g}M"


def duration(seconds: float) -> str:
    """`0.4s`, `41s`, `12m05s`, `1h23m`, `2d04h`: two units at most."""
    if seconds < 1:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def percent(part: float, whole: float) -> str:
    """`56.9 %`. Never `100.0 %` while something is missing."""
    if not whole:
        return "100.0 %"
    share = 100 * part / whole
    return f"{min(share, 99.9) if part < whole else share:.1f} %"


def cut(text: str, width: int) -> str:
    """The text in at most so many columns, `…` where something is left out."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 0)] + "…" if width > 0 else ""


def table(rows: Sequence[Sequence[str]], *, gap: int = 2) -> list[str]:
    """Rows as aligned lines, indented: the first column to the left, the others to the right, `gap` blanks between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (
            "  "
            + (" " * gap).join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]
