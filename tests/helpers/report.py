"""Values that the tests of what is shown start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkops.model import ApiFigures, Figures, Invalid, PlanWarning, ResultRow, SourceFile, Status
from bulkops.watching import LaneSnapshot, Snapshot

OPS = ("delete_conversation", "delete_conversation_group", "clear_group_messages")


def statuses(**counts: int) -> dict[Status, int]:
    """`statuses(succeeded=3)`: every status has a key."""
    return {status: counts.get(status.word, 0) for status in Status}


def api_figures(**counts: int) -> ApiFigures:
    """One API's figures by status, a call for every operation that ended."""
    by_status = statuses(**counts)
    ended = sum(number for status, number in by_status.items() if status.ended)
    return ApiFigures(operations=sum(by_status.values()), by_status=by_status, calls=ended, codes={"0": ended} if ended else {})


def figures(
    apis: Mapping[str, ApiFigures] | None = None, /, *, duplicates: int = 0, invalid: int = 0, **counts: int
) -> Figures:
    """A job's figures; without `apis` one API with `counts`."""
    chosen = {OPS[0]: api_figures(**counts)} if apis is None else dict(apis)
    operations = sum(api.operations for api in chosen.values())
    return Figures(
        rows=operations + duplicates + invalid,
        duplicates=duplicates,
        invalid=invalid,
        operations=operations,
        apis=chosen,
        elapsed=15.23,
    )


@dataclass(frozen=True, slots=True)
class FakePlan:
    """A plan like `app.Plan`."""

    figures: Figures
    ledger: str = "job.ledger.db"
    files: Sequence[SourceFile] = (SourceFile("job.csv", "ab" * 32, 123_456, 10),)
    warnings: Sequence[PlanWarning] = ()
    invalid: Sequence[Invalid] = ()
    rates: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 15.0
    sandbox: bool = False
    continues: bool = False
    orphans: int = 0
    notes: Sequence[str] = ()
    blank_lines: int = 0
    source_names: Sequence[str] = ("job.csv",)


def result_row(**changes: Any) -> ResultRow:
    """A row of results that succeeded, with changes."""
    row = ResultRow(
        api=0,
        content="alice\t1\tbob\t\t0",
        ref="ticket-7",
        file="job.csv",
        line=2,
        status="succeeded",
        attempts=1,
        code="0",
        info="",
        finished_at=1_700_000_000_000_001,
    )
    return row._replace(**changes)


def lane(**changes: Any) -> LaneSnapshot:
    """A lane half-way through its work, with changes."""
    values: dict[str, Any] = {
        "op": OPS[0],
        "operations": 3000,
        "ended": 1500,
        "by_status": statuses(succeeded=1500, pending=1500),
        "calls": 1510,
        "retried": 10,
        "throttled": 0,
        "rate": 198.6,
        "limit": 200,
        "allowed": 200.0,
        "in_flight": 16,
        "waiting": 0,
        "reason": "",
        "eta": 7.5,
    }
    return LaneSnapshot(**values | changes)


def snapshot(*lanes: LaneSnapshot, elapsed: float = 83.0, stopping: str = "") -> Snapshot:
    """A moment of a run; without lanes of three."""
    return Snapshot(elapsed, lanes or tuple(lane(op=op) for op in OPS), stopping)
