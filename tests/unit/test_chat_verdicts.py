"""What each reply means, against the table of the contract."""

from __future__ import annotations

import pytest

from bulkops.chat.catalog import APIS, CLEAR_GROUP_MESSAGES, DELETE_CONVERSATION
from bulkops.chat.verdicts import PUBLIC_CODES, REMEDIES, judge, verdict_of
from bulkops.model import Api, Outcome, Reply, Verdict

# Source: contract, section 4, row by row.
CONTRACT: dict[Verdict, set[int]] = {
    Verdict.SUCCEEDED: {0},
    Verdict.ABSENT: {51009, 10010},
    Verdict.TRANSIENT: {50004, 50005, 10002, 60008, 60013, 60014, 70169, 70202, 70500, 51007, 10008},
    Verdict.THROTTLED: {60007, 60018, 60019, 10006, 10023},
    Verdict.THROTTLED_APP: {60011},
    Verdict.STALE_CREDENTIAL: {70001, 70052},
    Verdict.REFUSED: {50001, 50002, 51011, 10004, 10015, 60002, 60003, 60015, 10005, 10011, 10012},
    Verdict.FATAL: {50003, 60004, 60005, 60006, 60010, 60012, 60016, 60017, 60020, 60021}
    | {70002, 70003, 70005, 70009, 70013, 70014, 70016, 70020, 70050, 70051, 70114, 70403},
    Verdict.FATAL_API: {51013, 10026, 10003, 60009},
    Verdict.FATAL_API_UNTIL_SUCCESS: {10007},
}
ROWS = [(code, verdict) for verdict, codes in CONTRACT.items() for code in sorted(codes)]
UNKNOWN = [-1, 1, 50000, 50006, 51006, 51008, 51012, 10001, 10009, 10030, 60001, 60022, 70107, 79999, 91000, 2**31]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.op)
@pytest.mark.parametrize(("code", "verdict"), ROWS)
def test_a_code_means_what_the_contract_says(api: Api, code: int, verdict: Verdict) -> None:
    """Every code of the contract's table has its verdict, on every API."""
    assert verdict_of(api, code) is verdict
    assert judge(api, Reply(Outcome.ANSWERED, 200, code, str(code))) is verdict


def test_the_tables_know_no_code_that_the_contract_does_not_name() -> None:
    """What is not in the contract's table is refused, so it is in no table of ours."""
    named = {code for code, _ in ROWS}
    assert set(PUBLIC_CODES) == named
    assert {code for api in APIS for code in api.codes} <= named


@pytest.mark.parametrize("code", UNKNOWN)
def test_an_unknown_code_is_refused(code: int) -> None:
    """A code that no table knows is final, never repeated blindly."""
    assert {verdict_of(api, code) for api in APIS} == {Verdict.REFUSED}


@pytest.mark.parametrize("code", [50001, 60002, 12345])
def test_a_code_that_the_user_takes_for_gone_is_absent(code: int) -> None:
    """`--absent-codes` wins over the tables, for the codes it names and no others."""
    reply = Reply(Outcome.ANSWERED, 200, code, str(code))
    assert judge(DELETE_CONVERSATION, reply, frozenset({code})) is Verdict.ABSENT
    assert judge(DELETE_CONVERSATION, reply, frozenset({code + 1})) is not Verdict.ABSENT


def test_success_is_never_taken_for_absent() -> None:
    """ErrorCode 0 stays a success whatever `--absent-codes` says."""
    assert judge(DELETE_CONVERSATION, Reply(Outcome.ANSWERED, 200, 0, "0"), frozenset({0})) is Verdict.SUCCEEDED


@pytest.mark.parametrize("label", ["timeout", "lost", "unreadable", "http_502", "http_301", "http_403"])
def test_what_left_and_was_not_answered_is_unanswered(label: str) -> None:
    """However the answer failed to come."""
    assert judge(CLEAR_GROUP_MESSAGES, Reply(Outcome.UNANSWERED, None, None, label)) is Verdict.UNANSWERED


def test_what_did_not_leave_was_not_sent() -> None:
    """A call of which no byte left costs nothing."""
    assert judge(DELETE_CONVERSATION, Reply(Outcome.NOT_SENT, label="refused")) is Verdict.NOT_SENT


def test_a_wrong_certificate_is_fatal() -> None:
    """No call can succeed against a server that isn't the right one."""
    assert judge(DELETE_CONVERSATION, Reply(Outcome.NOT_SENT, label="tls", fatal="expired")) is Verdict.FATAL


def test_a_429_without_a_code_is_throttled() -> None:
    """HTTP 429 needs no ErrorCode."""
    assert judge(DELETE_CONVERSATION, Reply(Outcome.ANSWERED, 429, None, "http_429")) is Verdict.THROTTLED


STOPPING = (Verdict.FATAL, Verdict.FATAL_API, Verdict.FATAL_API_UNTIL_SUCCESS, Verdict.STALE_CREDENTIAL)


@pytest.mark.parametrize("code", [code for code, verdict in ROWS if verdict in STOPPING])
def test_every_code_that_can_stop_a_run_comes_with_what_to_do(code: int) -> None:
    """A person who reads it knows the next step."""
    assert len(REMEDIES[code]) > 15


@pytest.mark.parametrize("code", [70001, 70052])
def test_a_credential_that_stays_stale_points_to_the_clock(code: int) -> None:
    """Renewals in vain mean clock skew, and the words say so."""
    assert "clock" in REMEDIES[code]


@pytest.mark.parametrize("code", [70016, 70020])
def test_an_unknown_app_points_to_the_region(code: int) -> None:
    """An app lives in one region; asked elsewhere, it doesn't exist."""
    assert "region" in REMEDIES[code]
