"""The ledger as an SQLite file: one writing connection, used by one thread at a time, and a reading one beside it.

Every change is one transaction, durable when the call returns. Which operation goes when, and what a reply means, is the
engine's business; when changes are gathered into a group, `group`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Final, Self

import msgspec

from bulkops.errors import LedgerError
from bulkops.ledger import recovery
from bulkops.ledger.claims import Claims
from bulkops.ledger.commit import commit, encoded
from bulkops.ledger.connection import Database, sync_folder, written_in_this_process
from bulkops.ledger.lock import held, ledger_lock
from bulkops.ledger.mending import Left, before_emptying, left, say
from bulkops.ledger.opening import open_for_writing
from bulkops.ledger.reading import Reader, Results, attempts, contents
from bulkops.ledger.records import AttemptRecord, Changes, JobRecord, Orphan, storable
from bulkops.ledger.sql import queries
from bulkops.ledger.tally import Departures, Tally
from bulkops.model import Figures, Operation, ProcessRecord, ResultRow, SourceFile, Status

_SQL: Final = queries("store")
LOG_LIMIT: Final = 1000
"""Frames in the log (4 MB) from which on it is moved into the file."""

_PROCESS_FIELDS: Final = tuple(field.name for field in fields(ProcessRecord))


class SqliteStore:
    """A ledger's file, opened. Use `open`."""

    def __init__(self, path: Path, writer: Database | None, reader: Reader) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader
        self._job = _job(reader)
        self._failed = False
        self._left = Left.CLOSED if writer is None else left(writer)
        self._announced = False  # the file says that there is a log
        self._claims: Claims | None = None
        if writer is not None:
            spans: dict[int, list[tuple[int, int]]] = {}
            for api, first, last in writer.all(_SQL["spans"]):
                spans.setdefault(api, []).append((first, last))
            writer.count_log()
            self._claims = Claims(reader, spans, dict(writer.all(_SQL["lanes"])))

    @classmethod
    def open(cls, path: Path, *, write: bool) -> Self:
        """Open a ledger.

        Args:
            path: Its file.
            write: For writing; then the caller holds the ledger's lock until the store is closed.

        Raises:
            LedgerMissing: There is no such file.
            LedgerError: It is no ledger, or damaged, or of another format, or can't be opened.
        """
        writer = open_for_writing(path) if write else None
        reader: Reader | None = None
        try:
            reader = Reader(path, live=write or _is_live(path))
            return cls(path, writer, reader)
        except BaseException:
            for each in (reader, writer):
                if each is not None:
                    each.close()
            raise

    def close(self) -> None:
        """Close the ledger. Closed in order it is one file, with no log beside it.

        Raises:
            LedgerError: The log could not be emptied into the file; nothing is lost.
        """
        self._reader.close()
        if self._writer is not None and not self._writer.closed:
            try:
                self._end_in_order(self._writer)
            except BaseException:
                self._failed = True
                raise
            finally:
                if self._failed:
                    self._writer.leave_as_is()
                self._writer.close()

    def _end_in_order(self, writer: Database) -> None:
        if self._failed:
            return
        before_emptying(writer)
        writer.checkpoint()  # first all pages get their checksums, then the ledger says so
        if self._left is not Left.CLOSED:
            with writer.transaction():
                say(writer, Left.CLOSED)
            writer.checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- The job and its processes -----------------------------------------------------------------------------------

    def job(self) -> JobRecord:
        """The job that the ledger is about."""
        return self._job

    @property
    def confirmed(self) -> bool:
        """Whether the user has said yes to the plan."""
        return self._job.confirmed_at > 0

    def confirm(self, at: int) -> None:
        """Note that the user said yes, at `at` (microseconds since 1970, UTC)."""
        self._change(_SQL["confirm"], (at,))
        self._job = _job(self._reader)

    def intend(self, settings: Mapping[str, object]) -> None:
        """Note what a run is to be carried out with, before its first process starts and brings its own."""
        self._change(_SQL["intend"], (encoded(dict(settings)),))

    def settings(self) -> dict[str, object]:
        """What the newest process was told; where there was none, what the run is to be carried out with."""
        processes = self.processes()
        if processes:
            return dict(processes[-1].settings)
        found: dict[str, object] = msgspec.json.decode(self._reader.read(lambda db: db.value(_SQL["intended"])))
        return found

    def app(self) -> int | None:
        """The SDKAppID that the ledger is bound to: that of the process in which an operation first ended."""
        found: int | None = self._reader.read(lambda db: db.value(_SQL["app"]))
        return found

    def files(self) -> list[SourceFile]:
        """The files that the job was frozen from."""
        return [SourceFile(*row) for row in self._reader.read(lambda db: db.all(_SQL["files"]))]

    def touched(self) -> bool:
        """Whether any attempt was ever begun (those that were taken back before they left don't count)."""
        return bool(self._reader.read(lambda db: db.value(_SQL["touched"])))

    def processes(self) -> list[ProcessRecord]:
        """Every process of the run, oldest first."""
        rows = self._reader.read(lambda db: db.all(_SQL["processes"]))
        named = (dict(zip(_PROCESS_FIELDS, row, strict=True)) for row in rows)
        return [ProcessRecord(**{**row, "settings": msgspec.json.decode(row["settings"])}) for row in named]

    def process_files(self, number: int) -> list[SourceFile]:
        """The files that one process read; empty where it continued from the ledger alone."""
        text = self._reader.read(lambda db: db.value(_SQL["process_files"], (number,)))
        return [SourceFile(*row) for row in msgspec.json.decode(text or "[]")]

    def start_process(self, record: ProcessRecord, files: Sequence[SourceFile] = ()) -> int:
        """Note that a process begins, durably.

        Args:
            record: Its number is not looked at.
            files: What it read.

        Returns:
            Its number, from 1.
        """
        texts = (record.operator, record.host, record.version, record.identifier, record.endpoint)
        operator, host, version, identifier, endpoint = map(storable, texts)
        settings = encoded(dict(record.settings))
        read = encoded([(storable(each.name), each.sha256, each.size, each.rows) for each in files])
        at = record.started_at
        row = (operator, host, record.pid, version, record.sdkappid, identifier, endpoint, settings, read, at, at)
        with self._transaction() as db:
            number = int(db.value(_SQL["start_process"], row))
        self._claiming.process = number
        return number

    def end_process(self, number: int, ended_at: int, reason: str, exit: int | None) -> None:  # noqa: A002 - the word of the record
        """Note that a process ends in order, durably. What it has under way then is left by it, like by one that was killed.

        Args:
            ended_at: Microseconds since 1970, UTC.
            reason: Why, in words; empty where nothing was left to do.
            exit: Its exit code.
        """
        self._change(_SQL["end_process"], (number, ended_at, storable(reason), exit))
        if self._claiming.process == number:
            self._claiming.process = -1

    # -- What a crash or a user leaves to be done again --------------------------------------------------------------

    def orphans(self, limit: int) -> list[Orphan]:
        """The first operations that an earlier process left `sending`."""
        args = (self._own_process, limit)
        return [Orphan(*row) for row in self._reader.read(lambda db: db.all(_SQL["orphans"], args))]

    def orphan_count(self) -> int:
        """How many operations an earlier process left `sending`."""
        args = (self._own_process,)
        return int(self._reader.read(lambda db: db.value(_SQL["orphan_count"], args)))

    def recover(self, *, hold: bool, at: int) -> int:
        """Settle what earlier processes left `sending`: it counts as a call without an answer, and is in doubt.

        Args:
            hold: End these operations as in doubt; otherwise they wait to be sent again.
            at: Now, microseconds since 1970, UTC; when the held ones ended.

        Returns:
            How many there were.
        """
        with self._transaction() as db:
            return recovery.recover(db, self._own_process, hold=hold, at=at)

    def reopen(self, statuses: Collection[Status], codes: Collection[int | str] = ()) -> int:
        """Make ended operations pending again, with fresh attempts; their numbers go on, and what is in doubt stays so.

        Args:
            statuses: What to reopen. Those that did not end are left as they are.
            codes: Only those whose newest attempt has one of these codes or labels; empty for any.

        Returns:
            How many.
        """
        wanted = [status for status in statuses if status.ended]
        words = {status.word for status in wanted}
        if not any(count and kind == "status" and word in words for (_, kind, word), count in self.tally().counts.items()):
            return 0
        with self._transaction() as db:
            count = recovery.reopen(db, wanted, codes)
        self._claiming.look_again()
        return count

    # -- While it runs -----------------------------------------------------------------------------------------------

    def claim(self, api: int, limit: int) -> list[Operation]:
        """The next pending operations of one API, each handed out once by this store.

        First those that earlier processes began, then the untouched ones, both ascending. From any thread, also while another
        one is in `apply`.
        """
        return self._claiming.take(api, limit)

    def apply(self, changes: Changes) -> Tally:
        """Make a group of changes durable.

        Returns:
            What it added to the counts.

        Raises:
            LedgerError: It could not be made durable. Nothing more may be written then: a later commit may seem to
                succeed although this one is gone.
        """
        claims = self._claiming
        binds = self._job.sdkappid is None and any(s.status.ended for _, s in changes.settlements)
        with self._transaction() as db:
            if db.value(_SQL["newest_process"]) != changes.process:
                raise LedgerError(f"another process goes on with {self.path}, whose lock file is gone: let that one finish")
            delta = commit(db, changes, claims)
            if binds:
                db.run(_SQL["bind_app"], (changes.process,))
        if binds:
            self._job = _job(self._reader)
        claims.orphaned.difference_update([s.seq for _, s in changes.settlements if s.sent])
        return delta

    # -- What it says --------------------------------------------------------------------------------------------------

    def tally(self) -> Tally:
        """The counts as they are, with the departures of the newest process."""
        return self._reader.read(_tally)

    def elapsed(self) -> float:
        """Seconds that all processes took together, as far as they were seen."""
        return int(self._reader.read(lambda db: db.value(_SQL["elapsed"]))) / 1e6

    def figures(self, *, live: bool | None = None) -> Figures:
        """What the ledger amounts to. What a process that is gone left `sending` counts as calls, lost ones.

        Args:
            live: Another process is at work on it; `None` to look at the ledger's lock.
        """
        if live is None:
            live = self._writer is None and _is_live(self.path)

        def look(db: Database) -> tuple[Tally, int]:
            with db.snapshot():
                tally = _tally(db)
                if not live:
                    recovery.add_orphans(db, tally, self._own_process, db.value(_SQL["newest_process"]))
                return tally, db.value(_SQL["elapsed"])

        tally, elapsed = self._reader.read(look)
        return tally.figures(self._job, elapsed / 1e6)

    def results(self, statuses: Collection[str] = (), codes: Collection[int | str] = ()) -> Iterator[ResultRow]:
        """Every operation with its outcome, in the order of the job; `invalid` rows only where that status is asked for.

        Args:
            statuses: Words of the wanted statuses; empty for all.
            codes: Wanted codes or labels of the newest attempt; empty for all.
        """
        return iter(Results(self._reader, statuses, codes, every_row=False))

    def rows(self, statuses: Collection[str] = (), codes: Collection[int | str] = ()) -> Iterator[ResultRow]:
        """Every row of the job, in the order of its files: duplicates with the outcome of their operation, invalid ones too.

        Args:
            statuses, codes: As in `results`.
        """
        return iter(Results(self._reader, statuses, codes, every_row=True))

    def contents(self) -> Iterator[tuple[str, str]]:
        """(op, content) of every operation, in their order: what the job's hash is made of."""
        return contents(self._reader)

    def attempts(self, seq: int) -> list[AttemptRecord]:
        """Every settled attempt of one operation, oldest first."""
        return attempts(self._reader, seq)

    # -- Inside --------------------------------------------------------------------------------------------------------

    @property
    def _claiming(self) -> Claims:
        if self._claims is None:
            raise LedgerError(f"{self.path} was opened for reading only")
        return self._claims

    @property
    def _own_process(self) -> int:
        return -1 if self._claims is None else self._claims.process

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        """A transaction of the writing connection. A failure of it is final: then not even closing writes anything."""
        writer = self._writer
        if writer is None:
            raise LedgerError(f"{self.path} was opened for reading only")
        moves = not self._announced or writer.log_frames >= LOG_LIMIT
        how = Left.BEHIND if moves else Left.WRITTEN
        try:
            writer.check_place()
            with writer.transaction():
                if how is not self._left:
                    say(writer, how)
                yield writer
            self._left = how
            if moves:
                self._move_log(writer)
        except LedgerError:
            self._failed = True
            raise

    def _move_log(self, writer: Database) -> None:
        """Move the log into the file, which has said that it is behind."""
        if not self._announced:
            sync_folder(self.path)
            writer.remember_log()
        writer.move_log()
        self._announced = True

    def _change(self, sql: str, args: Sequence[object]) -> None:
        with self._transaction() as db:
            db.run(sql, args)


