"""Takes secrets out of texts that come from elsewhere, before anybody stores or shows them.

A server is free to echo what it was sent: whole, cut off, percent-encoded, as JSON or inside base64. So a text is searched
for pieces of the secrets rather than for the secrets themselves.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

HIDDEN: Final = "[hidden]"
"""What stands where a secret was."""

PIECE: Final = 12
"""Shortest part of a secret that counts as one, in characters. Chance makes none of twelve."""

SHORTEST: Final = 8
"""A secret shorter than this is left alone: it would hide half of every text. Real ones have 64 characters and more."""

_RUN: Final = re.compile(rf"[A-Za-z0-9*_+/=%.~-]{{{PIECE},}}")
_QUERY: Final = re.compile(r"\?[^\s\"'<>]*\b(?:sdkappid|identifier|usersig)=[^\s\"'<>]*", re.IGNORECASE)


class Redactor:
    """Hides the key and the newest credentials, and every URL query that carries a credential.

    Args:
        key: The app's key.
        remembered: How many credentials are known at a time; answers to the one before the last may still be on their way.
    """

    __slots__ = ("_credentials", "_key")

    def __init__(self, key: str, *, remembered: int = 4) -> None:
        self._key = _Traces(key)
        self._credentials: deque[_Traces] = deque(maxlen=remembered)

    def add(self, credential: str) -> None:
        """Hide one more credential from now on, and forget the oldest where there are too many."""
        self._credentials.append(_Traces(credential))

    def __call__(self, text: str) -> str:
        """The text with `[hidden]` for every secret, and queries that carried one cut off."""
        if len(text) < SHORTEST:
            return text
        for traces in (self._key, *self._credentials):
            text = traces.hide(text)
        return _QUERY.sub("?" + HIDDEN, text)


class _Traces:
    """One secret in all the forms that it may be echoed in. Has no `repr` that shows it."""

    __slots__ = ("_forms", "_pieces")

    def __init__(self, secret: str) -> None:
        forms = sorted(set(_forms(secret)), key=len, reverse=True) if len(secret) >= SHORTEST else []
        self._forms = forms
        self._pieces = frozenset(form[at : at + PIECE] for form in forms for at in range(len(form) - PIECE + 1))

    def hide(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return _RUN.sub(self._hide_run, text)

    def _hide_run(self, match: re.Match[str]) -> str:
        run = match.group()
        pieces = self._pieces
        return HIDDEN if any(run[at : at + PIECE] in pieces for at in range(len(run) - PIECE + 1)) else run


def _forms(secret: str) -> Iterator[str]:
    """The secret raw, percent-encoded, as JSON, and in base64 wherever it may begin in a longer text."""
    raw = secret.encode("utf-8", "surrogateescape")
    yield secret
    encoded = quote(raw, safe="")
    yield encoded
    yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), encoded)
    yield json.dumps(secret)[1:-1]
    for shift in range(3):
        whole = b64encode(b"\0" * shift + raw).decode()
        inner = whole[4 if shift else 0 : -4]  # the first and last four characters depend on the neighbours
        yield inner
        yield inner.translate(_URLSAFE)
    yield b64encode(raw).decode()


_URLSAFE: Final = str.maketrans("+/", "-_")
