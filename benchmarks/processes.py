"""One program, run and measured: how long, how much CPU, how much memory. It always ends: by itself, or by its time limit.

CPU time and memory are the kernel's own account of the child and of whatever it started and waited for (`wait4`). A child's
peak memory starts at that of its parent at the fork, so whoever imports this stays small: nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = sys.executable


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program went.

    Args:
        exit: Its exit code; negative for a signal.
        began: When it was started, monotonic seconds.
        wall: Seconds from its start to its end.
        cpu: Seconds of CPU, user and system, its children included.
        rss: Peak resident memory in bytes, of it or of the largest of its children.
        out: Its standard output.
        err: The end of its standard error.
    """

    exit: int
    began: float
    wall: float
    cpu: float
    rss: int
    out: str
    err: str


class Running:
    """A program under way. Ends with the `with`, by force if it must."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str] | None = None, limit: float, scratch: Path) -> None:
        self.command = list(command)
        self._out = (scratch / "stdout.txt").open("w+b")
        self._err = (scratch / "stderr.txt").open("w+b")
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={**environment(scratch), **(env or {})},
            start_new_session=True,
        )
        self._timer = threading.Timer(limit, self.kill)
        self._timer.daemon = True
        self._timer.start()
        self._ran: Ran | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ran is None:
            self.kill()
            self.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._ran is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> Ran:
        """How it went, once it is over."""
        if self._ran is None:
            _, status, usage = os.wait4(self.pid, 0)
            wall = time.monotonic() - self.began
            self._timer.cancel()
            self._process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it, too
            kilo = 1 if sys.platform == "darwin" else 1024
            self._ran = Ran(
                exit=self._process.returncode,
                began=self.began,
                wall=wall,
                cpu=usage.ru_utime + usage.ru_stime,
                rss=usage.ru_maxrss * kilo,
                out=_text(self._out),
                err=_text(self._err)[-4000:],
            )
        return self._ran


def run(command: Sequence[str], *, scratch: Path, env: Mapping[str, str] | None = None, limit: float = 300.0) -> Ran:
    """Run a program to its end, or for `limit` seconds."""
    scratch.mkdir(parents=True, exist_ok=True)
    with Running(command, env=env, limit=limit, scratch=scratch) as running:
        return running.wait()


def environment(home: Path) -> dict[str, str]:
    """This process's environment without what would change how a program behaves: nobody's settings, profile or .curlrc."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BULKOPS_", "PYTHON", "XDG_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(home)}


def module(name: str, *arguments: str | Path) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [PYTHON, "-m", name, *map(str, arguments)]


def _text(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")
