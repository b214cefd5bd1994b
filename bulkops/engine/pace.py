"""How fast a lane may go at present: below its limit while the backend throttles, and while it comes back from an outage.

Pure: stamps come in. Throttled, the rate falls at once to just below what the backend still accepted, at most once a second;
it stands there while the backend stays calm for `CALM` seconds, then climbs by `STEP` of the limit every second that stays
clean. After an outage it starts at a tenth and doubles every second.

Falling to what was accepted, instead of by a fixed factor, finds a capacity of a fifth of the limit in two seconds; standing
there before climbing keeps the share of rejected calls around 1 % while the capacity stays low.
"""

from __future__ import annotations

from collections import deque
from typing import Final

NEARLY_ALL: Final = 0.95
NICK: Final = 0.97
NICK_CALM: Final = 2.0
"""Where nearly all was accepted, the cut is this small, and the calm after it this short: one call too many in a second is
a server's clock, not a lower capacity."""

DEEPEST_CUT: Final = 0.3
"""What one cut leaves at least: a second without a single success says little about the next."""

BELOW: Final = 0.95
"""Share of the accepted rate to fall to."""

CALM: Final = 10.0
"""Seconds without throttling before the rate climbs."""

STEP: Final = 0.02
"""Share of the limit that every clean second adds."""

FLOOR: Final = 1.0
"""Calls per second that are left at worst."""

TICK: Final = 0.9
"""Seconds after which a second counts as over: timers of a second may fire a little early."""

RAMP_START: Final = 0.1
RAMP_FACTOR: Final = 2.0


class Pace:
    """The allowed rate of one lane, in calls per second.

    Args:
        limit: The lane's own limit.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.allowed = limit
        self._accepted: deque[float] = deque(maxlen=max(1, int(limit)))
        self._cut_at = float("-inf")
        self._throttled_at = float("-inf")
        self._stepped_at = float("-inf")
        self._calm = CALM
        self._ramping = False

    @property
    def reduced(self) -> bool:
        """Whether the lane goes below its limit."""
        return self.allowed < self.limit

    def accepted(self, now: float) -> None:
        """A call came back and was not throttled."""
        self._accepted.append(now)

    def throttled(self, now: float) -> bool:
        """A call was throttled. Whether the rate was cut for it."""
        self._throttled_at = now
        self._ramping = False
        if now - self._cut_at < 1.0:
            return False
        accepted = sum(at > now - 1.0 for at in self._accepted)
        if accepted >= NEARLY_ALL * self.allowed:
            self.allowed = max(FLOOR, self.allowed * NICK)
            self._calm = NICK_CALM
        else:
            self.allowed = max(FLOOR, self.allowed * DEEPEST_CUT, BELOW * accepted)
            self._calm = CALM
        self._cut_at = self._stepped_at = now
        return True

    def ramp(self, now: float) -> None:
        """Start anew after an outage."""
        self.allowed = min(self.allowed, max(FLOOR, RAMP_START * self.limit))
        self._ramping = True
        self._stepped_at = now

    def tick(self, now: float) -> bool:
        """Climb where it is time to. Whether the rate changed. Call about once a second."""
        if not self.reduced or now - self._stepped_at < TICK:
            return False
        if not self._ramping and now - self._throttled_at < self._calm:
            return False
        self._stepped_at = now
        climbed = self.allowed * RAMP_FACTOR if self._ramping else self.allowed + STEP * self.limit
        self.allowed = min(self.limit, climbed)
        self._ramping = self._ramping and self.allowed < self.limit
        return True
