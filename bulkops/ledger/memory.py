"""The ledger in memory: the same answers as the file's, for tests and for runs in virtual time.

Either with everything on record, or lean: then ten million operations cost a byte each, and no attempts are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from bulkops.ledger.memory_rows import Duplicate, Generated, Row, Rows, fold
from bulkops.ledger.records import (
    INVALID_WORD,
    ORPHAN_LABEL,
    WORDS,
    AttemptRecord,
    Changes,
    Frozen,
    JobRecord,
    Orphan,
    storable,
)
from bulkops.ledger.tally import Departures, Tally, difference, fresh, ours_possible
from bulkops.model import (
    Batch,
    Figures,
    Invalid,
    Operation,
    ProcessRecord,
    ResultRow,
    Settlement,
    SourceFile,
    Status,
    Verdict,
)

_FILE: Final = SourceFile("memory.jsonl", "", 0, 0)


@dataclass(slots=True)
class _Open:
    """An operation that was begun and has not ended."""

    api: int
    number: int = 0
    charged: int = 0
    calls: int = 0
    in_doubt: bool = False
    orphaned: bool = False
    begun_at: int | None = None
    process: int = 0
    unanswered: bool = False  # any attempt of it


class MemoryStore:
    """The twin of `SqliteStore`: every method that has no words here has them there.

    Args:
        rows: The operations.
        job: What they come to.
        files: The files they come from.
        duplicates: Ascending.
        invalid: In the order of the files.
        keep_attempts: `False` for a lean store: its results know statuses only, and nothing of it is reopened.
    """

    def __init__(
        self,
        rows: Rows,
        job: JobRecord,
        *,
        files: Sequence[SourceFile] = (_FILE,),
        duplicates: Sequence[Duplicate] = (),
        invalid: Sequence[Invalid] = (),
        keep_attempts: bool = True,
    ) -> None:
        self._rows = rows
        self._job = job
        self._files = list(files)
        self._duplicates = duplicates
        self._invalid = invalid
        self._keep_attempts = keep_attempts
        self._apis = range(len(job.ops))
        self._ended = bytearray(rows.last_seq + 1)  # statuses of those that ended; 0 for the others
        self._open: dict[int, _Open] = {}
        self._attempts: dict[int, list[AttemptRecord]] = {}
        self._held: set[int] = set()  # ended in doubt because the user held what a process left `sending`
        self._attempted = False
        self._tally = fresh([(job.ops.index(op), count) for op, count in job.by_op.items()])
        self._departures: dict[int, dict[int, Departures]] = {}  # by process and API
        self._processes: list[ProcessRecord] = []
        self._intended: dict[str, object] = {}
        self._process_files: list[Sequence[SourceFile]] = []
        self.restart()

    @classmethod
    def frozen(
        cls, batches: Iterable[Batch], *, ops: Sequence[tuple[str, bool]], files: Sequence[SourceFile], sandbox: bool = False
    ) -> tuple[Self, Frozen]:
        """What `freeze` makes of a job that fits into memory; arguments as there."""
        folded = fold(batches, ops, files)
        job = _job(folded.frozen, tuple(op for op, _ in ops), sandbox=sandbox)
        store = cls(folded.rows, job, files=files, duplicates=folded.duplicates, invalid=folded.invalid)
        return store, folded.frozen

    @classmethod
    def of(cls, contents: Mapping[int, Sequence[str]], ops: Sequence[str]) -> Self:
        """A store of these operations, by the index of their API, one API after the other.

        Args:
            ops: Names by index.
        """
        rows = [(api, content, "", line) for line, (api, content) in enumerate(_flat(contents), start=2)]
        return cls.frozen([Batch(0, rows, [])], ops=[(op, False) for op in ops], files=[_FILE])[0]

    @classmethod
    def generated(cls, counts: Sequence[int], content: Callable[[int, int], str], ops: Sequence[str]) -> Self:
        """A lean store of operations that are made when they are claimed, one API after the other.

        Args:
            counts: Operations by the index of their API.
            content: (API, place among its operations, from 0) → content.
            ops: Names by index.
        """
        by_op = {ops[api]: count for api, count in enumerate(counts) if count}
        frozen = Frozen("", sum(counts), 0, 0, sum(counts), by_op)
        return cls(Generated(counts, content), _job(frozen, tuple(ops)), keep_attempts=False)

    def restart(self) -> None:
        """Go on as if another process had opened the ledger after the present one was killed."""
        self._process = -1
        self._position = dict.fromkeys(self._apis, 0)
        self._orphaned: set[int] = set()
        self._waiting: list[deque[int]] | None = None  # by API: begun by earlier processes; None: not looked yet

    def close(self) -> None:
        """Nothing to close."""

    # -- The job and its processes -----------------------------------------------------------------------------------

    def job(self) -> JobRecord:
        return self._job

    @property
    def confirmed(self) -> bool:
        return self._job.confirmed_at > 0

    def confirm(self, at: int) -> None:
        self._job = replace(self._job, confirmed_at=at)

    def intend(self, settings: Mapping[str, object]) -> None:
        self._intended = dict(settings)

    def settings(self) -> dict[str, object]:
        return dict(self._processes[-1].settings) if self._processes else dict(self._intended)

    def app(self) -> int | None:
        return self._job.sdkappid

    def files(self) -> list[SourceFile]:
        return list(self._files)

    def touched(self) -> bool:
        return self._attempted or any(each.begun_at is not None for each in self._open.values())

    def processes(self) -> list[ProcessRecord]:
        return list(self._processes)

    def process_files(self, number: int) -> list[SourceFile]:
        return list(self._process_files[number - 1])

    def start_process(self, record: ProcessRecord, files: Sequence[SourceFile] = ()) -> int:
        self._process = len(self._processes) + 1
        self._processes.append(replace(record, number=self._process, seen_at=record.started_at))
        self._process_files.append(tuple(files))
        return self._process

    def end_process(self, number: int, ended_at: int, reason: str, exit: int | None) -> None:  # noqa: A002 - as in the record
        self._seen(number, ended_at)
        record = self._processes[number - 1]
        self._processes[number - 1] = replace(record, ended_at=ended_at, reason=reason, exit=exit)
        if self._process == number:
            self._process = -1

    def _seen(self, number: int, at: int) -> None:
        record = self._processes[number - 1]
        self._processes[number - 1] = replace(record, seen_at=max(record.seen_at, at))

    # -- What a crash or a user leaves to be done again --------------------------------------------------------------

    def _left(self) -> list[tuple[int, _Open, int]]:
        """(seq, operation, begun at) of what earlier processes left `sending`, ascending."""
        found = [
            (seq, each, each.begun_at)
            for seq, each in self._open.items()
            if each.begun_at is not None and each.process != self._process
        ]
        return sorted(found, key=lambda left: left[0])

    def orphans(self, limit: int) -> list[Orphan]:
        left = [(seq, self._rows[seq], began) for seq, _, began in self._left()[:limit]]
        return [Orphan(seq, row.api, row.content, row.ref, began) for seq, row, began in left]

    def orphan_count(self) -> int:
        return len(self._left())

    def recover(self, *, hold: bool, at: int) -> int:
        left = self._left()
        for seq, each, began in left:
            self._tally.count_orphans(each.api, 1, int(each.calls > 0), int(each.orphaned))
            self._depart(each.process, each.api, Departures(1, began, began))
            answered_at, verdict = at if hold else 0, Verdict.UNANSWERED
            record = AttemptRecord(
                each.number, each.process, began, answered_at, None, None, ORPHAN_LABEL, "", verdict, sent=True
            )
            self._record(seq, record)
            after = Status.IN_DOUBT if hold else Status.PENDING
            self._tally.move(each.api, Status.SENDING.word, after.word)
            if hold:
                self._ended[seq] = after
                self._held.add(seq)
                del self._open[seq]
            else:
                each.calls += 1
                each.in_doubt = each.orphaned = each.unanswered = True
                each.begun_at, each.process = None, 0
        return len(left)

    def reopen(self, statuses: Collection[Status], codes: Collection[int | str] = ()) -> int:
        wanted = {status for status in statuses if status.ended}
        labels = {str(code) for code in codes}
        found = [
            seq
            for seq, status in enumerate(self._ended)
            if status in wanted and (not labels or self._attempts[seq][-1].label in labels)
        ]
        for seq in found:
            self._reopen(seq, Status(self._ended[seq]))
        self._waiting = None
        return len(found)

    def _reopen(self, seq: int, status: Status) -> None:
        api, records = self._rows[seq].api, self._attempts[seq]
        unanswered = [record.sent and record.verdict is Verdict.UNANSWERED for record in records]
        self._open[seq] = _Open(
            api,
            number=records[-1].number,
            calls=sum(record.sent for record in records),
            in_doubt=status is Status.IN_DOUBT,
            orphaned=seq in self._held,
            unanswered=any(unanswered),
        )
        self._held.discard(seq)
        self._ended[seq] = 0
        self._tally.move(api, status.word, Status.PENDING.word)
        if status is Status.FAILED:
            self._tally.counts[api, "refused", records[-1].label] -= 1
        if status is Status.ABSENT and any(unanswered[:-1]):
            self._tally.counts[api, "absent_ours", ""] -= 1

    # -- While it runs -----------------------------------------------------------------------------------------------

    def claim(self, api: int, limit: int) -> list[Operation]:
        if self._waiting is None:
            self._waiting = self._waiting_of_others()
        found: list[Operation] = []
        waiting = self._waiting[api]
        while waiting and len(found) < limit:
            seq = waiting.popleft()
            each = self._open[seq]
            if each.orphaned:
                self._orphaned.add(seq)
            content = self._rows[seq].content
            found.append(Operation(seq, content, each.number, each.charged, each.calls, in_doubt=each.in_doubt))
        places = self._rows.of_api(api)
        while self._position[api] < len(places) and len(found) < limit:
            seq = places[self._position[api]]
            self._position[api] += 1
            if not self._ended[seq] and seq not in self._open:
                found.append(Operation(seq, self._rows[seq].content))
        return found

    def _waiting_of_others(self) -> list[deque[int]]:
        waiting: list[deque[int]] = [deque() for _ in self._apis]
        for seq, each in sorted(self._open.items(), key=lambda item: item[0]):
            if each.begun_at is None and each.process != self._process:
                waiting[each.api].append(seq)
        return waiting

    def apply(self, changes: Changes) -> Tally:
        ours = {seq for seq in ours_possible(changes) if self._open[seq].unanswered}
        delta = difference(changes, ours=ours, orphaned=self._orphaned)
        for _, settled in changes.settlements:
            self._settle(settled, changes.process)
        for _, operation in changes.withdrawals:
            each = self._open[operation.seq]
            each.number, each.charged, each.calls = operation.number, operation.charged, operation.calls
            each.in_doubt, each.begun_at = operation.in_doubt, None
        for api, intent in changes.intents:
            each = self._open.setdefault(intent.seq, _Open(api))
            each.number, each.begun_at, each.process = intent.number, intent.begun_at, changes.process
        for api, departures in delta.departures.items():
            self._depart(changes.process, api, departures)
        self._tally.add(Tally(delta.counts))
        if changes.seen_at:
            self._seen(changes.process, changes.seen_at)
        if self._job.sdkappid is None and any(settled.status.ended for _, settled in changes.settlements):
            self._job = replace(self._job, sdkappid=self._processes[changes.process - 1].sdkappid)
        self._orphaned.difference_update([settled.seq for _, settled in changes.settlements if settled.sent])
        return delta

    def _settle(self, s: Settlement, process: int) -> None:
        info, label = storable(s.info), s.label or ("" if s.code is None else str(s.code))
        record = AttemptRecord(s.number, process, s.begun_at, s.answered_at, s.http, s.code, label, info, s.verdict, s.sent)
        self._record(s.seq, record)
        if s.status is not Status.PENDING:
            self._ended[s.seq] = s.status
            del self._open[s.seq]
            return
        each = self._open[s.seq]
        each.number, each.charged, each.calls, each.in_doubt, each.begun_at = s.number, s.charged, s.calls, s.in_doubt, None
        each.orphaned = each.orphaned and not s.sent
        each.unanswered = each.unanswered or (s.sent and s.verdict is Verdict.UNANSWERED)

    def _record(self, seq: int, record: AttemptRecord) -> None:
        self._attempted = True
        if self._keep_attempts:
            self._attempts.setdefault(seq, []).append(record)

    def _depart(self, process: int, api: int, departures: Departures) -> None:
        of_process = self._departures.setdefault(process, {})
        of_process[api] = of_process.get(api, Departures()).and_these(departures)

    # -- What it says --------------------------------------------------------------------------------------------------

    def tally(self) -> Tally:
        return Tally(self._tally.counts, self._departures.get(len(self._processes)))

    def elapsed(self) -> float:
        return sum(max(0, (each.ended_at or each.seen_at) - each.started_at) for each in self._processes) / 1e6

    def figures(self, *, live: bool | None = None) -> Figures:
        tally = self.tally()
        for _, each, began in [] if live else self._left():
            of_newest = Departures(1, began, began) if each.process == len(self._processes) else None
            tally.count_orphans(each.api, 1, int(each.calls > 0), int(each.orphaned), of_newest)
        return tally.figures(self._job, self.elapsed())

    def results(self, statuses: Collection[str] = (), codes: Collection[int | str] = ()) -> Iterator[ResultRow]:
        rows = [(self._rows[seq], seq) for seq in self._rows]
        invalid = self._invalid if INVALID_WORD in statuses else ()
        return self._chosen(rows, invalid, statuses, codes)

    def rows(self, statuses: Collection[str] = (), codes: Collection[int | str] = ()) -> Iterator[ResultRow]:
        rows = [(self._rows[seq], seq) for seq in self._rows] + [
            (duplicate.row, duplicate.of) for duplicate in self._duplicates
        ]
        return self._chosen(rows, self._invalid, statuses, codes)

    def _chosen(
        self,
        rows: list[tuple[Row, int]],
        invalid: Sequence[Invalid],
        statuses: Collection[str],
        codes: Collection[int | str],
    ) -> Iterator[ResultRow]:
        placed = [(row.file, row.line, self._outcome(row, of)) for row, of in rows]
        placed += [(row.file, row.line, self._bad(row)) for row in invalid]
        for _, _, result in sorted(placed, key=lambda each: each[:2]):
            fits = not codes or (result.code in {str(code) for code in codes} and result.api >= 0)
            if fits and (not statuses or result.status in statuses):
                yield result

    def _outcome(self, row: Row, seq: int) -> ResultRow:
        records = self._attempts.get(seq, ())
        each = self._open.get(seq)
        sending = each is not None and each.begun_at is not None
        status = self._ended[seq] or (Status.SENDING if sending else Status.PENDING)
        newest = records[-1] if records else None
        finished_at = (newest.answered_at or newest.begun_at) if newest and self._ended[seq] else 0
        return ResultRow(
            row.api,
            row.content,
            row.ref,
            self._files[row.file].name,
            row.line,
            WORDS[status],
            sum(record.sent for record in records),
            newest.label if newest else "",
            newest.info if newest else "",
            finished_at,
        )

    def _bad(self, row: Invalid) -> ResultRow:
        text = f"{row.column}: {row.message}" if row.column else row.message
        return ResultRow(-1, "", "", self._files[row.file].name, row.line, INVALID_WORD, 0, "", text, 0, row.cells)

    def contents(self) -> Iterator[tuple[str, str]]:
        for seq in self._rows:
            row = self._rows[seq]
            yield self._job.ops[row.api], row.content

    def attempts(self, seq: int) -> list[AttemptRecord]:
        return list(self._attempts.get(seq, ()))


def _flat(contents: Mapping[int, Sequence[str]]) -> Iterator[tuple[int, str]]:
    return ((api, content) for api in sorted(contents) for content in contents[api])


def _job(frozen: Frozen, ops: tuple[str, ...], *, sandbox: bool = False) -> JobRecord:
    return JobRecord(
        sha256=frozen.sha256,
        created_at=0,
        ops=ops,
        by_op=frozen.by_op,
        rows=frozen.rows,
        duplicates=frozen.duplicates,
        invalid=frozen.invalid,
        operations=frozen.operations,
        sandbox=sandbox,
    )