def _tally(db: Database) -> Tally:
    counts: Mapping[tuple[int, str, str], int] = {(api, kind, word): n for api, kind, word, n in db.all(_SQL["tally"])}
    rows = db.all(_SQL["departures"], (db.value(_SQL["newest_process"]),))
    return Tally(counts, {api: Departures(calls, first, last) for api, calls, first, last in rows})


def _job(reader: Reader) -> JobRecord:
    def look(db: Database) -> JobRecord:
        with db.snapshot():
            row, apis = db.one(_SQL["job"]), db.all(_SQL["apis"])
        if row is None:
            raise AssertionError("opened without a job")
        sha256, created_at, rows, duplicates, invalid, operations, sandbox, confirmed_at, sdkappid = row
        return JobRecord(
            sha256=sha256,
            created_at=created_at,
            ops=tuple(op for _, op, _ in apis),
            by_op={op: count for _, op, count in apis if count},
            rows=rows,
            duplicates=duplicates,
            invalid=invalid,
            operations=operations,
            sandbox=bool(sandbox),
            confirmed_at=confirmed_at,
            sdkappid=sdkappid,
        )

    return reader.read(look)


def _is_live(path: Path) -> bool:
    """Whether somebody is at work on a ledger. This process is not yet, where it holds the lock and writes nothing."""
    holder = held(ledger_lock(path).path)
    return holder is not None and (not holder.is_this_process or written_in_this_process(path))
