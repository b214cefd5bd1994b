"""The calls of one lane that are under way: places, durable intents, workers, and their way through the gate.

An operation comes in as soon as there is a place for it, its intent is made durable, a worker takes it, gets a connection
from the client, waits at the limiter and sends. Fixed workers: a task for every operation costs 1.2 kB and 18 µs.

Knows nothing of what a reply means, nor of modes, backoff or outages: replies go to the `Owner`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bulkops.engine.limiter import Limiter
from bulkops.engine.ports import Client, Clock, Ledger, NotDeparting
from bulkops.errors import LedgerError
from bulkops.model import Api, Intent, Operation, Outcome, Reply

STALE_LIMIT: Final = 20
"""Connections that may turn out closed in a row before a call counts as not sent: whoever accepts and closes is no backend."""


HANDS: Final = 300
"""Workers that a lane starts with at most: 1.5 s of the published rate."""

STRAINED: Final = 0.05
"""Seconds by which the event loop is late when it is the machine that limits: more connections would make all slower."""


class Turn:
    """One worker's way through the gate. Remembers whether, and when, its call left."""

    __slots__ = ("_crew", "alone", "departed", "departed_at", "left_at")

    def __init__(self, crew: Crew, *, alone: bool = False) -> None:
        self._crew = crew
        self.alone = alone
        self.departed = False
        self.departed_at = 0  # UTC, microseconds
        self.left_at = 0.0  # monotonic

    async def __call__(self, alive: Callable[[], bool]) -> None:
        crew = self._crew
        if crew.standing and not self.alone:
            raise NotDeparting("withdrawn")
        await crew.limiter.acquire(alive)
        self.departed = True
        self.departed_at = crew.clock.utc()
        self.left_at = crew.limiter.last_departure or 0.0
        crew.departed()

    def left(self) -> None:
        self._crew.limiter.left()


class Owner(Protocol):
    """Whom a crew works for."""

    def replied(self, operation: Operation, turn: Turn, reply: Reply) -> None:
        """A call came back; write down what it means."""

    def put_back(self, operation: Operation) -> None:
        """Its call never left: it is what it was."""

    def ledger_failed(self, error: LedgerError) -> None:
        """Nothing can be written any more."""

    def wake(self) -> None:
        """There may be room for more."""


