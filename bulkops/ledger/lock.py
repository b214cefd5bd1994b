"""Who may use a ledger: an advisory lock on a file of its own beside it, and what it says about its holder.

Not on the ledger itself: a process that closes any descriptor of that file drops SQLite's locks on it. `flock` belongs to an
open file, so it ends with its process, however that ends. The file's content is for people; the lock is what counts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bulkops.errors import LedgerError, LedgerHeld

_PATIENCE: Final = 0.3  # seconds: a look at the lock (`held`) takes microseconds
_PAUSE: Final = 0.02
_LONGEST: Final = 4096  # bytes read of a lock file


class Holder(msgspec.Struct, frozen=True):
    """What a lock file says.

    Args:
        pid, host: The process that wrote it.
        started_at: When it took the lock, microseconds since 1970, UTC.
        what: What it does, in words.
        released: It gave the lock back in order.
        last_departure: When its last call left, microseconds since 1970, UTC; 0 for never.
    """

    pid: int = 0
    host: str = ""
    started_at: int = 0
    what: str = ""
    released: bool = False
    last_departure: int = 0

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.started_at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host} since {when}" + (f" ({self.what})" if self.what else "")

    @property
    def is_this_process(self) -> bool:
        """Whether it is the present process that wrote it."""
        return self.pid == os.getpid() and self.host == socket.gethostname()

    @classmethod
    def ourselves(cls, what: str) -> Holder:
        """The present process."""
        return cls(os.getpid(), socket.gethostname(), time.time_ns() // 1000, what)


class FileLock:
    """A lock that at most one process holds exclusively; released when its process ends, however it ends.

    Args:
        path: The lock file. Created 0600; no symlink is followed.
        subject: What is locked, for messages.
    """

    def __init__(self, path: Path, subject: str = "") -> None:
        self.path = path
        self._subject = subject or str(path)
        self._handle: int | None = None

    @property
    def acquired(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self, what: str = "") -> None:
        """Take the lock, within 0.3 s.

        Args:
            what: What for, in words; others are told.

        Raises:
            LedgerHeld: Another process has it.
            LedgerError: The file can't be used.
        """
        self._handle = self._take(fcntl.LOCK_EX)
        self._write(Holder.ourselves(what))

    def release(self) -> None:
        """Give the lock back and remove its file; without the lock, nothing happens."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                self.path.unlink()  # while locked: whoever opened it before sees that the path is another file now
            os.close(handle)

    def _take(self, kind: int) -> int:
        deadline = time.monotonic() + _PATIENCE
        while True:
            handle = open_lock_file(self.path)
            if _try(handle, kind) and _is_at(self.path, handle):
                return handle
            found = _read(handle)
            os.close(handle)
            if time.monotonic() >= deadline:
                raise LedgerHeld(f"{self._subject} is in use", str(found) if found else "another process")
            time.sleep(_PAUSE)

    def _write(self, content: Holder) -> None:
        if self._handle is not None:
            try:
                text = msgspec.json.encode(content) + b"\n"
                os.pwrite(self._handle, text, 0)  # first: an empty file would look new to whoever comes after a kill here
                os.ftruncate(self._handle, len(text))
            except OSError as exc:
                raise LedgerError(f"{self.path} can't be written ({exc.strerror})") from exc

    def _content(self) -> Holder | None:
        return None if self._handle is None else _read(self._handle)


def ledger_lock(ledger: Path) -> FileLock:
    """The lock of a ledger, the same for every path that leads to it."""
    return FileLock(Path(f"{os.path.realpath(ledger)}.lock"), f"the ledger {ledger}")


def held(path: Path) -> Holder | None:
    """Who holds the lock at a path; `None` for nobody. Leaves the lock and its file as they are."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try(handle, fcntl.LOCK_SH) else _read(handle) or Holder(what="unknown")
    finally:
        os.close(handle)


def open_lock_file(path: Path) -> int:
    """A descriptor of a lock file, made where there is none: 0600, not inherited, no symlink followed.

    Raises:
        LedgerError: It can't be opened.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        cause = "it is a symbolic link" if exc.errno == errno.ELOOP else exc.strerror
        raise LedgerError(f"the lock file {path} can't be opened ({cause}): check the folder's rights") from exc
    with suppress(OSError):  # somebody else's file: flock works all the same
        os.fchmod(handle, 0o600)
    return handle


def is_network_fs(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a path is on a network file system, as far as can be told: there locks and syncs may not hold.

    Always `False` where the system lists no mounts (macOS).
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    kinds: Mapping[str, str] = {
        parts[1].replace("\\040", " "): parts[2] for parts in (line.split(" ") for line in lines) if len(parts) > 2
    }
    place = Path(os.path.realpath(path))
    nearest = next((kinds[str(each)] for each in (place, *place.parents) if str(each) in kinds), "")
    return nearest in _NETWORK or nearest.startswith("nfs")


_NETWORK: Final = frozenset(
    {
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.glusterfs",
    }
)


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise LedgerError(f"this file system knows no locks ({exc.strerror}): put the ledger on a local disk") from exc
    return True


def _is_at(path: Path, handle: int) -> bool:
    """Whether the path still names the file that was locked: its last holder may have removed it in between."""
    with suppress(OSError):
        return os.path.samestat(path.lstat(), os.fstat(handle))
    return False


def _read(handle: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(handle, _LONGEST, 0), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None
