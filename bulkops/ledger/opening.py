"""Whether a file is a ledger, whole, and of this format: every way in which it may not be has its own words.

Decides before anything is written, and leaves a file that it refuses exactly as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bulkops.errors import LedgerError, LedgerMissing
from bulkops.ledger.connection import CHECKSUM_ERROR, PAGE_SIZE, Database, Mode, opened_in_this_process
from bulkops.ledger.mending import before_emptying, check_copy, is_unsealed, mend
from bulkops.ledger.wal import Survey, survey

APPLICATION_ID: Final = 0x626F7073  # "bops"
FORMAT: Final = 2

VERIFIED_WHOLE: Final = 64 << 20
"""Bytes up to which a ledger is read whole before it is written to; larger ones are checked page by page as they are read."""


def open_for_writing(path: Path) -> Database:
    """A connection that may write, once the file is known to be a whole ledger. The caller holds the ledger's lock.

    Raises:
        LedgerMissing: There is no such file.
        LedgerError: It is no ledger, or damaged, or of another format.
    """
    _look(path)
    log = _survey(path)
    if log is None and not opened_in_this_process(path) and _is_unsealed(path):
        mend(path)
    db = Database(path, Mode.WRITE)
    try:
        _identify(db, alone=log is None)
        _compare(db, log)
        if path.stat().st_size <= VERIFIED_WHOLE:
            _verify_whole(db)
        before_emptying(db)
        db.checkpoint()  # so that what a loss of power left behind the log's end never piles up
    except BaseException:
        db.leave_as_is()
        db.close()
        raise
    return db


def open_for_reading(path: Path, mode: Mode, *, live: bool) -> Database:
    """A connection that only reads, once the file is known to be a ledger.

    Args:
        live: A run is at work on it: its log changes under our eyes and says nothing about damage.

    Raises:
        As `open_for_writing`.
    """
    _look(path)
    log = _survey(path) if mode is Mode.READ and not live else None
    db = Database(path, mode, checked=mode is not Mode.FROZEN or not _is_unsealed(path))
    try:
        _identify(db, alone=mode is Mode.FROZEN)
        _compare(db, log)
    except BaseException:
        db.close()
        raise
    return db


def _look(path: Path) -> None:
    """See that there is a file that may be a database."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as exc:
        raise LedgerMissing(f"there is no ledger {path}: check the path, or start with bulkops run") from exc
    except OSError as exc:
        raise LedgerError(f"{path} can't be read ({exc.strerror})") from exc
    if path.is_file() and size == 0:
        raise LedgerError(f"{path} is empty (0 bytes), so it is no ledger: restore it from a copy, or remove it and start anew")
    if path.is_file() and size < PAGE_SIZE:
        raise LedgerError(
            f"{path} has only {size} bytes: it is cut off, or no ledger. Check the path, or restore it from a copy"
        )


def _survey(path: Path) -> Survey | None:
    if opened_in_this_process(path):
        return None  # looking would cost that connection its locks; it has looked itself
    try:
        return survey(path.resolve())
    except OSError as exc:
        raise LedgerError(f"{path}-wal can't be read ({exc.strerror}): it belongs to the ledger") from exc


def _is_unsealed(path: Path) -> bool:
    """Whether the ledger, which has no log, may have pages without checksums; see `mending`."""
    db = Database(path, Mode.FROZEN, checked=False)
    try:
        _identify(db, alone=True)
        return is_unsealed(db)
    finally:
        db.close()


def _identify(db: Database, *, alone: bool) -> None:
    """See that it is a ledger of this format.

    Args:
        alone: It has no log, which might still hold what the file lacks.
    """
    path = db.path
    application, version = db.value("pragma application_id"), db.value("pragma user_version")
    if application != APPLICATION_ID:
        raise LedgerError(f"{path} is an SQLite file of another program, not a bulkops ledger: check the path")
    if version != FORMAT:
        age = "newer" if version > FORMAT else "older"
        raise LedgerError(
            f"{path} has ledger format {version}, this bulkops knows {FORMAT}: carry it on with the {age} version"
        )
    if not db.has_checksums():
        raise LedgerError(f"{path} is damaged: its header says that pages have no checksums. Restore the file from a copy")
    size = path.stat().st_size
    if alone and size % PAGE_SIZE:
        raise LedgerError(f"{path} is cut off in the middle of a page ({size} bytes). Restore the file from a copy")
    if db.value("SELECT count(*) FROM job") != 1:
        raise LedgerError(f"{path} was not completely written: remove it and start anew")


def _compare(db: Database, log: Survey | None) -> None:
    """See that a log is whole, and belongs to the file."""
    if log is None:
        return
    accepted = db.wal_frames()
    if accepted is not None and (lost := log.lost(accepted)):
        raise LedgerError(f"{db.path} is damaged: {lost}. Restore the file and its -wal from a copy; nothing was changed")
    check_copy(db)


def _verify_whole(db: Database) -> None:
    found = str(db.value("pragma quick_check(1)"))
    if found != "ok":
        checksum = f"error code={CHECKSUM_ERROR}" in found
        cause = "a page does not match its checksum" if checksum else " ".join(found.split())
        raise LedgerError(f"{db.path} is damaged: {cause}. Restore the file from a copy; nothing was changed")
