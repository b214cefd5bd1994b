"""Groups of changes: when they leave, what is counted, what a failure does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bulkops.errors import LedgerError
from bulkops.ledger import Changes, GroupCommit, MemoryStore, SqliteStore
from bulkops.ledger.group import HEARTBEAT
from bulkops.ledger.tally import Tally
from bulkops.model import Intent, Operation, Settlement, Status
from tests.helpers.ledger import (
    BUSY,
    CONVERSATION,
    NOT_SENT,
    OPS,
    START,
    SUCCEEDED,
    a_process,
    by_status,
    freeze_job,
    settled,
    simple_job,
)


class Clock:
    """Stands still unless it is told to move."""

    def __init__(self) -> None:
        self.now = START

    def monotonic(self) -> float:
        return self.now / 1e6

    def utc(self) -> int:
        return self.now


class Scripted:
    """A ledger in memory that keeps every group, can be held, and can be told to fail."""

    def __init__(self, operations: int = 20) -> None:
        self.memory = MemoryStore.frozen(simple_job(operations), ops=OPS, files=[])[0]
        self.process = self.memory.start_process(a_process())
        self.groups: list[Changes] = []
        self.error: BaseException | None = None
        self.claim_error: LedgerError | None = None
        self.applied: Callable[[], object] = lambda: None
        self.go = threading.Event()
        self.go.set()
        self.job = self.memory.job
        self.processes = self.memory.processes
        self.tally = self.memory.tally

    def claim(self, api: int, limit: int) -> list[Operation]:
        assert self.go.wait(5)
        if self.claim_error is not None:
            raise self.claim_error
        return self.memory.claim(api, limit)

    def apply(self, changes: Changes) -> Tally:
        assert self.go.wait(5)
        self.groups.append(changes)
        self.applied()
        if self.error is not None:
            raise self.error
        return self.memory.apply(changes)


@asynccontextmanager
async def group(store: Scripted, *, interval: float = 0.0, inline: bool = True) -> AsyncIterator[GroupCommit]:
    """A started group commit over a store."""
    commit = GroupCommit(store, process=store.process, clock=Clock(), interval=interval, inline=inline)
    await commit.start()
    try:
        yield commit
    finally:
        store.go.set()
        await commit.aclose()


def intent(operation: Operation) -> Intent:
    return Intent(operation.seq, operation.number + 1, START)


def success(operation: Operation) -> Settlement:
    return settled(operation, SUCCEEDED, START, START + 1000)[0]


@pytest.mark.parametrize("inline", [True, False])
async def test_an_attempt_is_begun_once_it_is_durable(inline: bool) -> None:
    """The wait ends with the commit, and only then the operation counts as sending."""
    store = Scripted()
    async with group(store, inline=inline) as ledger:
        first, second = await ledger.claim(CONVERSATION, 2)
        if not inline:
            store.go.clear()
        waiting = asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(first), intent(second)]))
        if not inline:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            assert by_status(ledger.figures) == {Status.PENDING: 20}
            store.go.set()
        await waiting
        assert by_status(ledger.figures) == {Status.PENDING: 18, Status.SENDING: 2}


@pytest.mark.parametrize("inline", [True, False])
async def test_a_result_is_counted_once_it_is_durable(inline: bool) -> None:
    """Not when it is noted."""
    store = Scripted()
    async with group(store, inline=inline) as ledger:
        (operation,) = await ledger.claim(CONVERSATION, 1)
        await ledger.begin(CONVERSATION, [intent(operation)])
        ledger.settle(CONVERSATION, success(operation))
        assert ledger.figures.apis["delete_conversation"].calls == 0
        await ledger.flush()
        assert ledger.figures.apis["delete_conversation"].calls == 1
        assert by_status(ledger.figures) == {Status.PENDING: 19, Status.SUCCEEDED: 1}
        assert ledger.figures is ledger.figures


async def test_what_is_noted_in_one_turn_of_the_loop_becomes_one_group() -> None:
    """One sync for many operations."""
    store = Scripted()
    async with group(store) as ledger:
        operations = await ledger.claim(CONVERSATION, 10)
        await asyncio.gather(*(ledger.begin(CONVERSATION, [intent(each)]) for each in operations))
        assert len(store.groups) == 1


async def test_what_comes_while_a_group_is_under_way_becomes_the_next_one() -> None:
    """However long the disk takes: the loop goes on."""
    store = Scripted()
    async with group(store, inline=False) as ledger:
        operations = await ledger.claim(CONVERSATION, 10)
        store.go.clear()
        waits = [asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(operations[0])]))]
        await asyncio.sleep(0)
        waits += [asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(each)])) for each in operations[1:]]
        store.go.set()
        await asyncio.gather(*waits)
        assert [len(changes.intents) for changes in store.groups] == [1, 9]


async def test_under_load_groups_leave_at_least_an_interval_apart() -> None:
    """And at once when nothing was under way for longer than that."""
    store = Scripted()
    loop = asyncio.get_running_loop()
    async with group(store, interval=0.03) as ledger:
        one, two, three = await ledger.claim(CONVERSATION, 3)
        began = loop.time()
        await ledger.begin(CONVERSATION, [intent(one)])
        at_once = loop.time() - began
        await ledger.begin(CONVERSATION, [intent(two)])
        await ledger.begin(CONVERSATION, [intent(three)])
        assert at_once < 0.03 <= 0.06 <= loop.time() - began + 0.001
        assert len(store.groups) == 3


async def test_a_flush_does_not_wait_for_the_interval() -> None:
    """Whoever flushes is about to end."""
    store = Scripted()
    async with group(store, interval=60.0) as ledger:
        one, two = await ledger.claim(CONVERSATION, 2)
        await ledger.begin(CONVERSATION, [intent(one)])
        waiting = asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(two)]))
        ledger.settle(CONVERSATION, success(one))
        async with asyncio.timeout(5):
            await ledger.flush()
            await waiting
        assert len(store.groups) == 2


async def test_a_flush_with_nothing_noted_returns_at_once_and_with_a_group_under_way_waits_for_it() -> None:
    """Everything noted so far, no more."""
    store = Scripted()
    async with group(store, inline=False) as ledger:
        await ledger.flush()
        assert store.groups == []
        (operation,) = await ledger.claim(CONVERSATION, 1)
        store.go.clear()
        waiting = asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(operation)]))
        await asyncio.sleep(0)
        flush = asyncio.ensure_future(ledger.flush())
        await asyncio.sleep(0)
        assert not flush.done()
        store.go.set()
        await flush
        assert waiting.done()


async def test_a_cancelled_wait_takes_nothing_back() -> None:
    """The intent is durable all the same, and others still wait."""
    store = Scripted()
    async with group(store, inline=False) as ledger:
        one, two = await ledger.claim(CONVERSATION, 2)
        store.go.clear()
        waits = [asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(each)])) for each in (one, two)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.sleep(0)
        store.go.set()
        await waits[1]
        assert waits[0].cancelled()
        assert by_status(ledger.figures)[Status.SENDING] == 2


async def test_what_is_taken_back_before_it_was_durable_comes_after_it() -> None:
    """An intent and its withdrawal never meet in one group, in whatever order a group is written."""
    store = Scripted()
    async with group(store) as ledger:
        (operation,) = await ledger.claim(CONVERSATION, 1)
        asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(operation)])).cancel()
        ledger.withdraw(CONVERSATION, operation)
        await ledger.flush()
        assert by_status(ledger.figures) == {Status.PENDING: 20}
        again = ledger.begin(CONVERSATION, [intent(operation)])
        ledger.settle(CONVERSATION, settled(operation, NOT_SENT, START, START)[0])
        await again
        await ledger.flush()
        assert by_status(ledger.figures) == {Status.PENDING: 20}
        assert len(store.memory.attempts(operation.seq)) == 1


async def test_a_settled_attempt_and_the_next_one_may_share_a_group() -> None:
    """A backoff shorter than the interval costs no extra sync."""
    store = Scripted()
    async with group(store) as ledger:
        (operation,) = await ledger.claim(CONVERSATION, 1)
        await ledger.begin(CONVERSATION, [intent(operation)])
        settlement, after = settled(operation, BUSY, START, START)
        ledger.settle(CONVERSATION, settlement)
        await ledger.begin(CONVERSATION, [intent(after)])
        assert len(store.groups) == 2
        assert by_status(ledger.figures) == {Status.PENDING: 19, Status.SENDING: 1}
        ledger.settle(CONVERSATION, success(after))


@pytest.mark.parametrize("inline", [True, False])
async def test_a_failed_commit_is_final(inline: bool) -> None:
    """Every waiter is told, nothing is written again, nothing is counted that is not durable."""
    store = Scripted()
    told: list[LedgerError] = []
    ledger = GroupCommit(store, process=store.process, clock=Clock(), interval=0.01, inline=inline, on_failed=told.append)
    await ledger.start()
    one, two, three = await ledger.claim(CONVERSATION, 3)
    await ledger.begin(CONVERSATION, [intent(one)])
    store.error = LedgerError("the disk failed")
    first = asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(two)]))
    second = asyncio.ensure_future(ledger.flush())
    results: list[object] = list(await asyncio.gather(first, second, return_exceptions=True))
    assert results == [store.error, store.error]
    assert told == [store.error]
    assert ledger.failed is told[0]

    store.error = None
    ledger.settle(CONVERSATION, success(one))
    ledger.withdraw(CONVERSATION, two)
    with pytest.raises(LedgerError, match="the disk failed"):
        await ledger.begin(CONVERSATION, [intent(three)])
    with pytest.raises(LedgerError):
        await ledger.flush()
    with pytest.raises(LedgerError):
        await ledger.claim(CONVERSATION, 1)
    await ledger.aclose()
    assert len(store.groups) == 2
    assert by_status(ledger.figures) == {Status.PENDING: 19, Status.SENDING: 1}


async def test_a_defect_in_a_commit_stops_the_run_as_well() -> None:
    """Whatever it is: what is not durable must not be sent."""
    store = Scripted()
    async with group(store) as ledger:
        (operation,) = await ledger.claim(CONVERSATION, 1)
        store.error = KeyError("oops")
        with pytest.raises(LedgerError, match="a defect of bulkops") as caught:
            await ledger.begin(CONVERSATION, [intent(operation)])
        assert caught.value.__cause__ is store.error


@pytest.mark.parametrize("inline", [True, False])
async def test_a_ledger_that_can_not_be_read_has_failed(inline: bool) -> None:
    """A damaged page in a large ledger is found when it is read."""
    store = Scripted()
    async with group(store, inline=inline) as ledger:
        store.claim_error = LedgerError("damaged")
        with pytest.raises(LedgerError, match="damaged"):
            await ledger.claim(CONVERSATION, 1)
        assert ledger.failed is store.claim_error


async def test_a_group_that_succeeds_after_a_failed_claim_is_counted_and_the_last_one() -> None:
    """It is durable; but nothing leaves any more."""
    store = Scripted()
    async with group(store, inline=False) as ledger:
        one, two = await ledger.claim(CONVERSATION, 2)
        store.go.clear()
        waiting = asyncio.ensure_future(ledger.begin(CONVERSATION, [intent(one)]))
        await asyncio.sleep(0)
        ledger.begin(CONVERSATION, [intent(two)])
        store.claim_error = LedgerError("damaged")
        claim = asyncio.ensure_future(ledger.claim(CONVERSATION, 1))
        await asyncio.sleep(0)
        ledger._fail(store.claim_error)
        store.go.set()
        results: list[object] = list(await asyncio.gather(waiting, claim, return_exceptions=True))
        assert results == [store.claim_error, store.claim_error]
    for _ in range(3):  # the writer's thread has ended; its news takes a few turns of the loop
        await asyncio.sleep(0)
    assert len(store.groups) == 1
    assert by_status(ledger.figures) == {Status.PENDING: 19, Status.SENDING: 1}


async def test_a_claim_that_fails_after_its_cancellation_is_nobodys() -> None:
    """No warning of an exception that nobody fetched; the next claim meets the damage itself."""
    store = Scripted()
    async with group(store, inline=False) as ledger:
        store.go.clear()
        store.claim_error = LedgerError("damaged")
        claim = asyncio.ensure_future(ledger.claim(CONVERSATION, 3))
        await asyncio.sleep(0)
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)
        store.go.set()
        with pytest.raises(LedgerError, match="damaged"):
            await ledger.claim(CONVERSATION, 3)


async def test_a_cancelled_claim_loses_no_operation() -> None:
    """What it brought goes to the next one."""
    store = Scripted(5)
    async with group(store, inline=False) as ledger:
        store.go.clear()
        claim = asyncio.ensure_future(ledger.claim(CONVERSATION, 3))
        await asyncio.sleep(0)
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)
        store.go.set()
        claimed: list[int] = []
        while len(claimed) < 5:
            claimed += [each.seq for each in await ledger.claim(CONVERSATION, 2)]
        assert sorted(claimed) == [1, 2, 3, 4, 5]
        assert await ledger.claim(CONVERSATION, 2) == []


async def test_a_closed_ledger_takes_no_intents() -> None:
    """Everything noted before the close is durable."""
    store = Scripted()
    ledger = GroupCommit(store, process=store.process, clock=Clock(), inline=True, interval=60.0)
    one, two = await ledger.claim(CONVERSATION, 2)
    await ledger.begin(CONVERSATION, [intent(one)])
    ledger.settle(CONVERSATION, success(one))
    await ledger.aclose()
    assert by_status(store.memory.figures()) == {Status.PENDING: 19, Status.SUCCEEDED: 1}
    with pytest.raises(LedgerError, match="closed"):
        await ledger.begin(CONVERSATION, [intent(two)])


async def test_an_idle_ledger_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a killed process can be told from one that waits, and its time be counted."""
    monkeypatch.setattr("bulkops.ledger.group.HEARTBEAT", 0.01)
    assert HEARTBEAT <= 2.0
    store = Scripted()
    clock = Clock()
    beat, failed = asyncio.Event(), asyncio.Event()
    store.applied = beat.set
    ledger = GroupCommit(store, process=store.process, clock=clock, inline=True, on_failed=lambda _: failed.set())
    await ledger.start()
    clock.now = START + 3_000_000
    async with asyncio.timeout(5):
        await beat.wait()
    assert store.memory.processes()[0].seen_at == START + 3_000_000
    assert ledger.figures.elapsed == 3.0
    store.error = LedgerError("gone")
    async with asyncio.timeout(5):
        await failed.wait()
    beats = len(store.groups)
    await asyncio.sleep(0.03)
    assert len(store.groups) == beats
    await ledger.aclose()


