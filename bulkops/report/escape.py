"""Foreign text made harmless: for a screen, and for the one results column that others write.

Everything that a user, a job file or a server wrote passes through here before a terminal or a spreadsheet sees it. Pure.
"""

from __future__ import annotations

import shlex
import unicodedata
from typing import Final

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def escape(text: str) -> str:
    """The text with every character that a terminal would act on, or not show, as a visible escape.

    That is C0 and C1 controls, bidi and other format characters, line separators, surrogates and unassigned characters.
    A backslash stays as it is, so the result may be escaped again without a change.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or _is_space(char) else _visible(char) for char in text)


def escape_info(text: str) -> str:
    """A server's own words, safe in a spreadsheet and on a terminal; nothing else about them is touched.

    A leading `= + - @`, tab or carriage return would make a spreadsheet take the cell for a formula: it gets a `'` in front.
    """
    if not text:
        return text
    return "'" + escape(text) if text.startswith(_FORMULA_STARTS) else escape(text)


def shell_word(text: str) -> str:
    """The text as one word of a shell command that can be copied from a screen.

    What a terminal would act on is written in the `$'…'` form that bash and zsh read; a lone `-x` gets no special care, as
    only its place in a command says whether it is an option.
    """
    if text.isprintable():
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}" for byte in raw) + "'"


def _is_space(char: str) -> bool:
    return unicodedata.category(char) == "Zs"


def _visible(char: str) -> str:
    point = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
