"""A ledger whose run was killed and which another program then opened: its pages are sound, their checksums are not.

SQLite's checksum VFS puts checksums into the pages of the file, not into those of the log. So when any other SQLite (a shell, a
script) opens a killed ledger and closes it again, it moves the log's pages into the file without their checksums; looking at
it was enough. To tell that from damage, a ledger says of itself whether it was closed in order: *dirty, and without a log* is
what such a visit leaves. Then the content is proved in another way, and the checksums are made anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Final

from bulkops.errors import LedgerError
from bulkops.ledger.connection import Database, Mode, seal_pages
from bulkops.ledger.sql import queries
from bulkops.model import Status

_SQL: Final = queries("store")
_FREEZE: Final = queries("freeze")
_STRETCH: Final = 8192


def is_unsealed(db: Database) -> bool:
    """Whether a ledger without a log, read without checking, was last written to by a process that did not close it."""
    return bool(db.value(_SQL["dirty"]))


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
