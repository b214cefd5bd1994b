"""A run at one moment as a single line, for pipes and log files. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from bulkops.model import Status
from bulkops.report.escape import escape
from bulkops.report.words import count, duration, percent
from bulkops.watching import LaneSnapshot, Notice, Snapshot

_FAILURES = (Status.FAILED, Status.EXHAUSTED, Status.IN_DOUBT)


def plain_line(snapshot: Snapshot) -> str:
    """How far the run is, each lane with its rate and what holds it back, and how long it will take."""
    if not snapshot.lanes:
        return "starting"
    ended = sum(lane.ended for lane in snapshot.lanes)
    operations = sum(lane.operations for lane in snapshot.lanes)
    head = f"{duration(snapshot.elapsed)}: {count(ended)} of {count(operations)} ended ({percent(ended, operations)})"
    failed = failures(snapshot)
    if failed:
        head += f", {count(failed)} failed"
    left = eta(snapshot)
    parts = [head, *(_lane(lane) for lane in snapshot.lanes), *([f"about {duration(left)} left"] if left else [])]
    if snapshot.stopping:
        parts.append(f"stopping: {escape(snapshot.stopping)}")
    return "; ".join(parts)


def notice_line(notice: Notice) -> str:
    """A notice with the time of day (UTC) and the API that it is about."""
    at = datetime.fromtimestamp(notice.at / 1e6, UTC).strftime("%H:%M:%SZ")
    about = f"{escape(notice.op)}: " if notice.op else ""
    return f"{at} {about}{escape(notice.text)}"


def eta(snapshot: Snapshot) -> float | None:
    """Seconds until the slowest lane is done; `None` while one of them can't tell."""
    left = [lane.eta for lane in snapshot.lanes if lane.ended < lane.operations]
    known = [seconds for seconds in left if seconds is not None]
    return max(known, default=0.0) if len(known) == len(left) else None


def failures(snapshot: Snapshot) -> int:
    """Operations that ended without reaching their aim."""
    return sum(lane.by_status.get(status, 0) for lane in snapshot.lanes for status in _FAILURES)


def _lane(lane: LaneSnapshot) -> str:
    if lane.ended == lane.operations:
        return f"{lane.op} done"
    text = f"{lane.op} {percent(lane.ended, lane.operations)} at {lane.rate:.0f} of {lane.limit} calls/s"
    if lane.in_flight:
        text += f", {lane.in_flight} in flight"
    if lane.reason:
        text += f" ({escape(lane.reason)})"
    return text
