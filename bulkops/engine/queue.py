"""A lane's operations on their way to a call: what comes from the ledger, what was withdrawn, what waits in backoff.

Holds no connection and no place. Memory is bounded: the ledger hands out a little at a time, and while too many wait for
another attempt nothing new is taken.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bulkops.model import Operation


class _Waiting(NamedTuple):
    ready_at: float
    order: int
    operation: Operation


class Queue:
    """Operations of one lane that are pending, in the order in which they should go.

    Args:
        claim: Takes the next operations from the ledger; empty once there are no more.
        waiting_limit: Operations in backoff above which nothing new is taken.
    """

    def __init__(self, claim: Callable[[int], Awaitable[Sequence[Operation]]], *, waiting_limit: int) -> None:
        self._claim = claim
        self._waiting_limit = waiting_limit
        self._fresh: deque[Operation] = deque()  # from the ledger, never tried by this process
        self._returned: deque[Operation] = deque()  # withdrawn: begun, but never left
        self._waiting: list[_Waiting] = []
        self._order = 0
        self._untried = 0  # in memory and without a single attempt
        self._exhausted = False
        self._short = False  # the ledger had less than it was asked for: nothing more is to be expected
        self.allowance: int | None = None
        """How many more operations may be taken from the ledger; `None` for all of them."""

    @property
    def waiting(self) -> int:
        """Operations in backoff."""
        return len(self._waiting)

    @property
    def untried_left(self) -> bool:
        """Whether operations without any attempt may be left, here or in the ledger."""
        return self._untried > 0 or not (self._dry or self._short)

    @property
    def _dry(self) -> bool:
        return self._exhausted or self.allowance == 0

    @property
    def empty(self) -> bool:
        """Nothing here and nothing more to come."""
        return self._dry and not (self._fresh or self._returned or self._waiting)

    def next_at(self) -> float | None:
        """When the first operation in backoff may go again."""
        return self._waiting[0].ready_at if self._waiting else None

    def put_back(self, operation: Operation) -> None:
        """Its call never left: it goes before all others."""
        self._untried += operation.number == 0
        self._returned.append(operation)

    def wait(self, operation: Operation, ready_at: float) -> None:
        """It goes again at `ready_at`."""
        self._order += 1
        heapq.heappush(self._waiting, _Waiting(ready_at, self._order, operation))

    def reopen(self, allowance: int | None) -> None:
        """Let so many more operations be taken from the ledger."""
        self.allowance = allowance

    async def refill(self, wanted: int) -> None:
        """See that `wanted` operations from the ledger are at hand, as far as there are so many."""
        while len(self._fresh) < wanted and not self._dry and len(self._waiting) < self._waiting_limit:
            limit = max(wanted, 2 * wanted - len(self._fresh))
            if self.allowance is not None:
                limit = min(limit, self.allowance)
            claimed = await self._claim(limit)
            if self.allowance is not None:
                self.allowance -= len(claimed)
            if not claimed:
                self._exhausted = True
            self._short = len(claimed) < limit
            self._untried += sum(operation.number == 0 for operation in claimed)
            self._fresh.extend(claimed)

    def take(self, most: int, now: float) -> list[Operation]:
        """Up to `most` operations that may go now: withdrawn ones, those whose backoff is over, fresh ones."""
        taken: list[Operation] = []
        while len(taken) < most:
            if self._returned:
                taken.append(self._returned.popleft())
            elif self._waiting and self._waiting[0].ready_at <= now:
                taken.append(heapq.heappop(self._waiting).operation)
            elif self._fresh:
                taken.append(self._fresh.popleft())
            else:
                break
        self._untried -= sum(operation.number == 0 for operation in taken)
        return taken

    def take_probe(self) -> Operation | None:
        """One operation to ask with: an untried one where there is one, else the one whose last attempt is longest ago."""
        untried = next((each for each in self._returned if each.number == 0), None)
        if untried is not None:
            self._returned.remove(untried)
            operation = untried
        elif self._fresh:
            operation = self._fresh.popleft()
        elif self._returned:
            operation = self._returned.popleft()
        elif self._waiting:
            longest = min(self._waiting, key=lambda each: each.order)  # seldom, and never many: see `waiting_limit`
            self._waiting.remove(longest)
            heapq.heapify(self._waiting)
            operation = longest.operation
        else:
            return None
        self._untried -= operation.number == 0
        return operation
