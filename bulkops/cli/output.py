"""The two channels: the answer on standard output, everything else on standard error.

What is said to people never breaks a run: once standard error is gone, it is silently given up. A reader of standard output
that has gone away is no error either. Every line for people is escaped here, whoever made it; a character that a stream's
encoding lacks is written as an escape too.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TextIO

from bulkops.errors import ConfigError
from bulkops.report.escape import escape


class Output:
    """Standard output and standard error of one command.

    Args:
        stdout: Where the answer goes; `None` where the process was started without one.
        stderr: Where everything else goes; likewise.
    """

    def __init__(self, stdout: TextIO | None, stderr: TextIO | None) -> None:
        self.stdout = _lenient(stdout)
        self.stderr = _lenient(stderr)
        self.above: Callable[[str], None] | None = None
        """While a live picture is on the screen: prints a line above it."""

    def say(self, line: str) -> None:
        """Show people one line, above the live picture where there is one."""
        line = "\n".join(escape(part) for part in line.split("\n"))
        if self.above is not None:
            self.above(line)
        else:
            self.write_error(line + "\n")

    def say_all(self, lines: Iterable[str]) -> None:
        """Show people some lines at once."""
        self.say("\n".join(lines))

    def write_error(self, text: str) -> None:
        """Write to standard error as it is; once that fails, nothing more is written there."""
        if self.stderr is None:
            return
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except (OSError, ValueError):  # ValueError: closed
            self.stderr = None

    def answer(self, lines: Iterable[str]) -> None:
        """Give the answer as text.

        Raises:
            ConfigError: Standard output can't be written (a full disk behind it).
        """
        self._answer("".join(escape(line) + "\n" for line in lines))

    def answer_json(self, value: Mapping[str, object]) -> None:
        """Give the answer as one JSON object on one line, in ASCII, whatever the locale.

        Raises:
            ConfigError: As in `answer`.
        """
        self._answer(json.dumps(value) + "\n")

    def _answer(self, text: str) -> None:
        if self.stdout is None:
            return
        with self.answering():
            self.stdout.write(text)
            self.stdout.flush()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Around writes to standard output: a reader that has gone away ends the block quietly.

        Raises:
            ConfigError: As in `answer`.
        """
        try:
            yield
        except BrokenPipeError:
            self._forget_stdout()
        except OSError as error:
            self._forget_stdout()
            raise ConfigError(f"can't write to standard output: {os.strerror(error.errno or errno.EIO)}") from None

    def _forget_stdout(self) -> None:
        """Let what is still buffered vanish, or the interpreter would complain about it on its way out."""
        stdout, self.stdout = self.stdout, None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stdout.fileno())  # type: ignore[union-attr]  # AttributeError is suppressed
            os.close(null)


def _lenient(stream: TextIO | None) -> TextIO | None:
    """The stream, told to write escapes for what its encoding lacks. The stream itself: help and live pictures go around `Output`."""
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):  # a flush comes with it: whatever is wrong shows at the first write
            stream.reconfigure(errors="backslashreplace")
    return stream