async def test_elapsed_is_of_all_processes() -> None:
    """Those before this one, and this one as far as it was seen."""
    store = Scripted()
    store.memory.end_process(store.process, START + 10_000_000, "", 4)
    process = store.memory.start_process(a_process(START + 100_000_000))
    clock = Clock()
    clock.now = START + 102_500_000
    ledger = GroupCommit(store, process=process, clock=clock, inline=True)
    await ledger.begin(CONVERSATION, [intent((await ledger.claim(CONVERSATION, 1))[0])])
    assert ledger.figures.elapsed == store.memory.elapsed() == 12.5
    await ledger.aclose()


async def test_over_a_file_figures_stay_what_the_file_says(tmp_path: Path) -> None:
    """With a real thread and a real disk, claims beside commits."""
    freeze_job(tmp_path / "job.db", simple_job(200))
    with SqliteStore.open(tmp_path / "job.db", write=True) as store:
        process = store.start_process(a_process())
        ledger = GroupCommit(store, process=process, clock=Clock(), interval=0.002)
        await ledger.start()
        while claimed := await ledger.claim(CONVERSATION, 30):
            await ledger.begin(CONVERSATION, [intent(each) for each in claimed])
            for each in claimed:
                ledger.settle(CONVERSATION, success(each))
        await ledger.aclose()
        assert ledger.figures == store.figures()
        assert by_status(store.figures()) == {Status.SUCCEEDED: 200}
