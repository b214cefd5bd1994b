"""Gathers what the engine notes into groups that become durable together: one sync for many operations.

While one group is on its way to the disk, the next one gathers. When idle a group leaves at once; under load groups leave at
least `interval` apart. The work is done by a thread of its own, so that a slow disk never holds the event loop.

A failed group is final: after a failed sync the disk may claim anything, and a later "done" would be worth nothing. So every
waiter is told, nothing is written any more, and what was begun stays in doubt.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from bulkops.errors import LedgerError
from bulkops.ledger.records import Changes, JobRecord
from bulkops.ledger.tally import Tally
from bulkops.model import Figures, Intent, Operation, ProcessRecord, Settlement

HEARTBEAT: Final = 2.0
"""Seconds between signs of life while nothing is noted."""


class Store(Protocol):
    """What a group is made durable in. `claim` may be called while another thread is in `apply`."""

    def job(self) -> JobRecord: ...
    def processes(self) -> list[ProcessRecord]: ...
    def tally(self) -> Tally: ...
    def claim(self, api: int, limit: int) -> list[Operation]: ...
    def apply(self, changes: Changes) -> Tally: ...


class Clock(Protocol):
    """As the engine's."""

    def monotonic(self) -> float: ...
    def utc(self) -> int: ...


class _Group:
    """Changes that become durable together, and who waits for that."""

    __slots__ = ("begun", "changes", "waiters")

    def __init__(self, process: int) -> None:
        self.changes = Changes(process)
        self.begun: set[int] = set()
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def empty(self) -> bool:
        changes = self.changes
        return not (changes.settlements or changes.intents or changes.withdrawals or self.waiters)


