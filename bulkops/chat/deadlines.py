"""Ends calls whose answer doesn't come: one timer for all calls in flight, not one or two for each.

Time in which the event loop stood still doesn't count: an answer may have arrived meanwhile that nobody could read.
Knows nothing of HTTP; what a call is given up by is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICKS: Final = 20
"""Looks per timeout: a call ends at most this fraction of its timeout late."""

LATE: Final = 0.2
"""A timer this much late, in seconds, means that the loop stood still."""


class Watch:
    """One call in flight.

    Args:
        departed: When it left, on the clock of its `Deadlines`.
        give_up: Makes whoever waits for the answer stop waiting.
    """

    __slots__ = ("departed", "expired", "give_up", "heard")

    def __init__(self, departed: float, give_up: Callable[[], None]) -> None:
        self.departed = departed
        self.heard = departed
        self.give_up = give_up
        self.expired = ""
        """Why the call was given up, in words; empty while it wasn't."""


class Deadlines:
    """Watches calls from their departure on.

    Args:
        monotonic: Seconds.
        silence: Longest wait for the headers of an answer, and then for each further piece of it, in seconds.
        total: Longest time from departure to the end of the answer, in seconds.
    """

    __slots__ = ("_due", "_late_before", "_monotonic", "_silence", "_stood_still", "_tick", "_timer", "_total", "_watches")

    def __init__(self, monotonic: Callable[[], float], *, silence: float, total: float) -> None:
        self._monotonic = monotonic
        self._silence = silence
        self._total = total
        self._tick = min(silence, total) / TICKS
        self._watches: dict[Watch, None] = {}  # in the order of departure
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._stood_still = 0.0
        self._late_before = False  # on a machine that is always late a call has to end, too

    def departed(self, give_up: Callable[[], None]) -> Watch:
        """Watch a call that leaves right now."""
        watch = Watch(self._now(), give_up)
        self._watches[watch] = None
        if self._timer is None:
            self._arm()
        return watch

    def heard(self, watch: Watch) -> None:
        """Note that a piece of the call's answer came."""
        watch.heard = self._now()

    def ended(self, watch: Watch) -> None:
        """Watch the call no longer."""
        self._watches.pop(watch, None)

    def close(self) -> None:
        """Watch nothing any more."""
        self._watches.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _now(self) -> float:
        return self._monotonic() - self._stood_still

    def _arm(self) -> None:
        self._due = self._monotonic() + self._tick
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._look)

    def _look(self) -> None:
        late = self._monotonic() - self._due
        stood_still = late > LATE
        if stood_still:
            self._stood_still += late  # everybody's deadline moves; the next look sees what has been read by then
        if not stood_still or self._late_before:
            self._expire()
        self._late_before = stood_still
        if self._watches:
            self._arm()
        else:
            self._timer = None

    def _expire(self) -> None:
        now = self._now()
        for watch in list(self._watches):
            if now - watch.departed >= self._total:
                watch.expired = f"no complete answer {self._total:g} s after the call left"
            elif now - watch.heard >= self._silence:
                watch.expired = f"nothing came for {self._silence:g} s"
            else:
                continue
            del self._watches[watch]
            watch.give_up()