class Crew:
    """Makes the calls of one lane.

    Args:
        index: The API's place in the catalog, as the ledger knows it.
        places: Calls that may be under way at once.
        ahead: Durable intents that may wait for their tokens.
    """

    def __init__(
        self,
        *,
        index: int,
        api: Api,
        places: int,
        ahead: int,
        limiter: Limiter,
        client: Client,
        ledger: Ledger,
        clock: Clock,
        owner: Owner,
    ) -> None:
        self.limiter = limiter
        self.clock = clock
        self.standing = False  # nobody but a call alone may leave
        self.halted = False
        self.in_flight = 0
        self._index = index
        self._api = api
        self._places = max(1, places)
        self.keep_ahead(ahead)
        self._client = client
        self._ledger = ledger
        self._owner = owner
        self._begun = 0  # intents that have not left
        self._ready: deque[Operation] = deque()  # of those, the ones that no worker has taken yet
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._hands = min(self._places, HANDS)  # workers that may be
        self.defect: BaseException | None = None

    def keep_ahead(self, intents: int) -> None:
        """Let so many durable intents wait for their tokens; at least one, at most a place for each."""
        self._ahead = max(1, min(self._places, intents))
        self._spare = max(1, self._ahead // 4)  # begin no fewer at once, or every departure costs a wake-up

    @property
    def ahead(self) -> int:
        """Durable intents that may wait for their tokens."""
        return self._ahead

    @property
    def busy(self) -> bool:
        """Whether any call is under way."""
        return self._begun + self.in_flight > 0

    @property
    def room(self) -> int:
        """How many operations should be begun now; 0 while a larger handful is worth waiting for."""
        room = min(self._ahead - self._begun, self._places - self._begun - self.in_flight)
        return 0 if room < self._spare and self.busy else room

    async def begin(self, operations: Sequence[Operation]) -> None:
        """Make intents durable, and hand them to the workers."""
        if not await self._make_durable(operations):
            return
        self._ready.extend(operations)
        for _ in operations:
            if self._idle:
                waiter = self._idle.popleft()
                if not waiter.done():
                    waiter.set_result(None)
            elif len(self._workers) < self._hands:
                worker = asyncio.create_task(self._work(), name=f"bulkops {self._api.op}")
                worker.add_done_callback(self._worker_ended)
                self._workers.append(worker)
            else:
                break

    async def call_alone(self, operation: Operation) -> None:
        """Make one call while the others stand."""
        if await self._make_durable([operation]):
            await self._call(operation, Turn(self, alone=True))

    def take_back(self) -> None:
        """Withdraw the intents that no worker has taken yet."""
        while self._ready:
            self._withdraw(self._ready.popleft())

    async def dismiss(self) -> None:
        """End the workers. What is in flight stays begun in the ledger: in doubt."""
        self.take_back()
        workers, self._workers = self._workers, []  # before the wait, which may be cancelled too
        for worker in workers:
            worker.cancel()
        self._idle.clear()
        await asyncio.gather(*workers, return_exceptions=True)

    def tick(self, late: float) -> None:
        """Let there be more workers where it is their number that limits.

        Args:
            late: Seconds by which the event loop is late.
        """
        if self._ready and len(self._workers) == self._hands and late < STRAINED:
            self._hands = min(self._places, 2 * self._hands)

    def departed(self) -> None:
        """A call has left: there is room for the next intent."""
        self._begun -= 1
        self.in_flight += 1
        if self._begun + self._spare <= self._ahead:
            self._owner.wake()

    async def _make_durable(self, operations: Sequence[Operation]) -> bool:
        """Note in the ledger that these are about to be called. Whether they may go."""
        self._begun += len(operations)
        begun_at = self.clock.utc()
        try:
            await self._ledger.begin(self._index, [Intent(each.seq, each.number + 1, begun_at) for each in operations])
        except LedgerError as error:
            self._begun -= len(operations)
            self._owner.ledger_failed(error)
            return False
        except asyncio.CancelledError:
            for operation in operations:
                self._withdraw(operation)
            raise
        if self.halted:
            for operation in operations:
                self._withdraw(operation)
            return False
        return True

    async def _work(self) -> None:
        """Make one call after another."""
        turn = Turn(self)
        while True:
            if self._ready:
                await self._call(self._ready.popleft(), turn)
            else:
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        """Workers end by being cancelled; any other end is a defect, which must not look like a lane that waits."""
        if not worker.cancelled() and self.defect is None:
            self.defect = worker.exception()
            self._owner.wake()

    async def _call(self, operation: Operation, turn: Turn) -> None:
        """Make one call for an operation whose intent is durable."""
        turn.departed = False
        try:
            reply = await self._client.send(self._api, operation.content, turn)
            for _ in range(STALE_LIMIT):
                # Its connection had gone before a byte left: the intent still stands, only the way was lost.
                if reply.outcome is not Outcome.NOT_SENT or reply.label != "stale_connection" or self.halted:
                    break
                self._come_back(turn)
                reply = await self._client.send(self._api, operation.content, turn)
        except asyncio.CancelledError:
            if turn.departed:
                self.in_flight -= 1
            else:
                self._withdraw(operation)
            raise
        if not turn.departed and (reply.label == "withdrawn" or (reply.label == "stale_connection" and self.halted)):
            self._withdraw(operation)
            return
        self._come_back(turn, settled=True)
        self._owner.replied(operation, turn, reply)
        if not self.busy or self._places - self._begun - self.in_flight <= self._spare:
            self._owner.wake()  # the last one is back, or places were short; else departures make the room

    def _come_back(self, turn: Turn, *, settled: bool = False) -> None:
        """Count a call that is back: settled, or about to try again."""
        if turn.departed:
            self.in_flight -= 1
            self._begun += 1
            turn.departed = settled
        if settled:
            self._begun -= 1

    def _withdraw(self, operation: Operation) -> None:
        """Its call never left: it is what it was."""
        self._begun -= 1
        if self._ledger.failed is None:
            self._ledger.withdraw(self._index, operation)
        self._owner.put_back(operation)
        self._owner.wake()