class GroupCommit:
    """The engine's ledger, over a store.

    Args:
        store: Where things become durable. Nobody else may write to it meanwhile.
        process: Number of the process that writes, as `start_process` gave it.
        clock: For the times that are written down.
        interval: Seconds between two groups under load.
        inline: Work on the event loop instead of a thread: for virtual time, where it is deterministic.
        on_failed: Called on the loop, once, as soon as the ledger can't be written any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        process: int,
        clock: Clock,
        interval: float = 0.05,
        inline: bool = False,
        on_failed: Callable[[LedgerError], object] | None = None,
    ) -> None:
        self._store = store
        self._process = process
        self._clock = clock
        self._interval = interval
        self._on_failed = on_failed
        self._failed: LedgerError | None = None
        self._closed = False
        self._groups: deque[_Group] = deque([_Group(process)])  # the last one gathers
        self._under_way: _Group | None = None
        self._hurry = False  # somebody waits in `flush`
        self._next_at = 0.0  # loop time before which no group leaves, unless in a hurry
        self._timer: asyncio.Handle | None = None
        self._heart: asyncio.TimerHandle | None = None
        self._left_over: defaultdict[int, deque[Operation]] = defaultdict(deque)  # claimed by somebody who was cancelled
        self._writer = None if inline else ThreadPoolExecutor(1, "bulkops-ledger")
        self._claimer = None if inline else ThreadPoolExecutor(1, "bulkops-claim")
        self._job = store.job()
        self._tally = store.tally()
        self._figures: Figures | None = None
        own = [record for record in store.processes() if record.number == process]
        self._started_at = own[0].started_at if own else clock.utc()
        self._seen_at = self._started_at
        self._elapsed_before = sum(_elapsed(record) for record in store.processes() if record.number != process)

    async def start(self) -> None:
        """Begin to give signs of life."""
        self._schedule_heartbeat()

    async def aclose(self) -> None:
        """Make durable what was noted, and end the threads. The store stays open.

        Raises:
            LedgerError: The last group could not be made durable (an earlier failure is not raised again).
        """
        self._closed = True
        if self._heart is not None:
            self._heart.cancel()
        try:
            if self._failed is None:
                await self.flush()
        finally:
            for executor in (self._writer, self._claimer):
                if executor is not None:
                    executor.shutdown()  # what it is at takes milliseconds; the store must not be closed under it

    # -- What the engine notes ---------------------------------------------------------------------------------------

    async def claim(self, api: int, limit: int) -> Sequence[Operation]:
        """The next pending operations of one API; see `SqliteStore.claim`. A cancelled claim loses none.

        Raises:
            LedgerError: The ledger can't be read; it counts as failed then.
        """
        self._check()
        left_over = self._left_over[api]
        if left_over:
            return [left_over.popleft() for _ in range(min(limit, len(left_over)))]
        try:
            if self._claimer is None:
                return self._store.claim(api, limit)
            future = asyncio.get_running_loop().run_in_executor(self._claimer, self._store.claim, api, limit)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                future.add_done_callback(partial(self._keep, api))
                raise
        except LedgerError as exc:
            self._fail(exc)
            raise

    def begin(self, api: int, intents: Sequence[Intent]) -> Awaitable[None]:
        """Note attempts about to be made; done once that is durable. Cancelling the wait takes nothing back.

        Raises:
            LedgerError: From the wait: they are not durable.
        """
        waiter = asyncio.get_running_loop().create_future()
        if self._failed is not None or self._closed:
            waiter.set_exception(self._failed or LedgerError("the ledger is closed"))
            return waiter
        group = self._groups[-1]
        group.changes.intents.extend([(api, intent) for intent in intents])
        group.begun.update([intent.seq for intent in intents])
        group.waiters.append(waiter)
        self._schedule()
        return waiter

    def settle(self, api: int, settlement: Settlement) -> None:
        """Note what became of an attempt. Once the ledger has failed nothing is noted: the attempt stays in doubt."""
        if self._failed is None:
            self._group_after(settlement.seq).changes.settlements.append((api, settlement))
            self._schedule()

    def withdraw(self, api: int, operation: Operation) -> None:
        """Take an intent back; `operation` is as it was before. Once the ledger has failed nothing is noted."""
        if self._failed is None:
            self._group_after(operation.seq).changes.withdrawals.append((api, operation))
            self._schedule()

    async def flush(self) -> None:
        """Wait until everything noted so far is durable.

        Raises:
            LedgerError: It could not be made so.
        """
        self._check()
        group = self._groups[-1]
        if group.empty:
            if self._under_way is None:
                return
            group = self._under_way
        waiter = asyncio.get_running_loop().create_future()
        group.waiters.append(waiter)
        self._hurry = True
        self._schedule()
        await waiter

    @property
    def figures(self) -> Figures:
        """Counts of everything durable; put together when asked, from counts that are kept."""
        if self._figures is None:
            elapsed = self._elapsed_before + max(0, self._seen_at - self._started_at) / 1e6
            self._figures = self._tally.figures(self._job, elapsed)
        return self._figures

    @property
    def failed(self) -> LedgerError | None:
        """Why the ledger can't be written any more, once it can't."""
        return self._failed

    # -- Groups --------------------------------------------------------------------------------------------------------

    def _group_after(self, seq: int) -> _Group:
        """The gathering group, or a new one where the gathering one begins this operation: that has to come before."""
        if seq in self._groups[-1].begun:
            self._groups.append(_Group(self._process))
        return self._groups[-1]

    def _schedule(self) -> None:
        """See that the next group leaves: at once, or when it may."""
        if self._under_way is not None:
            return
        if self._timer is not None:
            if not self._hurry:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        if self._hurry or loop.time() >= self._next_at:
            self._timer = loop.call_soon(self._commit)  # with whatever else is noted in this turn of the loop
        else:
            self._timer = loop.call_at(self._next_at, self._commit)

    def _commit(self) -> None:
        """Send the oldest group on its way."""
        self._timer = None
        group = self._groups.popleft()
        if not self._groups:
            self._groups.append(_Group(self._process))
        group.changes.seen_at = self._clock.utc()
        loop = asyncio.get_running_loop()
        self._next_at = loop.time() + self._interval
        self._under_way = group
        if self._writer is not None:
            future = loop.run_in_executor(self._writer, self._store.apply, group.changes)
            future.add_done_callback(partial(self._committed, group))
            return
        try:
            added = self._store.apply(group.changes)
        except Exception as exc:  # noqa: BLE001 - kept, and raised to everyone who waits
            self._fail(exc)
        else:
            self._durable(group, added)

    def _committed(self, group: _Group, future: asyncio.Future[Tally]) -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._durable(group, future.result())
        else:
            self._fail(error)

    def _durable(self, group: _Group, added: Tally) -> None:
        """Only now is it counted, and only now may anything leave."""
        self._tally.add(added)
        self._seen_at = max(self._seen_at, group.changes.seen_at)
        self._figures = None
        self._under_way = None
        for waiter in group.waiters:
            if not waiter.done():
                waiter.set_result(None)
        if len(self._groups) > 1 or not self._groups[-1].empty:
            self._schedule()
        else:
            self._hurry = False

    def _fail(self, cause: BaseException) -> None:
        if self._failed is not None:
            return
        if isinstance(cause, LedgerError):
            error = cause
        else:
            error = LedgerError(
                f"the ledger could not be written, by a defect of bulkops ({type(cause).__name__}): please report it"
            )
            error.__cause__ = cause
        self._failed = error
        under_way = [] if self._under_way is None else [self._under_way]
        for group in (*under_way, *self._groups):
            for waiter in group.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        self._under_way = None
        self._groups = deque([_Group(self._process)])
        if self._timer is not None:
            self._timer.cancel()
        if self._heart is not None:
            self._heart.cancel()
        if self._on_failed is not None:
            self._on_failed(error)

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _schedule_heartbeat(self) -> None:
        self._heart = asyncio.get_running_loop().call_later(HEARTBEAT, self._beat)

    def _beat(self) -> None:
        if self._under_way is None and self._timer is None:
            self._commit()
        if self._failed is None:
            self._schedule_heartbeat()

    def _keep(self, api: int, future: asyncio.Future[list[Operation]]) -> None:
        """What a cancelled claim brought, for the next one."""
        if not future.cancelled() and future.exception() is None:
            self._left_over[api].extend(future.result())


def _elapsed(record: ProcessRecord) -> float:
    return max(0, (record.ended_at or record.seen_at) - record.started_at) / 1e6
