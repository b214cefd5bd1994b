"""Texts of flags, variables and profile entries as values. Each function says what it takes when it is given something else.

Pure, but for `home_resolved`, which asks the system where people live.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from bulkops.errors import ConfigError
from bulkops.report.escape import escape
from bulkops.settings import LARGEST

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")


class Unfit(ValueError):
    """A text is not what its setting takes.

    Args:
        takes: What would be right, to follow "takes".
        near: A word that may have been meant.
    """

    def __init__(self, takes: str, near: str = "") -> None:
        super().__init__(takes)
        self.takes = takes
        self.near = near


def text(value: str) -> str:
    """Any text but an empty one."""
    if not value:
        raise Unfit("a text that is not empty")
    return value


def positive(value: str) -> int:
    """A whole number, at least 1."""
    if not _digits(value) or int(value) < 1:
        raise Unfit("a whole number, at least 1")
    return int(value)


def port(value: str) -> int:
    """A TCP port."""
    if not _digits(value) or not 1 <= int(value) <= 65535:
        raise Unfit("a port, 1 to 65535")
    return int(value)


def natural(value: str) -> int:
    """A whole number, 0 for none."""
    if not _digits(value):
        raise Unfit("a whole number, 0 for none")
    return int(value)


def positive_or_none(value: str) -> int | None:
    """A whole number, or `none` to take back what a ledger or a profile says."""
    if value == "none":
        return None
    try:
        return positive(value)
    except Unfit as unfit:
        raise Unfit(f"{unfit.takes}, or none") from None


def seconds(value: str) -> float:
    """`90`, `90s`, `30m`, `2h` as seconds."""
    match = _DURATION.fullmatch(value)
    if match is None or float(match[1]) <= 0:
        raise Unfit("a duration such as 90, 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def seconds_or_none(value: str) -> float | None:
    """A duration, or `none`."""
    if value == "none":
        return None
    try:
        return seconds(value)
    except Unfit as unfit:
        raise Unfit(f"{unfit.takes}, or none") from None


def codes(value: str) -> frozenset[int]:
    """`50001,10010` as ErrorCodes."""
    parts = value.split(",")
    if not all(_digits(part.strip()) and int(part) for part in parts):
        raise Unfit("ErrorCodes with commas between them, such as 50001,10010")
    return frozenset(int(part) for part in parts)


def words(known: Collection[str]) -> Callable[[str], frozenset[str]]:
    """A function from `a,b` to words that are known."""

    def parse(value: str) -> frozenset[str]:
        parts = [part.strip() for part in value.split(",")]
        for part in parts:
            if part not in known:
                raise Unfit(f"words with commas between them, of {', '.join(known)}", suggestion(part, known))
        return frozenset(parts)

    return parse


def labels(value: str) -> frozenset[str]:
    """`50004,timeout` as what `_code` holds."""
    parts = [part.strip() for part in value.split(",")]
    if not all(parts):
        raise Unfit("ErrorCodes or words such as timeout, with commas between them")
    return frozenset(parts)


def one_of(*known: str) -> Callable[[str], str]:
    """A function that lets only these words through."""

    def parse(value: str) -> str:
        if value not in known:
            raise Unfit(f"{', '.join(known[:-1])} or {known[-1]}", suggestion(value, known))
        return value

    return parse


def switch(value: str) -> bool:
    """A switch, as a variable spells it."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise Unfit("1 or 0")


def home_resolved(path: str) -> Path:
    """A path with `~` or `~NAME` at its begin resolved.

    Raises:
        ConfigError: There is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"can't resolve {escape(path)}: there is no such home folder") from None


def suggestion(word: str, known: Collection[str]) -> str:
    """The nearest known word, empty where none is near."""
    return next(iter(get_close_matches(word, known, n=1)), "")


def _digits(value: str) -> bool:
    """Whether a text is a whole number.

    Raises:
        Unfit: It is one that no ledger can hold.
    """
    digits = value.isascii() and value.isdigit()
    if digits and (len(value) > len(str(LARGEST)) or int(value) > LARGEST):
        raise Unfit(f"a whole number, at most {LARGEST}")
    return digits
