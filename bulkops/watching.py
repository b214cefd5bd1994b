"""The words of whoever watches a run: how its lanes stand at one moment, and what is worth telling.

Like `model`, frozen values only: the engine makes them, `report` and `cli` show them, a program reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bulkops.model import Status


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """One lane at one moment, for a screen.

    Args:
        op: The API's name.
        operations, ended, succeeded: Durable counts of operations.
        calls, retried, throttled: Durable counts of calls.
        rate: Departures per second over the last few seconds.
        limit: Calls per second that the lane may make.
        allowed: Calls per second that it takes at present; below `limit` while it recovers from throttling.
        in_flight: Calls that left and are awaited.
        waiting: Operations in backoff.
        reason: Why it is not at full rate, in words; empty where nothing holds it.
        eta: Seconds to the end at the present rate; `None` where that says nothing.
    """

    op: str
    operations: int
    ended: int
    by_status: Mapping[Status, int]
    calls: int
    retried: int
    throttled: int
    rate: float
    limit: int
    allowed: float
    in_flight: int
    waiting: int
    reason: str
    eta: float | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person watching the run should know, once for each episode.

    Args:
        at: Microseconds since 1970, UTC.
        op: The API it is about; empty for the whole run.
        kind: `throttled`, `recovered`, `outage`, `outage_over`, `renewed`, `stopping`, `waiting`, `places`, `in_doubt`.
        text: One line for people.
    """

    at: int
    op: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole run at one moment."""

    elapsed: float
    lanes: tuple[LaneSnapshot, ...]
    stopping: str = ""
