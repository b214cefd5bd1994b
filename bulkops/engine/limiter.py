"""When a call may leave: the token bucket of aiolimiter, and a guard over the last departures that makes it exact.

Knows nothing of operations, attempts or replies. A bucket alone meets one end only: `AsyncLimiter(200, 1)` lets 399 calls
into its first second, and a bucket small enough to keep the limit loses rate at every late wake-up. So the bucket (small)
paces, and the guard looks at the departures themselves: the next may leave when the one `limit` places before it is more
than a second old. Both are asked, and paid, in one step with no await, by the very call that then leaves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiolimiter import AsyncLimiter

from bulkops.engine.ports import Clock, NotDeparting

WINDOW: Final = 1.0
"""Seconds over which the published limit counts."""

MARGIN: Final = 0.005
"""Seconds by which the guard's window is longer, for what lies between our clock and the server's. With 2 ms a server on
loopback still counted 205 to 211 calls in its worst second, with 5 ms 200; it costs 0.5 % of the rate."""

BURST: Final = 0.08
"""Seconds of the rate that the bucket holds: how late the loop may be without losing rate. 16 calls at 200/s."""

SETTLING: Final = 0.02
"""Seconds that a lane's first calls are taken to arrive later than they left: they travel on new connections. It costs these
20 ms once; without it a busy server counts some of them into the second after."""


class Limiter:
    """Admits calls to one lane: no window of one second, wherever it starts, holds more than `limit` departures.

    Args:
        limit: Calls per second; at least 1.
        clock: Its `monotonic` stamps the departures; the bucket goes by the running loop's own clock.
    """

    def __init__(self, *, limit: int, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        burst = max(2, round(limit * BURST))  # 1 would lose a whole turn to every rounding; the guard holds the limit
        self._bucket = AsyncLimiter(burst, burst / limit)
        self._departed: deque[float] = deque(maxlen=limit)
        self._settling = limit + 1  # departures that travel on new connections, from the newest on
        self._credit = burst - 2  # of the bucket's first filling, not to be spent: it has not been earned by being late
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._granted = 0  # woken, but not yet departed: they count in bucket and guard
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._gap = 0.0  # least seconds between departures while the lane is slowed down
        self._closed = False
        self.last_departure: float | None = None
        """When the newest call left, by the monotonic clock."""

    @property
    def waiting(self) -> int:
        """Calls that wait for a token."""
        return len(self._waiters) + self._granted

    def rate(self) -> float:
        """Departures over the last second, per second."""
        now = self._clock.monotonic()
        recent = [at for at in self._departed if at > now - WINDOW]
        return float(len(recent))

    def slow_to(self, rate: float) -> None:
        """Space departures for `rate` calls per second; at the limit or above the bucket alone paces."""
        self._gap = 0.0 if rate >= self.limit else 1.0 / rate
        self._schedule()

    def not_before(self, at: float) -> None:
        """Let nothing leave before `at` (monotonic): another process may have used the window that is still open."""
        self._not_before = max(self._not_before, at)

    def close(self) -> None:
        """Turn away whoever waits, and everybody who comes, until `open`."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(False)
        self._waiters.clear()
        self._schedule()

    def open(self) -> None:
        """Admit again."""
        self._closed = False

    async def acquire(self, alive: Callable[[], bool]) -> None:
        """Wait for the lane's turn. On return the call counts as departed: its first byte leaves with no await in between.

        Args:
            alive: Asked right before the token is paid: a call whose connection is gone gives its turn to the next.

        Raises:
            NotDeparting: The limiter is closed (`withdrawn`), or `alive` said no (`stale_connection`).
        """
        if self._closed:
            raise NotDeparting("withdrawn")
        while self._credit:
            self._credit -= 1
            await self._bucket.acquire()
        if self._waiters or self._granted or self._delay() > 0:
            await self._turn()
        if self._closed:
            raise NotDeparting("withdrawn")
        if not alive():
            self._schedule()
            raise NotDeparting("stale_connection")
        await self._bucket.acquire()  # has room, as `_delay` saw: goes through without giving up the turn
        if self._settling:
            self._settling -= 1
        self._departed.append(0.0)
        self.left()

    def left(self) -> None:
        """Stamp the newest departure anew, once its request is on its way.

        Between a token and its first byte there is no await, yet another thread may have the processor for as long as the
        interpreter lets it (5 ms at a time). A stamp that is too early would let the call one window later leave too early.
        """
        self.last_departure = now = self._clock.monotonic()
        self._departed[-1] = now + SETTLING if self._settling else now

    async def _turn(self) -> None:
        """Queue up until granted."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._timer is None:  # else it is set for the one who waits longest
            self._schedule()
        try:
            granted = await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.result():
                self._granted -= 1
            self._schedule()
            raise
        if not granted:
            raise NotDeparting("withdrawn")
        self._granted -= 1

    def _delay(self) -> float:
        """Seconds until one more call may leave, those granted but not yet gone counted as gone; 0 for now."""
        now = self._clock.monotonic()
        ready = self._not_before
        ahead = len(self._departed) + self._granted - self.limit
        if ahead >= 0:
            if ahead >= len(self._departed):
                return WINDOW  # every departure in the window is still to be stamped
            ready = max(ready, self._departed[ahead] + WINDOW + MARGIN)
        if self._gap:
            last = now - self._gap if self.last_departure is None else self.last_departure
            ready = max(ready, last + self._gap * (1 + self._granted))
        if ready > now:
            return ready - now
        return 0.0 if self._bucket.has_capacity(1 + self._granted) else 1.0 / self.limit

    def _schedule(self) -> None:
        """Grant what may go now, and come back for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            if self._waiters[0].done():  # cancelled while it waited
                self._waiters.popleft()
                continue
            delay = self._delay()
            if delay > 0:
                self._timer = asyncio.get_running_loop().call_later(delay, self._schedule)
                return
            self._granted += 1
            self._waiters.popleft().set_result(True)
