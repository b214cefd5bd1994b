"""Jobs, stores and a small stand-in for the engine, for the ledger's tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from bulkops.ledger import Changes, Frozen, MemoryStore, SqliteStore, freeze
from bulkops.ledger.tally import Tally
from bulkops.model import (
    Batch,
    Figures,
    Intent,
    Invalid,
    Operation,
    ProcessRecord,
    Settlement,
    SourceFile,
    Status,
    Verdict,
)

Store = SqliteStore | MemoryStore

OPS: Final = (("delete_conversation", True), ("delete_conversation_group", False), ("clear_group_messages", True))
CONVERSATION, GROUP, CLEAR = range(3)

FILES: Final = (SourceFile("a.csv", "aa", 100, 6), SourceFile("b.jsonl", "bb", 50, 3))

BATCHES: Final = (
    Batch(
        0,
        [
            (CONVERSATION, "u1\t1\tp1\t\t1", "first", 2),
            (GROUP, "u1\tFriends 1", "", 3),
            (CONVERSATION, "u1\t1\tp1\t\t1", "again", 4),
        ],
        [Invalid(0, 5, "Type", "3 is not 1 or 2", '{"From_Account":"u9"}')],
    ),
    Batch(0, [(CONVERSATION, "u1\t1\tp1\t\t0", "", 6), (CLEAR, "@g\t", "whole", 7)], []),
    Batch(
        1,
        [(GROUP, "u1\tFriends 1", "twice", 1), (CLEAR, "@g\t55", "", 3)],
        [Invalid(1, 2, "", "no JSON", "{}")],
    ),
)
"""Nine rows: five operations (two targets with two options each), two duplicates, two invalid rows, two files."""

SECOND: Final = 1_000_000
START: Final = 1_700_000_000 * SECOND


def freeze_job(path: Path, batches: Iterable[Batch] = BATCHES, files: Sequence[SourceFile] = FILES) -> Frozen:
    """Freeze a job at a path."""
    return freeze(path, batches, ops=OPS, files=lambda: files, sandbox=False, at=START)


def simple_job(operations: int, *, api: int = CONVERSATION) -> list[Batch]:
    """A job of one API, from one file."""
    return [Batch(0, [(api, f"u{n}\t1\tp{n}\t\t1", "", n + 2) for n in range(operations)], [])]


def a_process(started_at: int = START, sdkappid: int = 1400000001) -> ProcessRecord:
    """A record of a process that begins."""
    return ProcessRecord(
        number=0,
        operator="operator",
        host="host.example",
        pid=4711,
        version="0.1.0",
        sdkappid=sdkappid,
        identifier="administrator",
        endpoint="https://api.example",
        settings={"max_attempts": 8, "rates": {"delete_conversation": 100}},
        started_at=started_at,
    )


class Harness(Protocol):
    """A store that can be left as a killed process would leave it, and opened again."""

    store: Store

    def restart(self) -> Store:
        """What the next process opens."""

    def close(self) -> None: ...


class SqliteHarness:
    """A ledger in a file."""

    def __init__(self, path: Path, batches: Iterable[Batch] = BATCHES, files: Sequence[SourceFile] = FILES) -> None:
        self.frozen = freeze_job(path, batches, files)
        self._path = path
        self.store: Store = SqliteStore.open(path, write=True)

    def restart(self) -> Store:
        self.store.close()
        self.store = SqliteStore.open(self._path, write=True)
        return self.store

    def close(self) -> None:
        self.store.close()


class MemoryHarness:
    """A ledger in memory."""

    def __init__(self, batches: Iterable[Batch] = BATCHES, files: Sequence[SourceFile] = FILES) -> None:
        memory, self.frozen = MemoryStore.frozen(batches, ops=OPS, files=files)
        self._memory = memory
        self.store: Store = memory

    def restart(self) -> Store:
        self._memory.restart()
        return self._memory

    def close(self) -> None:
        self._memory.close()


@dataclass(frozen=True)
class Outcome:
    """How an attempt goes, as the tests say it."""

    verdict: Verdict
    status: Status
    http: int | None = 200
    code: int | None = 0
    label: str = "0"
    info: str = ""
    sent: bool = True
    charges: bool = False
    in_doubt: bool = False


SUCCEEDED: Final = Outcome(Verdict.SUCCEEDED, Status.SUCCEEDED)
ABSENT: Final = Outcome(Verdict.ABSENT, Status.ABSENT, code=51009, label="51009", info="not found")
FAILED: Final = Outcome(Verdict.REFUSED, Status.FAILED, code=50002, label="50002", info="bad parameter")
BUSY: Final = Outcome(Verdict.TRANSIENT, Status.PENDING, code=50004, label="50004", info="try again", charges=True)
EXHAUSTED: Final = Outcome(Verdict.TRANSIENT, Status.EXHAUSTED, code=50004, label="50004", charges=True)
TIMEOUT: Final = Outcome(
    Verdict.UNANSWERED, Status.PENDING, http=None, code=None, label="timeout", info="no answer", charges=True, in_doubt=True
)
IN_DOUBT: Final = Outcome(
    Verdict.UNANSWERED, Status.IN_DOUBT, http=502, code=None, label="http_502", charges=True, in_doubt=True
)
THROTTLED: Final = Outcome(Verdict.THROTTLED, Status.PENDING, code=60007, label="60007")
NOT_SENT: Final = Outcome(Verdict.NOT_SENT, Status.PENDING, http=None, code=None, label="refused", info="refused", sent=False)

OUTCOMES: Final = (SUCCEEDED, ABSENT, FAILED, BUSY, EXHAUSTED, TIMEOUT, IN_DOUBT, THROTTLED, NOT_SENT)


@dataclass
class Driver:
    """Does with a store what the engine does with it, one change at a time."""

    store: Store
    process: int
    now: int = START
    sending: dict[int, tuple[int, Operation]] = field(default_factory=dict)  # by seq: API, operation before the attempt

    @classmethod
    def start(cls, store: Store, at: int = START, sdkappid: int = 1400000001) -> Driver:
        """A driver in a process of its own."""
        return cls(store, store.start_process(a_process(at, sdkappid)), at)

    def changes(self) -> Changes:
        self.now += SECOND
        return Changes(self.process, seen_at=self.now)

    def begin(self, api: int, *operations: Operation) -> Tally:
        """Begin an attempt for each."""
        changes = self.changes()
        changes.intents = [(api, Intent(each.seq, each.number + 1, self.now)) for each in operations]
        self.sending.update({each.seq: (api, each) for each in operations})
        return self.store.apply(changes)

    def settle(self, seq: int, outcome: Outcome) -> Operation:
        """Settle what is under way; the operation as it is then."""
        changes = self.changes()
        api, before = self.sending.pop(seq)
        settlement, after = settled(before, outcome, self.now - SECOND, self.now)
        changes.settlements = [(api, settlement)]
        self.store.apply(changes)
        return after

    def withdraw(self, seq: int) -> Operation:
        """Take an intent back."""
        changes = self.changes()
        changes.withdrawals = [self.sending.pop(seq)]
        self.store.apply(changes)
        return changes.withdrawals[0][1]

    def carry_out(self, api: int, outcome: Outcome) -> Operation:
        """Claim, begin and settle the next operation of an API."""
        operation = self.store.claim(api, 1)[0]
        self.begin(api, operation)
        return self.settle(operation.seq, outcome)

    def again(self, api: int, operation: Operation, outcome: Outcome) -> Operation:
        """Another attempt for an operation that waits."""
        self.begin(api, operation)
        return self.settle(operation.seq, outcome)


def settled(before: Operation, outcome: Outcome, begun_at: int, answered_at: int) -> tuple[Settlement, Operation]:
    """The settlement of an operation's attempt, and the operation after it."""
    after = Operation(
        before.seq,
        before.content,
        before.number + 1,
        before.charged + outcome.charges,
        before.calls + outcome.sent,
        before.in_doubt or outcome.in_doubt,
    )
    settlement = Settlement(
        seq=after.seq,
        number=after.number,
        begun_at=begun_at,
        answered_at=answered_at,
        verdict=outcome.verdict,
        status=outcome.status,
        http=outcome.http,
        code=outcome.code,
        label=outcome.label,
        info=outcome.info,
        sent=outcome.sent,
        charged=after.charged,
        calls=after.calls,
        in_doubt=after.in_doubt,
    )
    return settlement, after


