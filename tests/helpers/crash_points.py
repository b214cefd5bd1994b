"""Steps at which a ledger's files are touched, inside one process: where it can be killed, or told that the disk fails.

Needs no strace and no rights. SQLite's own file operations are seen through a VFS, what the product does to files itself (locks,
the frozen ledger's way to its name) through `os`. Steps are counted over all threads, so that the n-th one is the n-th one.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from bulkops.testing import CrashPoints, die
from tests.helpers.crash_vfs import WatchedVfs

_CODES: Final = {
    "open": apsw.SQLITE_CANTOPEN,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}
"""What SQLite is told, by the first word of a step's name."""

FAILED_AT: Final = ".failed-at"
"""Where a process writes when (seconds since 1970) its disk failed for the first time."""


def fail(error: str) -> Callable[[str], None]:
    """An act for `CrashPoints`: the disk refuses with that error, `EIO` or `ENOSPC`."""
    number = getattr(errno, error)

    def act(name: str) -> None:
        if not Path(FAILED_AT).exists():
            Path(FAILED_AT).write_text(repr(time.time()))
        kind = name.split(" ", 1)[0]
        if kind not in _CODES:
            raise OSError(number, os.strerror(number), name)
        full = error == "ENOSPC" and kind in {"write", "truncate"}
        raise apsw.exception_for(apsw.SQLITE_FULL if full else _CODES[kind])

    return act


def armed(at: int, error: str = "", *, onwards: bool = False) -> CrashPoints:
    """Watch this process's ledger files from now on; before the product opens any.

    Args:
        at: The fatal step, from 1; 0 for none.
        error: What it fails with; empty for a kill.
        onwards: All later steps fail, too.
    """
    points = CrashPoints(at, fail(error) if error else die, onwards=onwards)
    WatchedVfs(lambda change: points.step(f"{change.kind} {Path(change.path).name}"))
    for name in ("fsync", "rename", "unlink", "pwrite", "ftruncate"):
        points.watch(os, name, f"os.{name}")
    return points
