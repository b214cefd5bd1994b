"""What becomes of an operation after one reply: a decision is a value, taken by a pure function.

Knows no clock, no queue and no lane. When it goes again, and whether the whole lane or run stops, is the lane's business.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bulkops.model import Operation, Status, Verdict

FAILING: Final = frozenset({Verdict.TRANSIENT, Verdict.UNANSWERED, Verdict.NOT_SENT})
"""Verdicts that speak against the backend's health."""

THROTTLING: Final = frozenset({Verdict.THROTTLED, Verdict.THROTTLED_APP})

SUSPECT: Final = 3
"""Charged failures after which an operation's failures say no more about the backend: it failed while most others went well."""

STOPPING: Final = frozenset({Verdict.FATAL, Verdict.FATAL_API})

_NO_SIGN: Final = THROTTLING | STOPPING | {Verdict.STALE_CREDENTIAL}

_OF_ITS_OWN: Final = frozenset({Verdict.TRANSIENT, Verdict.UNANSWERED})
"""Failures that may be an operation's own; that no connection could be made never is."""

_ENDS: Final = {
    Verdict.SUCCEEDED: Status.SUCCEEDED,
    Verdict.ABSENT: Status.ABSENT,
    Verdict.REFUSED: Status.FAILED,
}


class Decision(NamedTuple):
    """Where an operation stands after an attempt.

    Args:
        status: `PENDING` when it goes again, else how it ended.
        charged: Attempts that count so far.
        in_doubt: Whether an unanswered attempt is still unsettled.
    """

    status: Status
    charged: int
    in_doubt: bool


def speaks_of_backend(operation: Operation, verdict: Verdict, *, rest: bool) -> bool:
    """Whether an answer tells how the backend is.

    Throttling, stops and credentials don't. Neither, in the rest of a job, does a failure of an operation that was charged
    `SUSPECT` times: else some poisonous operations, all that is left, would look like an outage and be asked one by one.

    Args:
        operation: As it was before the attempt.
        verdict: What the reply means.
        rest: Only operations that were tried before are left, and enough answers say how the backend was.
    """
    if verdict in _NO_SIGN:
        return False
    return not rest or operation.charged < SUSPECT or verdict not in _OF_ITS_OWN


def settled_verdict(verdict: Verdict, *, succeeded_before: bool) -> Verdict:
    """The verdict once the API's history is known: a missing permission is fatal only before the API's first success."""
    if verdict is Verdict.FATAL_API_UNTIL_SUCCESS:
        return Verdict.REFUSED if succeeded_before else Verdict.FATAL_API
    return verdict


def decide(operation: Operation, verdict: Verdict, *, outage: bool, untried_left: bool, max_attempts: int) -> Decision:
    """What becomes of `operation`.

    Args:
        operation: As it was before the attempt.
        verdict: What the reply means.
        outage: More than half of the lane's last answers are failing.
        untried_left: The lane has operations that were never tried. Without them an ErrorCode is charged even in an
            outage, or a poisonous rest of a job would be repeated for ever.
        max_attempts: Attempts that may be charged.
    """
    end = _ENDS.get(verdict)
    if end is not None:
        return Decision(end, operation.charged, in_doubt=False)
    in_doubt = operation.in_doubt or verdict is Verdict.UNANSWERED
    charged = operation.charged
    if verdict is Verdict.TRANSIENT:
        charged += not outage or not untried_left
    elif verdict is Verdict.UNANSWERED:
        charged += not outage
    if charged < max_attempts or charged == operation.charged:
        return Decision(Status.PENDING, charged, in_doubt)
    return Decision(Status.IN_DOUBT if in_doubt else Status.EXHAUSTED, charged, in_doubt)
