"""What becomes of an operation after one reply: the verdict table of the contract, row by row."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from bulkops.engine.decision import SUSPECT, Decision, decide, settled_verdict, speaks_of_backend
from bulkops.model import Operation, Status, Verdict

AGAIN = (
    Verdict.TRANSIENT,
    Verdict.UNANSWERED,
    Verdict.NOT_SENT,
    Verdict.THROTTLED,
    Verdict.THROTTLED_APP,
    Verdict.STALE_CREDENTIAL,
    Verdict.FATAL,
    Verdict.FATAL_API,
)
FREE = (
    Verdict.NOT_SENT,
    Verdict.THROTTLED,
    Verdict.THROTTLED_APP,
    Verdict.STALE_CREDENTIAL,
    Verdict.FATAL,
    Verdict.FATAL_API,
)


def decided(
    verdict: Verdict,
    *,
    charged: int = 0,
    in_doubt: bool = False,
    outage: bool = False,
    untried_left: bool = True,
    max_attempts: int = 8,
) -> Decision:
    """The decision about an operation that was charged so often."""
    operation = Operation(1, "u", number=charged, charged=charged, in_doubt=in_doubt)
    return decide(operation, verdict, outage=outage, untried_left=untried_left, max_attempts=max_attempts)


class Row(NamedTuple):
    verdict: Verdict
    status: Status
    charged: int
    in_doubt: bool


@pytest.mark.parametrize(
    "row",
    [
        Row(Verdict.SUCCEEDED, Status.SUCCEEDED, 0, False),
        Row(Verdict.ABSENT, Status.ABSENT, 0, False),
        Row(Verdict.REFUSED, Status.FAILED, 0, False),
        Row(Verdict.TRANSIENT, Status.PENDING, 1, False),
        Row(Verdict.UNANSWERED, Status.PENDING, 1, True),
        Row(Verdict.NOT_SENT, Status.PENDING, 0, False),
        Row(Verdict.THROTTLED, Status.PENDING, 0, False),
        Row(Verdict.THROTTLED_APP, Status.PENDING, 0, False),
        Row(Verdict.STALE_CREDENTIAL, Status.PENDING, 0, False),
        Row(Verdict.FATAL, Status.PENDING, 0, False),
        Row(Verdict.FATAL_API, Status.PENDING, 0, False),
    ],
    ids=lambda row: row.verdict.word,
)
def test_every_verdict_has_its_consequence(row: Row) -> None:
    """Status, charge and doubt after a first attempt while the backend is well."""
    assert decided(row.verdict) == Decision(row.status, row.charged, row.in_doubt)


@pytest.mark.parametrize("verdict", FREE)
def test_what_is_not_the_operations_fault_never_uses_up_its_attempts(verdict: Verdict) -> None:
    assert decided(verdict, charged=7) == Decision(Status.PENDING, 7, in_doubt=False)
    assert decided(verdict, charged=9, max_attempts=8).status is Status.PENDING


@pytest.mark.parametrize(
    ("verdict", "in_doubt", "end"),
    [
        (Verdict.TRANSIENT, False, Status.EXHAUSTED),
        (Verdict.TRANSIENT, True, Status.IN_DOUBT),
        (Verdict.UNANSWERED, False, Status.IN_DOUBT),
        (Verdict.UNANSWERED, True, Status.IN_DOUBT),
    ],
)
def test_when_attempts_run_out_any_unsettled_one_leaves_it_in_doubt(verdict: Verdict, in_doubt: bool, end: Status) -> None:
    assert decided(verdict, charged=6, in_doubt=in_doubt).status is Status.PENDING
    assert decided(verdict, charged=7, in_doubt=in_doubt).status is end


@pytest.mark.parametrize("verdict", AGAIN)
def test_doubt_stays_until_an_answer_settles_it(verdict: Verdict) -> None:
    assert decided(verdict, in_doubt=True).in_doubt


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.ABSENT, Verdict.REFUSED])
def test_a_final_answer_settles_the_doubt(verdict: Verdict) -> None:
    assert not decided(verdict, in_doubt=True).in_doubt


@pytest.mark.parametrize(
    ("verdict", "untried_left", "charged"),
    [
        (Verdict.TRANSIENT, True, 0),
        (Verdict.TRANSIENT, False, 1),  # else poison, all that is left, would be repeated for ever
        (Verdict.UNANSWERED, True, 0),
        (Verdict.UNANSWERED, False, 0),  # nobody said anything about this operation
    ],
)
def test_in_an_outage_only_codes_of_operations_that_were_tried_before_are_charged(
    verdict: Verdict, untried_left: bool, charged: int
) -> None:
    assert decided(verdict, outage=True, untried_left=untried_left).charged == charged


def test_one_attempt_means_one() -> None:
    assert decided(Verdict.TRANSIENT, max_attempts=1).status is Status.EXHAUSTED


def test_fewer_attempts_than_were_charged_before_end_it_only_with_the_next_charge() -> None:
    """A resume with a lower `--max-attempts` must not give up an operation for being throttled."""
    assert decided(Verdict.THROTTLED, charged=5, max_attempts=3).status is Status.PENDING
    assert decided(Verdict.TRANSIENT, charged=5, max_attempts=3).status is Status.EXHAUSTED


@pytest.mark.parametrize(
    ("succeeded_before", "verdict"),
    [(False, Verdict.FATAL_API), (True, Verdict.REFUSED)],
)
def test_a_missing_permission_is_fatal_only_before_the_first_success(succeeded_before: bool, verdict: Verdict) -> None:
    assert settled_verdict(Verdict.FATAL_API_UNTIL_SUCCESS, succeeded_before=succeeded_before) is verdict


def test_every_other_verdict_stands_whatever_went_before() -> None:
    for verdict in set(Verdict) - {Verdict.FATAL_API_UNTIL_SUCCESS}:
        assert settled_verdict(verdict, succeeded_before=True) is settled_verdict(verdict, succeeded_before=False) is verdict


@pytest.mark.parametrize(
    ("verdict", "charged", "speaks"),
    [
        (Verdict.SUCCEEDED, 0, True),
        (Verdict.REFUSED, 0, True),
        (Verdict.TRANSIENT, SUSPECT - 1, True),
        (Verdict.TRANSIENT, SUSPECT, False),
        (Verdict.UNANSWERED, SUSPECT, False),
        (Verdict.NOT_SENT, SUSPECT, True),  # that no connection can be made is never the operation's own fault
        (Verdict.SUCCEEDED, SUSPECT, True),
        (Verdict.THROTTLED, 0, False),
        (Verdict.THROTTLED_APP, 0, False),
        (Verdict.STALE_CREDENTIAL, 0, False),
        (Verdict.FATAL, 0, False),
        (Verdict.FATAL_API, 0, False),
    ],
)
def test_what_an_answer_says_about_the_backend(verdict: Verdict, charged: int, speaks: bool) -> None:
    """Failures of an operation that failed again and again while others went well say nothing about it."""
    assert speaks_of_backend(Operation(1, "u", number=9, charged=charged), verdict, rest=True) is speaks


def test_while_others_are_left_every_failure_says_how_the_backend_is() -> None:
    """In an outage at a low rate few operations are repeated over and over: they must not be given up for it."""
    assert speaks_of_backend(Operation(1, "u", number=9, charged=7), Verdict.TRANSIENT, rest=False)
