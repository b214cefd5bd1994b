"""What a ledger says, beside whoever writes it: results, contents, attempts.

Every look is one short transaction, so that the log of a live run never grows for a reader's sake; a long answer is read in
stretches. Knows no writing.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bulkops.errors import LedgerError
from bulkops.ledger.connection import Database, Mode, Row
from bulkops.ledger.opening import open_for_reading
from bulkops.ledger.records import INVALID_WORD, STATUSES, WORDS, AttemptRecord
from bulkops.ledger.sql import queries
from bulkops.model import ResultRow, Verdict

T = TypeVar("T")

_STRETCH: Final = 4096
"""Rows of the job that one transaction reads."""

_SQL: Final = queries("read")
_STORE: Final = queries("store")


class Reader:
    """The reading connection of a store; any thread may use it, one at a time.

    A ledger that was closed cleanly and that nobody holds is read without locks, so that reading leaves no files beside it
    and works in a folder that can't be written. Whether a run began meanwhile is asked after every look, before anybody sees
    what it brought: then the look is repeated in the ordinary way.

    Args:
        path: The ledger.
        live: A run (ours, or another process's) is at work on it.
    """

    def __init__(self, path: Path, *, live: bool) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen = _signature(path)
        mode = Mode.READ if live or self._seen[0] else Mode.FROZEN
        try:
            self._db = open_for_reading(path, mode, live=live)
        except LedgerError:
            if mode is Mode.READ or _signature(path) == self._seen:
                raise
            self._db = open_for_reading(path, Mode.READ, live=True)  # a run began meanwhile

    def read(self, look: Callable[[Database], T]) -> T:
        """What `look` finds."""
        with self._lock:
            try:
                found = look(self._db)
            except Exception:
                if not self._overtaken():
                    raise
            else:
                if not self._overtaken():
                    return found
            self._db.close()
            self._db = open_for_reading(self._path, Mode.READ, live=True)
            return look(self._db)

    def _overtaken(self) -> bool:
        return self._db.mode is Mode.FROZEN and _signature(self._path) != self._seen

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _signature(path: Path) -> tuple[bool, int, int, int]:
    """Whether there is a log, and what changes with the file. A writer makes its log before it changes the file."""
    log = False
    with suppress(OSError):
        log = Path(f"{path.resolve()}-wal").stat().st_size > 0
    with suppress(OSError):
        found = path.stat()
        return log, found.st_ino, found.st_size, found.st_mtime_ns
    return log, 0, 0, 0


class Results:
    """A ledger's rows with their outcome, in the order of the job files.

    Args:
        reader: Where from.
        statuses: Words of the wanted statuses, `invalid` among them; empty for all.
        codes: Wanted codes or labels of the newest attempt; empty for all.
        every_row: Duplicates and invalid rows, too.
    """

    def __init__(self, reader: Reader, statuses: Collection[str], codes: Collection[int | str], *, every_row: bool) -> None:
        self._reader = reader
        self._statuses = _json([STATUSES[word] for word in statuses if word != INVALID_WORD]) if statuses else None
        self._codes = _json([str(code) for code in codes]) if codes else None
        self._every_row = every_row
        self._invalid_wanted = (INVALID_WORD in statuses if statuses else every_row) and not codes
        self._files = [str(row[0]) for row in reader.read(lambda db: db.all(_STORE["files"]))]
        sources = reader.read(lambda db: db.all(_STORE["sources"]))
        self._firsts = [first for first, _ in sources]
        self._source_files = [file for _, file in sources]

    def __iter__(self) -> Iterator[ResultRow]:
        if not self._invalid_wanted:
            return (row for _, _, row in self._valid())
        merged = heapq.merge(self._valid(), self._invalid(), key=lambda placed: placed[:2])
        return (row for _, _, row in merged)

    def _valid(self) -> Iterator[tuple[int, int, ResultRow]]:
        """(file, line, row), ascending."""
        last = self._reader.read(lambda db: db.value(_SQL["last_seq"]))
        for start in range(0, last, _STRETCH):
            bounds = (start, start + _STRETCH, self._statuses, self._codes)
            for seq, api, content, ref, line, status, attempts, code, info, finished_at in self._stretch(bounds):
                file = self._source_files[bisect_right(self._firsts, seq) - 1]
                name, word = self._files[file], WORDS[status]
                yield file, line, ResultRow(api, content, ref, name, line, word, attempts, code, info, finished_at)

    def _stretch(self, bounds: tuple[int, int, str | None, str | None]) -> list[Row]:
        def look(db: Database) -> list[Row]:
            with db.snapshot():
                rows = db.all(_SQL["operations"], bounds)
                if self._every_row:
                    rows += db.all(_SQL["duplicates"], bounds)
            return rows

        rows = self._reader.read(look)
        if self._every_row:
            rows.sort(key=lambda row: row[0])
        return rows

    def _invalid(self) -> Iterator[tuple[int, int, ResultRow]]:
        last = 0
        while rows := self._reader.read(lambda db, after=last: db.all(_SQL["invalid"], (after, _STRETCH))):  # type: ignore[misc]  # mypy: no type for a lambda's default
            for id_, file, line, column, message, cells in rows:
                last = id_
                text = f"{column}: {message}" if column else message
                yield file, line, ResultRow(-1, "", "", self._files[file], line, INVALID_WORD, 0, "", text, 0, cells)


def contents(reader: Reader) -> Iterator[tuple[str, str]]:
    """(op, content) of every operation, in their order."""
    last = 0
    while True:
        rows = reader.read(lambda db, after=last: db.all(_SQL["contents"], (after, _STRETCH)))  # type: ignore[misc]  # as above
        if not rows:
            return
        yield from ((op, content) for _, op, content in rows)
        last = rows[-1][0]


def attempts(reader: Reader, seq: int) -> list[AttemptRecord]:
    """Every settled attempt of one operation, oldest first."""
    rows = reader.read(lambda db: db.all(_SQL["attempts"], (seq,)))
    return [
        AttemptRecord(number, process, begun_at, answered_at, http, code, label, info, Verdict(verdict), bool(sent))
        for number, process, begun_at, answered_at, http, code, label, info, verdict, sent in rows
    ]


def _json(values: Sequence[int | str]) -> str:
    return msgspec.json.encode(values).decode()
