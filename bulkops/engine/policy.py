"""What a run is allowed to do and when it gives up, as one frozen object. Durations in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AHEAD: Final = 0.2
"""Seconds of the rate that may be durable intents which have not left yet: what a crash may leave in doubt beyond what was
in flight. It covers a slow disk and a slow connection."""

PLACES: Final = 1.5
"""Seconds of the rate that may be under way: answers that take a second don't lower the rate."""

DRAIN: Final = 10.0
"""How long a stop waits for what is in flight."""

WAITING_LIMIT: Final = 60.0
"""Seconds of the rate that may wait in memory for another attempt; then only those go until it is less."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of one run.

    Args:
        max_attempts: Attempts of one operation that count, the first included.
        outage_limit: How long a lane may be without success before it stops.
        connect_limit: How long a run may be without any connection since its start.
        max_failures: Stop at this many failed operations; `None` where the share is meant.
        max_failure_share: Stop above this share of those that ended, 0 … 1.
        share_after: The share counts once this many ended.
        max_duration: Stop after this long.
        refused_alike: Stop an API whose first so many ended operations were all refused with one code.
    """

    max_attempts: int = 8
    outage_limit: float = 1800.0
    connect_limit: float = 30.0
    max_failures: int | None = None
    max_failure_share: float = 0.5
    share_after: int = 1000
    max_duration: float | None = None
    refused_alike: int = 50
