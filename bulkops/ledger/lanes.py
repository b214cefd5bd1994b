"""Who may use a lane on this machine: two runs that share one (SDKAppID, host, API) would exceed its limit together.

The lock files are in a folder of the user's own, the same for every run whatever its ledger. They stay when a run ends: they
say when its last call left, so that the next run knows how long the limit's window is still occupied.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from bulkops.errors import LedgerError, LedgerHeld
from bulkops.ledger.lock import FileLock, Holder

_SHARED_PLACE: Final = Path("/tmp")  # noqa: S108 - the one place that every process of a user agrees on; checked below


class LaneHistory(NamedTuple):
    """What a lane's lock file says about the run before.

    Args:
        clean: Every run before gave the lane back in order, or there was none; otherwise calls may have left just now.
        last_departure: When the last call left, microseconds since 1970, UTC; 0 for unknown or never.
    """

    clean: bool
    last_departure: int


class LaneLock(FileLock):
    """The lock of one lane."""

    def __init__(self, path: Path, subject: str = "") -> None:
        super().__init__(path, subject)
        self._alone = False
        self._before = 0  # when calls of others left, or may have left, before this run

    def acquire_lane(self, what: str = "", *, shared: bool = False) -> LaneHistory:
        """Take the lane.

        Args:
            what: What for, in words; others are told.
            shared: Use it even beside others (`--allow-shared-quota`); never refused.

        Returns:
            What the run before left behind.

        Raises:
            LedgerHeld: Another run uses the lane.
            LedgerError: The lock file can't be used.
        """
        try:
            self._handle = self._take(fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except LedgerHeld:
            if not shared:
                raise
            return LaneHistory(clean=False, last_departure=0)
        self._alone = not shared
        found = self._content()
        new = not os.fstat(self._handle).st_size
        self._write(Holder.ourselves(what))
        if found is None or not found.released or shared:
            self._before = 0 if new else time.time_ns() // 1000
            return LaneHistory(clean=new and not shared, last_departure=0)
        self._before = found.last_departure
        return LaneHistory(clean=True, last_departure=found.last_departure)

    def release_lane(self, last_departure: int = 0) -> None:
        """Give the lane back.

        Args:
            last_departure: When this run's last call on it left, microseconds since 1970, UTC; 0 for none: then what was
                known of the runs before still holds.
        """
        if self._alone:
            with suppress(LedgerError):  # it still says "in use" then: the next run waits for the whole window
                self._write(Holder(released=True, last_departure=last_departure or self._before))
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def lane_lock(sdkappid: int, host: str, op: str, place: Path | None = None) -> LaneLock:
    """The lock of the lane (SDKAppID, host, op) on this machine.

    Args:
        place: Folder to keep it in instead of the user's own.

    Raises:
        LedgerError: No safe folder can be had.
    """
    name = hashlib.sha256(f"{sdkappid}\n{host.lower()}\n{op}".encode()).hexdigest()[:32]
    return LaneLock((place or lane_folder()) / f"{name}.lane", f"the lane {op} of app {sdkappid} at {host}")


def lane_folder(places: tuple[Path, ...] | None = None) -> Path:
    """The folder for lane locks: the user's own, closed to others, no symlink.

    Args:
        places: Where to look for it, best first.

    Raises:
        LedgerError: None of them is safe.
    """
    reasons = []
    for place in places or (_SHARED_PLACE, Path(tempfile.gettempdir())):
        folder = place / f"bulkops-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError as exc:
            reasons.append(f"{folder}: {exc.strerror}")
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            folder.chmod(0o700)
            return folder
        reasons.append(f"{folder} is not a folder of yours")
    raise LedgerError(f"no safe folder for lane locks ({'; '.join(reasons)}): remove what is there, or set TMPDIR")
