"""A ledger that was not closed in order, and has lost its log or its place since: what of it can be proved, and what is gone.

A ledger says of itself how it was left (`Left`). Before a run moves the log into the file it says BEHIND, and with the next commit
WRITTEN. So what the file alone says is BEHIND as long as the log holds more than the file, and WRITTEN only where somebody moved
the whole log into it.

- *BEHIND, and without a log*: the log was removed, or not copied with the file, and results are gone. It is refused.
- *WRITTEN, and without a log*: another program opened a killed ledger and closed it again, which moves the log into the file.
  SQLite's checksum VFS puts checksums into the pages of the file, not into those of the log: they are sound, their checksums
  are not. The content is proved in another way, and the checksums are made anew.
- *Neither closed in order nor where it was written*: a copy. Taken beside a live run, file and log may be of different moments.
  The content is proved likewise, or the copy is refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from enum import IntEnum
from pathlib import Path
from typing import Final

from bulkops.errors import LedgerError
from bulkops.ledger.connection import Database, Mode, seal_pages
from bulkops.ledger.sql import queries
from bulkops.model import Status

_SQL: Final = queries("store")
_FREEZE: Final = queries("freeze")
_STRETCH: Final = 8192


class Left(IntEnum):
    """How a ledger was left, as it says itself."""

    CLOSED = 0
    """In order: there is no log."""
    BEHIND = 1
    """What came after this is in the log."""
    WRITTEN = 2
    """Whatever the log holds."""


def left(db: Database) -> Left:
    """How the ledger was left."""
    return Left(db.value(_SQL["dirty"]))


def say(db: Database, how: Left) -> None:
    """Note how the ledger is left, and where it is, within the caller's transaction."""
    db.run(_SQL["mark_dirty"], (how, db.path.stat().st_ino))


def is_unsealed(db: Database) -> bool:
    """Whether a ledger without a log, read without checking, was last written to by a process that did not close it.

    Raises:
        LedgerError: Its log held more, and is gone.
    """
    how = left(db)
    if how is Left.BEHIND:
        raise LedgerError(
            f"{db.path} was not closed in order, and its log is gone: {db.path}-wal is missing or empty, and held results that the"
            " file does not. Put it back beside the ledger (a copy needs both files); nothing was changed"
        )
    return how is Left.WRITTEN


def check_copy(db: Database) -> None:
    """See that a ledger with a log is where it was written, or that its content fits together all the same.

    Raises:
        LedgerError: It does not.
    """
    how, home = db.one(_SQL["dirty"]) or (Left.CLOSED, 0)
    if how and home != db.path.stat().st_ino and (contradiction := _contradiction(db)):
        raise LedgerError(
            f"{db.path} is a copy that was taken beside a live run, and its parts are of different moments ({contradiction})."
            " Go on with the original, or copy that once its run has ended; nothing was changed"
        )


def before_emptying(db: Database) -> None:
    """Note that the log holds no more than the file will, before it is moved there and emptied."""
    if left(db) is Left.BEHIND:
        with db.transaction():
            say(db, Left.WRITTEN)


def mend(path: Path) -> int:
    """Prove the content of such a ledger, and make its checksums anew. No connection may be open on it.

    Returns:
        How many pages had a wrong checksum.

    Raises:
        LedgerError: The content contradicts itself, or can't be written.
    """
    db = Database(path, Mode.FROZEN, checked=False)
    try:
        contradiction = _contradiction(db)
    finally:
        db.close()
    if contradiction:
        raise LedgerError(f"{path} is damaged: {contradiction}. Restore the file from a copy; nothing was changed")
    return seal_pages(path)


def _contradiction(db: Database) -> str:
    """What is wrong with the content, in words; empty where it fits together."""
    structure = str(db.value("pragma integrity_check(1)"))
    if structure != "ok":
        return " ".join(structure.split())
    if hash_of(db) != (db.one(_SQL["job"]) or ("",))[0]:
        return "its operations are not those of its job"
    counted: Counter[tuple[int, str]] = Counter()
    for api, status, number in db.all(_SQL["count_by_status"]):
        counted[api, Status(status).word] += number
    kept: Counter[tuple[int, str]] = Counter()
    for api, kind, word, number in db.all(_SQL["tally"]):
        if kind == "status":
            kept[api, Status.PENDING.word if word == Status.SENDING.word else word] += number
    return "" if +counted == +kept else "its counts are not those of its operations"


def hash_of(db: Database) -> str:
    """The identity of the job: a hash of its operations in their order, in hex."""
    digest = hashlib.sha256()
    last = db.value("SELECT coalesce(max(seq), 0) FROM operation")
    for start in range(0, last, _STRETCH):
        text = db.value(_FREEZE["chunk_of_contents"], (start, start + _STRETCH))
        digest.update((text or "").encode())
    return digest.hexdigest()
