"""Runs a command line inside the test's process, with streams that the test holds."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from bulkops.cli.entry import run_command_line
from bulkops.cli.session import Streams

CREDENTIALS = {
    "BULKOPS_SDKAPPID": "1400000001",
    "BULKOPS_IDENTIFIER": "administrator",
    "BULKOPS_SECRET_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
}


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Interrupting(Terminal):
    """A terminal at which somebody presses Ctrl-C when asked."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # as TextIOBase has it
        raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line on standard error."""
        return self.err.rstrip("\n").split("\n")[-1]

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        made = json.loads(self.out)
        assert isinstance(made, dict)
        return made


def bulkops(
    *argv: str,
    environ: Mapping[str, str] = CREDENTIALS,
    stdin: TextIO | None = None,
    stdout: io.StringIO | None = None,
    stderr: io.StringIO | None = None,
) -> Ended:
    """`bulkops ARGV…`, without a terminal unless one is given as `stdin`."""
    out, err = stdout or io.StringIO(), stderr or io.StringIO()
    home = {"HOME": "/nonexistent"}
    code = run_command_line(argv, environ=home | dict(environ), streams=Streams(stdin or io.StringIO(), out, err))
    return Ended(code, out.getvalue(), err.getvalue())


def typing(text: str) -> Terminal:
    """A terminal at which somebody types this."""
    return Terminal(text)
