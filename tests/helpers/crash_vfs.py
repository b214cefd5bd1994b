"""A VFS below SQLite's that shows every change of a named file to an observer, before it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import apsw


class Change(NamedTuple):
    """One change, about to be made.

    Args:
        kind: open, write, sync, truncate or delete.
        path: The file.
        offset, data: Of a write.
        size: Of a truncate.
    """

    kind: str
    path: str
    offset: int = 0
    data: bytes = b""
    size: int = 0


Observer = Callable[[Change], None]
"""Told of every change; what it raises is what SQLite is told instead."""


class WatchedVfs(apsw.VFS):
    """The system's VFS, with an observer. The process's default one from now on, so the one with checksums lies above it.

    Files without a name, which hold what SQLite sorts, are no part of a ledger and not shown.
    """

    _kept: Final[list[apsw.VFS]] = []  # SQLite knows it by address: it must outlive every connection

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._kept.append(self)
        super().__init__("watched", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        if flags[0] & apsw.SQLITE_OPEN_READWRITE and path:
            self._observer(Change("open", path))
        return WatchedFile(self._observer, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's
        self._observer(Change("delete", filename))
        super().xDelete(filename, syncdir)


class WatchedFile(apsw.VFSFile):
    """One of its files."""

    def __init__(self, observer: Observer, path: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._observer = observer
        self._path = path
        super().__init__("unix", name, flags)

    def _show(self, change: Change) -> None:
        if change.path:
            self._observer(change)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._show(Change("write", self._path, offset, bytes(data)))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        self._show(Change("sync", self._path))
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        self._show(Change("truncate", self._path, size=newsize))
        super().xTruncate(newsize)

    def xLock(self, level: int) -> None:  # noqa: N802 - apsw's name
        """As the system's: a reader that is the last to leave may not lock, which SQLite takes for no and apsw for a failure."""
        try:
            super().xLock(level)
        except apsw.IOError:
            raise apsw.BusyError("the lock can't be had") from None
