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
        code = _interrupted(arguments)
    sys.exit(code)


def _interrupted(arguments: list[str]) -> int:
    """Say that nothing happened, and how to go on; the exit code. A second Ctrl-C changes nothing any more."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = ["bulkops: interrupted; nothing was sent"]
    if arguments[:1] in (["run"], ["resume"], ["retry"]):
        from bulkops.report.escape import shell_word

        lines.append(" ".join(["bulkops", *map(shell_word, arguments)]))
    print("\n".join(lines), file=sys.stderr)
    return 4
