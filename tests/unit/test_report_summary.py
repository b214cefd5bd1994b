"""What a ledger amounts to: the JSON object and the exit code."""

from __future__ import annotations

import json

import pytest

from bulkops.model import ApiFigures, Figures, Status, Stop, StopKind
from bulkops.report.summary import exit_code, summarize
from tests.helpers.report import OPS, api_figures, figures, statuses

CONTRACT = {
    "ledger": "job.ledger.db",
    "state": "finished",
    "reason": None,
    "exit": 0,
    "rows": 9010,
    "duplicates": 10,
    "invalid": 0,
    "operations": 9000,
    "by_status": {
        "pending": 0,
        "sending": 0,
        "succeeded": 8990,
        "absent": 10,
        "failed": 0,
        "exhausted": 0,
        "in_doubt": 0,
    },
    "calls": 9120,
    "retried": 120,
    "throttled": 0,
    "resent_in_doubt": 0,
    "elapsed_s": 15.2,
    "apis": {
        "delete_conversation": {
            "operations": 3000,
            "calls": 3040,
            "rate": 199.1,
            "codes": {"0": 3000, "50004": 38, "timeout": 2},
        }
    },
}
"""The example of the documentation, with one of its APIs."""


def contract_figures() -> Figures:
    first = ApiFigures(
        operations=3000,
        by_status=statuses(succeeded=2990, absent=10),
        calls=3040,
        retried=40,
        codes={"0": 3000, "50004": 38, "timeout": 2},
        process_calls=3040,
        first_departure=1_000_000,
        last_departure=1_000_000 + round(3040 / 199.1 * 1e6),
    )
    rest = ApiFigures(operations=6000, by_status=statuses(succeeded=6000), calls=6080, retried=80)
    return Figures(rows=9010, duplicates=10, invalid=0, operations=9000, apis={OPS[0]: first, OPS[1]: rest}, elapsed=15.23)


def test_the_json_is_the_documented_one() -> None:
    """Same keys, same order, same types, same rounding."""
    made = summarize(contract_figures(), ledger="job.ledger.db", state="finished", reason=None, exit=0).as_json()
    apis = made["apis"]
    assert isinstance(apis, dict)
    assert list(apis) == [OPS[0], OPS[1]]
    del apis[OPS[1]]
    assert json.dumps(made) == json.dumps(CONTRACT)


def test_every_status_has_a_key() -> None:
    """A script may index any of the seven words, even where a ledger has no operation at all."""
    empty = Figures(rows=0, duplicates=0, invalid=0, operations=0, apis={})
    summary = summarize(empty, ledger=None, state="stopped", reason="x", exit=2)
    assert list(summary.by_status) == [status.word for status in Status]
    assert summary.as_json()["apis"] == {}


@pytest.mark.parametrize(
    ("calls", "first", "last", "rate"),
    [(0, 0, 0, 0.0), (1, 5, 5, 0.0), (2, 5, 5, 0.0), (200, 1_000_000, 2_000_000, 200.0), (3, 0, 2_000_000, 1.5)],
)
def test_the_rate_is_calls_over_their_span(calls: int, first: int, last: int, rate: float) -> None:
    """Below two calls there is no rate; a span of nothing doesn't divide."""
    api = ApiFigures(operations=1, by_status=statuses(), process_calls=calls, first_departure=first, last_departure=last)
    summary = summarize(figures({OPS[0]: api}), ledger="x", state="stopped", reason=None, exit=0)
    assert summary.apis[OPS[0]].rate == rate


def test_a_summary_adds_up_its_apis() -> None:
    summary = summarize(contract_figures(), ledger="x", state="finished", reason=None, exit=0)
    assert (summary.calls, summary.retried, summary.unfinished, summary.failures) == (9120, 120, 0, 0)
    assert summary.apis[OPS[0]].by_status["absent"] == 10


def stop(kind: StopKind) -> Stop:
    return Stop(kind, "why")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (StopKind.LEDGER, 5),
        (StopKind.FATAL, 3),
        (StopKind.GUARD, 3),
        (StopKind.OUTAGE, 3),
        (StopKind.SIGNAL, 4),
        (StopKind.MAX_DURATION, 4),
        (StopKind.CANARY, 4),
        (StopKind.DECLINED, 4),
    ],
)
def test_a_stop_decides_while_something_is_left(kind: StopKind, code: int) -> None:
    """Failures don't hide that a run stopped, and why."""
    for left in ("pending", "sending"):
        assert exit_code(figures(succeeded=5, failed=1, **{left: 1}), stop(kind), absent_fails=False) == code


def test_every_kind_of_stop_has_an_exit_code() -> None:
    for kind in StopKind:
        assert exit_code(figures(pending=1), stop(kind), absent_fails=False) in {3, 4, 5}


@pytest.mark.parametrize("kind", list(StopKind))
def test_a_stop_that_left_nothing_pending_is_an_outcome(kind: StopKind) -> None:
    """The job was carried out all the same."""
    assert exit_code(figures(succeeded=5), stop(kind), absent_fails=False) == 0
    assert exit_code(figures(succeeded=5, exhausted=1), stop(kind), absent_fails=False) == 1


@pytest.mark.parametrize("status", ["failed", "exhausted", "in_doubt"])
def test_failures_are_exit_one(status: str) -> None:
    assert exit_code(figures(succeeded=5, **{status: 1}), None, absent_fails=False) == 1


def test_invalid_rows_are_exit_one() -> None:
    assert exit_code(figures(succeeded=5, invalid=1), None, absent_fails=False) == 1


def test_absent_is_success_unless_told_otherwise() -> None:
    assert exit_code(figures(absent=5), None, absent_fails=False) == 0
    assert exit_code(figures(absent=5), None, absent_fails=True) == 1


def test_absence_that_we_may_have_caused_is_never_a_failure() -> None:
    """An earlier attempt of ours without an answer may be the reason that the target is gone."""
    ours = ApiFigures(operations=2, by_status=statuses(absent=2), absent_ours=2)
    assert exit_code(figures({OPS[0]: ours}), None, absent_fails=True) == 0
    both = {OPS[0]: ours, OPS[1]: api_figures(absent=1)}
    assert exit_code(figures(both), None, absent_fails=True) == 1


def test_a_killed_process_only_needs_a_resume() -> None:
    """Nothing stopped the run, yet something is left: the process was killed."""
    assert exit_code(figures(succeeded=5, sending=1), None, absent_fails=False) == 4