def by_status(figures: Figures) -> dict[Status, int]:
    """Operations of all APIs by status, without zeros."""
    total = {status: sum(api.by_status[status] for api in figures.apis.values()) for status in Status}
    return {status: count for status, count in total.items() if count}


def reconciles(figures: Figures) -> bool:
    """Whether the figures agree with one another."""
    return (
        figures.rows == figures.operations + figures.duplicates + figures.invalid
        and figures.operations == sum(api.operations for api in figures.apis.values())
        and all(
            api.operations == sum(api.by_status.values())
            and min(api.by_status.values()) >= 0
            and api.calls == sum(api.codes.values())
            and api.retried <= api.calls
            and sum(api.refused.values()) == api.by_status[Status.FAILED]
            for api in figures.apis.values()
        )
    )


def everything(store: Store) -> list[object]:
    """All that a ledger says."""
    return [
        store.job(),
        store.files(),
        store.processes(),
        store.figures(),
        list(store.contents()),
        list(store.rows()),
        [store.attempts(seq) for seq in range(1, store.job().rows + 1)],
        store.orphans(1000),
    ]


def copied(path: Path, folder: Path, *suffixes: str) -> Path:
    """A copy of a ledger in another folder, with the files beside it that end in `suffixes`, as a kill would leave them.

    By another process: closing a descriptor of an open ledger would drop this process's locks on it.
    """
    folder.mkdir(exist_ok=True)
    sources = [f"{path}{suffix}" for suffix in ("", *suffixes) if Path(f"{path}{suffix}").exists()]
    subprocess.run(["cp", *sources, str(folder)], check=True)
    return folder / path.name


def flipped(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))
