"""Results on standard output: byte for byte to files and pipes, with escapes made visible where a terminal would act on them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TextIO

from bulkops.report.escape import escape
from bulkops.report.results import Writable


class _Screen:
    """A terminal: every line is escaped on its way."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> object:
        return self._stream.write("\n".join(map(escape, text.split("\n"))))


@contextlib.contextmanager
def results_stream(stdout: TextIO) -> Iterator[Writable]:
    """Standard output as a stream for results: UTF-8 whatever the locale, newlines as written, flushed at the end."""
    if stdout.isatty():
        yield _Screen(stdout)
        stdout.flush()
        return
    buffer = getattr(stdout, "buffer", None)
    if buffer is None:  # replaced by a program that runs us inside itself
        yield stdout
        stdout.flush()
        return
    stdout.flush()
    stream = io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="", write_through=False)
    try:
        yield stream
        stream.flush()
    finally:
        with contextlib.suppress(OSError, ValueError):
            stream.detach()
