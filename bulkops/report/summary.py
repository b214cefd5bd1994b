"""What a ledger amounts to, as one value: the JSON object of every command, and the exit code that follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bulkops.model import ApiFigures, Figures, Status, Stop, StopKind

EXIT_OK: Final = 0
EXIT_FAILURES: Final = 1
EXIT_USAGE: Final = 2
EXIT_STOPPED_ITSELF: Final = 3
EXIT_STOPPED: Final = 4
EXIT_LEDGER: Final = 5
EXIT_DEFECT: Final = 70

_STOP_EXITS: Final = {
    StopKind.LEDGER: EXIT_LEDGER,
    StopKind.FATAL: EXIT_STOPPED_ITSELF,
    StopKind.GUARD: EXIT_STOPPED_ITSELF,
    StopKind.OUTAGE: EXIT_STOPPED_ITSELF,
    StopKind.SIGNAL: EXIT_STOPPED,
    StopKind.MAX_DURATION: EXIT_STOPPED,
    StopKind.CANARY: EXIT_STOPPED,
    StopKind.DECLINED: EXIT_STOPPED,
}
_UNFINISHED: Final = (Status.PENDING, Status.SENDING)
_FAILURES: Final = (Status.FAILED, Status.EXHAUSTED, Status.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class ApiSummary:
    """One API's part of a summary.

    Args:
        operations: Operations of this API.
        calls: Attempts of which a byte left.
        rate: Calls per second of the newest process between its first and its last departure; 0.0 below two calls.
        codes: Every call by ErrorCode, else `http_502`, `timeout`, `lost`, `unreadable`.
        by_status: Operations by status, for people; the JSON has the job's only.
    """

    operations: int
    calls: int
    rate: float
    codes: Mapping[str, int]
    by_status: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The JSON object under `apis`."""
        return {"operations": self.operations, "calls": self.calls, "rate": self.rate, "codes": dict(self.codes)}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to, over all processes of its ledger: the JSON's fields under the JSON's names.

    Args:
        ledger: Path of the ledger; `None` where none came into being.
        state: `planned`, `running`, `finished` or `stopped`.
        reason: Why it stopped; `None` for no reason.
        exit: The exit code; `None` while it runs.
        by_status: Operations by status; every one of the seven words has a key.
        elapsed_s: Seconds that all processes took together, to a tenth.
        apis: By op, in the catalog's order, only those that the job uses.
        sandbox: The ledger belongs to the sandbox: nothing real was touched. For people; the JSON's keys are fixed.
    """

    ledger: str | None
    state: str
    reason: str | None
    exit: int | None
    rows: int
    duplicates: int
    invalid: int
    operations: int
    by_status: Mapping[str, int]
    calls: int
    retried: int
    throttled: int
    resent_in_doubt: int
    elapsed_s: float
    apis: Mapping[str, ApiSummary]
    sandbox: bool = False

    @property
    def unfinished(self) -> int:
        """Operations that have not ended."""
        return sum(self.by_status[status.word] for status in _UNFINISHED)

    @property
    def failures(self) -> int:
        """Operations that ended without reaching their aim."""
        return sum(self.by_status[status.word] for status in _FAILURES)

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints, keys in the documented order."""
        return {
            "ledger": self.ledger,
            "state": self.state,
            "reason": self.reason,
            "exit": self.exit,
            "rows": self.rows,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "operations": self.operations,
            "by_status": dict(self.by_status),
            "calls": self.calls,
            "retried": self.retried,
            "throttled": self.throttled,
            "resent_in_doubt": self.resent_in_doubt,
            "elapsed_s": self.elapsed_s,
            "apis": {op: api.as_json() for op, api in self.apis.items()},
        }


def summarize(
    figures: Figures,
    *,
    ledger: str | None,
    state: str,
    reason: str | None,
    exit: int | None,  # noqa: A002 - the JSON's own name
    sandbox: bool = False,
) -> Summary:
    """The summary of what a ledger amounts to.

    Args:
        figures: Its counts.
        ledger: Path of the ledger; `None` where none came into being.
        state: `planned`, `running`, `finished` or `stopped`.
        reason: Why it stopped; `None` for no reason.
        exit: The exit code; `None` while it runs.
        sandbox: The ledger belongs to the sandbox.
    """
    apis = figures.apis.values()
    return Summary(
        ledger=ledger,
        state=state,
        reason=reason,
        exit=exit,
        rows=figures.rows,
        duplicates=figures.duplicates,
        invalid=figures.invalid,
        operations=figures.operations,
        by_status={status.word: _with_status(figures, status) for status in Status},
        calls=sum(api.calls for api in apis),
        retried=sum(api.retried for api in apis),
        throttled=sum(api.throttled for api in apis),
        resent_in_doubt=figures.resent_in_doubt,
        elapsed_s=round(figures.elapsed, 1),
        apis={op: _api_summary(api) for op, api in figures.apis.items()},
        sandbox=sandbox,
    )


def exit_code(figures: Figures, stop: Stop | None, *, absent_fails: bool) -> int:
    """The exit code of a run that has ended. Several may apply: 5, 3, 4, 1, 0.

    A stop that left nothing pending is 0 or 1: the job was carried out all the same. Operations that are left although
    nothing stopped the run (its process was killed) are 4: all that is needed is a resume.

    Args:
        figures: What the ledger amounts to.
        stop: Why it ended before its job did; `None` where it didn't.
        absent_fails: Absent targets count as failures, except where an earlier attempt of ours may be the reason.
    """
    if any(_with_status(figures, status) for status in _UNFINISHED):
        return EXIT_STOPPED if stop is None else _STOP_EXITS[stop.kind]
    failures = figures.invalid + sum(_with_status(figures, status) for status in _FAILURES)
    if absent_fails:
        failures += _with_status(figures, Status.ABSENT) - sum(api.absent_ours for api in figures.apis.values())
    return EXIT_FAILURES if failures else EXIT_OK


def _with_status(figures: Figures, status: Status) -> int:
    return sum(api.by_status.get(status, 0) for api in figures.apis.values())


def _api_summary(api: ApiFigures) -> ApiSummary:
    return ApiSummary(
        operations=api.operations,
        calls=api.calls,
        rate=_rate(api),
        codes=dict(api.codes),
        by_status={status.word: api.by_status.get(status, 0) for status in Status},
    )


def _rate(api: ApiFigures) -> float:
    span = (api.last_departure - api.first_departure) / 1e6
    return round(api.process_calls / span, 1) if api.process_calls > 1 and span > 0 else 0.0
