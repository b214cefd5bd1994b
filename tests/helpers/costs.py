"""What the tests of costs share: operations of a real engine on a real ledger, in virtual time, with every call counted.

Counts, not seconds: they say the same on a slow machine and on a busy one.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import bulkops
from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.run import Engine
from bulkops.ledger import GroupCommit, SqliteStore, freeze
from bulkops.model import Batch, FrozenRow, ProcessRecord, SourceFile
from bulkops.testing import ScriptedClient, VirtualClock, VirtualTimeLoop, ok, run_virtual

LIMIT = 200
PACKAGE = Path(bulkops.__file__).parent


@dataclass
class Count:
    """Functions of bulkops that were entered, and built-in ones that they called."""

    calls: int = 0


@contextmanager
def counting() -> Iterator[Count]:
    """Count what bulkops' own code does in this thread: not what an event loop does, whose timers depend on the loop."""
    count = Count()
    ours: dict[str, bool] = {}

    def note(frame: FrameType, event: str, _arg: object) -> None:
        if event in {"call", "c_call"}:
            name = frame.f_code.co_filename
            if name not in ours:
                ours[name] = PACKAGE in Path(name).parents and Path(name).name != "testing.py"
            count.calls += ours[name]

    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(None)


def content(n: int) -> str:
    """What a conversation's deletion asks for, as long as real ones are."""
    return f"user_{n:08d}\t1\tpeer_{n * 7:08d}\t\t1"


def frozen_ledger(path: Path, operations: int) -> None:
    """A ledger of so many deletions, in which nothing was begun."""
    rows = [FrozenRow(0, content(n), f"ref-{n}", n + 2) for n in range(operations)]
    freeze(
        path,
        [Batch(0, rows, ())],
        ops=[(api.op, api.has_option) for api in APIS],
        files=lambda: [SourceFile("job.csv", "", 0, operations)],
        sandbox=False,
        at=1,
    )


@dataclass(frozen=True)
class Carried:
    """What carrying a job out took.

    Args:
        calls: As in `Count`, from the first operation to the last.
        tasks: Made meanwhile.
        transactions: Groups that became durable.
        size: Bytes of the closed ledger.
    """

    calls: int
    tasks: int
    transactions: int
    size: int


def carry_out(path: Path, operations: int) -> Carried:
    """Carry out a job of so many operations on one lane, in virtual time, with its ledger on disk."""
    frozen_ledger(path, operations)

    async def main(loop: VirtualTimeLoop) -> tuple[int, int, int]:
        tasks = _count_tasks(loop)
        clock = VirtualClock(loop)
        store = SqliteStore.open(path, write=True)
        groups = _count_applies(store)
        process = store.start_process(_process(clock.utc()))
        ledger = GroupCommit(store, process=process, clock=clock, inline=True)
        await ledger.start()
        engine = Engine(
            apis=[(0, APIS[0], LIMIT, round(LIMIT * PLACES))],
            ledger=ledger,
            client=ScriptedClient(lambda *_: ok(), clock=loop.time, latency=0.08),
            judge=judge,
            clock=clock,
            policy=Policy(),
            rng=random.Random(1),
        )
        with counting() as count:
            await engine.carry_out()
        await ledger.aclose()
        store.close()
        return count.calls, tasks(), groups()

    calls, tasks, transactions = run_virtual(main)
    return Carried(calls, tasks, transactions, path.stat().st_size)


def _process(at: int) -> ProcessRecord:
    return ProcessRecord(
        number=0,
        operator="test",
        host="test",
        pid=1,
        version="0",
        sdkappid=1,
        identifier="admin",
        endpoint="https://test.invalid",
        settings={},
        started_at=at,
    )


def _count_tasks(loop: asyncio.AbstractEventLoop) -> Callable[[], int]:
    made = 0

    def factory(loop: asyncio.AbstractEventLoop, coroutine: object, **more: object) -> asyncio.Task[object]:
        nonlocal made
        made += 1
        return asyncio.Task(coroutine, loop=loop, **more)  # type: ignore[arg-type]  # as asyncio's own factory

    loop.set_task_factory(factory)  # type: ignore[arg-type]  # its stub wants a Future of its own kind
    return lambda: made


def _count_applies(store: SqliteStore) -> Callable[[], int]:
    made = 0
    apply = store.apply

    def counted(changes: object) -> object:
        nonlocal made
        made += 1
        return apply(changes)  # type: ignore[arg-type]  # handed on

    store.apply = counted  # type: ignore[assignment,method-assign]  # the store is this trial's own
    return lambda: made
