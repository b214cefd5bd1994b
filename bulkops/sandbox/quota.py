"""Counts the calls of one (SDKAppID, API) pair: what its limit lets through, and how they came.

Times are whole nanoseconds of one monotonic clock, so that the edge of a window is exact. A window is half open: two calls
exactly one second apart are not in the same one. Knows no socket and reads no clock.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, deque
from typing import Final

SECOND: Final = 1_000_000_000

KEPT: Final = 1_000_000
"""Arrival times that are kept at least, 8 bytes each; older ones go once twice as many are there."""


class Window:
    """Lets through at most `limit` calls in any one second. Calls that it rejects don't count against the limit.

    Args:
        limit: Calls per second, at least 1.
        tolerance: Nanoseconds that the window is shorter than a second, for a server that reads its clock late.
    """

    __slots__ = ("_passed", "_span", "limit")

    def __init__(self, limit: int, tolerance: int = 0) -> None:
        if limit < 1:
            raise ValueError(f"a limit is at least 1 call per second, not {limit}")
        if not 0 <= tolerance < SECOND:
            raise ValueError(f"a tolerance is 0 to below 1 s, not {tolerance / SECOND:g} s")
        self.limit = limit
        self._span = SECOND - tolerance
        self._passed: deque[int] = deque(maxlen=limit)

    def admit(self, at: int) -> bool:
        """Whether a call at this time is within the limit; it counts if it is. Times must not run backwards."""
        passed = self._passed
        if len(passed) == self.limit and at - passed[0] < self._span:
            return False
        passed.append(at)  # the oldest goes by itself
        return True


class Arrivals:
    """When calls came, all of them, rejected ones too."""

    __slots__ = ("_judged", "_left", "_times", "_worst", "calls", "first", "last")

    def __init__(self) -> None:
        self._times = array("q")
        self._judged = 0  # places in _times up to which _worst is known
        self._left = 0  # first place within one second of the last judged call
        self._worst = 0
        self.calls = 0
        self.first = 0
        self.last = 0

    def add(self, at: int) -> int:
        """Note a call, and return the time it was noted with: never before that of the call before."""
        at = max(at, self.last)
        if not self.calls:
            self.first = at
        self.calls += 1
        self.last = at
        self._times.append(at)
        if len(self._times) >= 2 * KEPT:
            self._trim()
        return at

    def times(self) -> list[float]:
        """Seconds of the monotonic clock, oldest first; the newest `KEPT` at least."""
        return [at / SECOND for at in self._times]

    def worst(self) -> int:
        """Most calls in any one second so far. Costs only what came since it was last asked."""
        times = self._times
        left = self._left
        for place in range(self._judged, len(times)):
            while times[place] - times[left] >= SECOND:
                left += 1
            self._worst = max(self._worst, place - left + 1)
        self._left = left
        self._judged = len(times)
        return self._worst

    def between(self, begin: int, end: int) -> int:
        """Calls at or after `begin` and before `end`, as far as they are kept."""
        return bisect_left(self._times, end) - bisect_left(self._times, begin)

    def _trim(self) -> None:
        self.worst()
        gone = min(len(self._times) - KEPT, self._left)
        del self._times[:gone]
        self._left -= gone
        self._judged -= gone


class Lane:
    """One (SDKAppID, API) pair as the sandbox sees it.

    Args:
        window: Its limit; `None` where there is none (an SDKAppID that the sandbox does not know).
    """

    __slots__ = ("_window", "arrivals", "codes", "rejected")

    def __init__(self, window: Window | None) -> None:
        self._window = window
        self.arrivals = Arrivals()
        self.codes: Counter[str] = Counter()
        self.rejected = 0

    def arrive(self, at: int) -> bool:
        """Note a call; whether it is within the limit."""
        noted = self.arrivals.add(at)
        if self._window is None or self._window.admit(noted):
            return True
        self.rejected += 1
        return False
