"""Logging: to standard error or a private file, one formatter for both, which lets no key and no UserSig through."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING, Final

from bulkops.cli.files import append_private
from bulkops.cli.output import Output
from bulkops.cli.values import home_resolved
from bulkops.report.escape import escape

if TYPE_CHECKING:
    from bulkops.chat.redaction import Redactor

_HIDDEN: Final = "[hidden]"
_SIGNATURES: Final = (
    # usersig=…, usersig%3D…, "usersig": "…"
    (re.compile(r"""(usersig(?:=|%3[dD]|\\?["']?\s*[:=]\s*\\?["']?))[^\s&"'\\,}]+""", re.IGNORECASE), rf"\1{_HIDDEN}"),
    # a UserSig by its shape, with nothing in front: zlib data in the vendor's Base64 begins with eJ …
    (re.compile(r"eJ(?:[A-Za-z0-9*\-_+/=]|%2[abfABF]|%3[dD]){40,}"), _HIDDEN),
    # … and that once more in Base64 with ZUo to ZUr
    (re.compile(r"ZU[opqr][A-Za-z0-9+/=_-]{60,}"), _HIDDEN),
)


class Redaction:
    """Takes secrets out of texts: keys that it was told, in every form they may travel in, and UserSigs by their shape."""

    def __init__(self) -> None:
        self._keys: list[Redactor] = []

    def learn(self, key: str) -> None:
        """Hide this key from now on."""
        from bulkops.chat.redaction import Redactor

        self._keys.append(Redactor(key))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        for hide in self._keys:
            text = hide(text)
        for pattern, replacement in _SIGNATURES:
            text = pattern.sub(replacement, text)
        return text


class _Formatter(logging.Formatter):
    """Redacts the whole record, traceback included; a message stays one line."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(escape(line) for line in self._redact(super().format(record)).split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        record.message = escape(record.message)  # before a traceback is added: its lines are ours, a message's are not
        return super().formatMessage(record)


class _ScreenHandler(logging.Handler):
    """Says records to people, above the live picture where there is one."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.say(self.format(record))


def start_logging(output: Output, level: str, file: str | None, redact: Redaction) -> logging.Handler:
    """Send everything from `level` up to the file, or to people where there is none; the handler, to take off again.

    Raises:
        ConfigError: The file can't be written.
    """
    private = append_private(home_resolved(file)) if file else None
    handler = _ScreenHandler(output) if private is None else logging.StreamHandler(private)
    handler.setFormatter(_Formatter(redact))
    logging.raiseExceptions = False  # a log that can't be written must not write tracebacks over the screen
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler


def stop_logging(handler: logging.Handler) -> None:
    """Undo `start_logging`. A log that can't be written to its end (a full disk) changes nothing about how a command ends."""
    logging.getLogger().removeHandler(handler)
    handler.close()
    if isinstance(handler, logging.StreamHandler):
        with contextlib.suppress(OSError):
            handler.stream.close()
