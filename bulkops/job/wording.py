"""How messages show what a file holds: escaped, cut to a sane length, with the nearest name that would be right.

Knows nothing about files, rows or fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

SHOWN_CHARACTERS: Final = 60
"""Longest piece of a file that a message repeats."""


def shown(text: str) -> str:
    """`text` in quotes, with everything escaped that a terminal would not show as itself, cut to `SHOWN_CHARACTERS`."""
    return repr(text) if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]!r}… ({len(text):,} characters)"


def plain(text: str) -> str:
    """`text` as `shown`, without the quotes: for names of columns and for digits."""
    escaped = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:SHOWN_CHARACTERS])
    return escaped if len(text) <= SHOWN_CHARACTERS else f"{escaped}…"


def character(char: str) -> str:
    """One character by its code point, and as itself where it can be shown."""
    code = f"U+{ord(char):04X}"
    return f"{char!r} ({code})" if char.isprintable() else code


@lru_cache(maxsize=256)
def nearest(name: str, known: tuple[str, ...]) -> str:
    """The known name that was probably meant; empty where none is near. Case and spaces around count least."""
    bare = _bare(name)
    for candidate in known:
        if bare == _bare(candidate):
            return candidate
    by_bare = {_bare(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(bare[:SHOWN_CHARACTERS], list(by_bare), n=1)
    return by_bare[close[0]] if close else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or the whole list where no known name is near."""
    names = tuple(known)
    near = nearest(name, names)
    return f"did you mean {near}?" if near else f"known are {', '.join(names)}"


def _bare(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())
