"""The command in a process of its own, after a few lines of Python that break something in it, or at a screen of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.helpers.command import Ended, clean_environment

_MAIN: Final = "\nfrom bulkops.cli import main\nmain()\n"
_PACKAGE: Final = Path(__file__).parents[2]
_PATIENCE: Final = 60.0


def driven(folder: Path, *arguments: str | Path, prelude: str = "", env: Mapping[str, str] | None = None) -> Ended:
    """Run the command to its end.

    Args:
        folder: Where it runs; its HOME is a folder in there.
        arguments: After the command's name.
        prelude: Python that runs before it, in its process.
        env: Variables on top of a clean environment.
    """
    begun = time.monotonic()
    done = subprocess.run(
        _command(arguments, prelude),
        cwd=folder,
        env=_environment(folder, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
    )
    return Ended(
        tuple(map(str, arguments)),
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
        time.monotonic() - begun,
    )


def on_screen(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Run the command with all three of its streams at one terminal.

    Returns:
        Its exit code, and every byte that the terminal got.
    """
    screen, inner = pty.openpty()
    termios.tcsetwinsize(inner, (50, 200))
    try:
        process = subprocess.Popen(
            _command(arguments, ""), cwd=folder, env=_environment(folder, env), stdin=inner, stdout=inner, stderr=inner
        )
    finally:
        os.close(inner)
    parts: list[bytes] = []
    try:
        while data := os.read(screen, 65536):
            parts.append(data)
    except OSError:  # Linux's way to say that the other end is gone
        pass
    finally:
        os.close(screen)
    return process.wait(_PATIENCE), b"".join(parts)


def _command(arguments: tuple[str | Path, ...], prelude: str) -> list[str]:
    return [sys.executable, "-c", prelude + _MAIN, *map(str, arguments)]


def _environment(folder: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    return clean_environment(folder / "home") | {"PYTHONPATH": str(_PACKAGE)} | dict(env or {})
