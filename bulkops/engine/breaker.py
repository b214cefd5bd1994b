"""Whether a lane's backend is well: a window over its last answers, and the times at which it is asked again.

Pure: stamps and random numbers come in as arguments. States: closed → open (too little succeeds) → closed (a probe came
back); while it is open, one probe at a time asks. Throttling is not an illness: it is not recorded here.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 200
"""Answers looked at; of each operation among them its newest counts, so that a few that are repeated often don't outvote."""

ENOUGH: Final = 50
"""Answers below which the breaker stays closed."""

HEALTHY: Final = 0.1
"""Share of successes below which it opens."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds between probes: doubling from the first to the longest."""

LEAST_OFF: Final = 0.2
MOST_OFF: Final = 0.5
"""Shares of a pause that its jitter takes off."""


class Breaker:
    """Counts the health of one lane and paces its probes."""

    def __init__(self) -> None:
        self._answers: deque[int] = deque()  # whose they were, oldest first
        self._times: dict[int, int] = {}  # how often an operation is among them
        self._failing: dict[int, bool] = {}  # its newest
        self._failures = 0
        self._probes = 0
        self.is_open = False

    def record(self, seq: int, *, failing: bool) -> None:
        """Take in the newest answer to one operation."""
        if len(self._answers) >= WINDOW:
            self._forget(self._answers.popleft())
        self._answers.append(seq)
        self._times[seq] = self._times.get(seq, 0) + 1
        self._failures += failing - self._failing.get(seq, False)
        self._failing[seq] = failing

    def _forget(self, seq: int) -> None:
        self._times[seq] -= 1
        if not self._times[seq]:
            del self._times[seq]
            self._failures -= self._failing.pop(seq)

    @property
    def knows_enough(self) -> bool:
        """Whether the last answers are enough to tell an outage."""
        return len(self._failing) >= ENOUGH

    @property
    def outage(self) -> bool:
        """More than half of the last answers are failing: failures say nothing about single operations."""
        return 2 * self._failures > len(self._failing)

    @property
    def should_open(self) -> bool:
        """Less than a tenth of at least fifty answers succeeded."""
        answers = len(self._failing)
        return self.knows_enough and answers - self._failures < HEALTHY * answers

    def open(self) -> None:
        """The stream stops; probes go alone from now on."""
        self.is_open = True
        self._probes = 0

    def close(self) -> None:
        """A probe came back: forget the outage, the window starts anew."""
        self.is_open = False
        self._probes = 0
        self._answers.clear()
        self._times.clear()
        self._failing.clear()
        self._failures = 0

    def pause(self, jitter: float) -> float:
        """Seconds to the next probe: 1 s doubling to 30 s, less a fifth to a half of it.

        Args:
            jitter: Even over 0 … 1. Taken off, and never nothing: the longest pause and the ramp together stay below 30 s.
        """
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._probes, 16))
        self._probes += 1
        return longest * (1.0 - LEAST_OFF - (MOST_OFF - LEAST_OFF) * jitter)
