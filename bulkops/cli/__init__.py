"""The command line: the only place that reads the environment, prints or exits. Tiny here, so that `--version` is quick."""

from __future__ import annotations

import sys
from typing import Final

_PLATFORMS: Final = ("linux", "darwin")


def main() -> None:
    """Run the command that `sys.argv` asks for and exit with its code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from bulkops._version import VERSION

        print(f"bulkops {VERSION}")
        sys.exit(0)
    if sys.platform not in _PLATFORMS:
        print(
            f"bulkops runs on Linux and macOS only: {sys.platform} lacks file locks and signals that it needs.", file=sys.stderr
        )
        sys.exit(2)
    try:
        from bulkops.cli.entry import run_command_line

        code = run_command_line(arguments)
    except KeyboardInterrupt:  # before a command began: from then on signals are its own business
        print("bulkops: interrupted; nothing was sent", file=sys.stderr)
        code = 4
    sys.exit(code)
