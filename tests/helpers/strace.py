"""strace as tests use it: system calls of a process on given files are recorded, fail, or kill it.

Counts are those of strace: per thread and per system call, so `when="3"` is the third `pwrite64` of any one thread.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.helpers.otherserver_handle import wait_until

CALLS: Final = ("pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "rename", "unlink")
"""System calls that change a ledger's files or what is certain about them."""

_LINE: Final = re.compile(r"^(\d+) +(\d+\.\d+) (\w+)\((.*)\) += (-?\d+|\?)(.*)$", re.DOTALL)

_PATH: Final = re.compile(r'^\d+<([^>]*)>|^(?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]*)"')


@cache
def missing() -> str:
    """Why strace can't be used here, in words; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-e", "inject=fdatasync:error=EIO:when=1", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else f"strace may not be used here: {tried.stderr.decode(errors='replace').strip()}"


@dataclass(frozen=True)
class SystemCall:
    """One traced call; `at` in seconds since 1970, `result` as strace shows it, `injected` where strace made it up."""

    thread: int
    at: float
    name: str
    arguments: str
    result: str
    injected: bool

    @property
    def path(self) -> str:
        """The file that it is about: that of its descriptor, or the first that it names; empty for none."""
        found = _PATH.search(self.arguments)
        return next((part for part in found.groups() if part), "") if found else ""


class Strace:
    """strace attached to a process that was held until now.

    Args:
        pid: The process, which has one thread still.
        log: Where it records; removed when it is read.
        paths: Files that calls must be about; empty for all.
        calls: Names of system calls.
        inject: What becomes of them, such as `signal=KILL:when=3` or `error=EIO:when=2+`; empty to watch only.
        faulty: Those of the calls that `inject` is for, where it is not all.
        options: Further options of strace.
    """

    def __init__(
        self,
        pid: int,
        log: Path,
        *,
        paths: Iterable[Path] = (),
        calls: Sequence[str] = CALLS,
        inject: str = "",
        faulty: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        self._log = log
        rules = ["-e", f"trace={','.join(calls)}"]
        if inject:
            rules += ["-e", f"inject={','.join(faulty or calls)}:{inject}"]
        places = [part for path in paths for part in ("-P", str(path))]
        self._process = subprocess.Popen(
            ["strace", "-f", "-y", "-ttt", "-o", str(log), *places, *rules, *options, "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: _traced(pid), f"strace to attach to {pid}", every=0.002)

    def wait(self, patience: float = 30.0) -> list[SystemCall]:
        """What it saw, once the process is gone."""
        try:
            self._process.wait(patience)
        finally:
            self.end()
        found = [call for line in self._log.read_text(errors="replace").splitlines() if (call := _parsed(line)) is not None]
        self._log.unlink()
        return found

    def end(self) -> None:
        """See that nothing of it is left behind; its process goes on untraced."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


def _traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "\nTracerPid:\t0\n" not in status


def _parsed(line: str) -> SystemCall | None:
    found = _LINE.match(line)
    if found is None:
        return None  # an end, a signal, or a call that another thread interrupted on the screen
    thread, at, name, arguments, result, rest = found.groups()
    return SystemCall(int(thread), float(at), name, arguments, (result + rest).strip(), "(INJECTED)" in rest)
