"""Any server that follows the vendor's pages, and some that don't: what counts as an answer, and what is in doubt (contract, 4)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.support import check_limit, check_reconciled, conversations, mixed, results_of, seldom
from tests.helpers.command import Command, Ended
from tests.helpers.otherserver_handle import OtherServer
from tests.helpers.otherserver_script import SHAPES

pytestmark = pytest.mark.slow


def carried_out(command: Command, job_csv: str, code: int, *flags: str) -> Ended:
    """A whole run of a job."""
    command.file("job.csv", job_csv)
    return command.run("run", "job.csv", "--yes", "--json", *flags).expect(code)


@pytest.mark.parametrize("shape", ["mixed", *(seldom(shape) for shape in SHAPES)])
def test_every_legal_shape_of_an_answer_is_understood(shape: str, command: Command, server: OtherServer) -> None:
    """No ActionStatus, further keys, any order, text/plain, chunked, `Connection: close`, lower-case headers: all are answers (4)."""
    job = mixed(60)
    server.set(shape=shape, absent=["@TGS#5"])
    server.order({"where": {"From_Account": "user9"}, "code": 50001, "info": "not imported"})

    ended = carried_out(command, job.csv(), 1)

    check_reconciled(ended.json, server.record, job)
    assert ended.json["by_status"] == {**dict.fromkeys(ended.json["by_status"], 0), "succeeded": 58, "absent": 1, "failed": 1}
    assert ended.json["calls"] == 60


def test_every_call_follows_the_vendors_pages(command: Command, server: OtherServer) -> None:
    """Query, UserSig, body and method as documented; `random` fresh for every call; connections kept alive (4)."""
    job = mixed(600)

    ended = carried_out(command, job.csv(), 0)

    record = server.record
    check_reconciled(ended.json, record, job)
    assert record.violations == []
    assert record.repeated_randoms <= 1
    assert record.connections < 400
    assert {call.identifier for call in record.calls} == {"administrator"}
    assert dict.fromkeys(job.targets, 1) == record.effects


_NO_ANSWERS: tuple[tuple[dict[str, object], str], ...] = (
    ({"reset": "after"}, "lost"),
    ({"reset": "before"}, "lost"),
    ({"cut": True, "effect": True}, "lost"),
    ({"body": "<html>502</html>", "http": 502}, "http_502"),
    ({"body": "garbage"}, "unreadable"),
    ({"body": ""}, "unreadable"),
    ({"body": "[]"}, "unreadable"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":"0"}'}, "unreadable"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":0.0}'}, "unreadable"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":true}'}, "unreadable"),
    ({"body": '{"ActionStatus":"OK"}'}, "unreadable"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":0}{}'}, "unreadable"),
    ({"body": '{"ActionStatus":"FAIL","ErrorCode":0}'}, "unreadable"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":0}', "http": 500}, "http_500"),
    ({"body": '{"ActionStatus":"OK","ErrorCode":0,"x":"' + "y" * 70000 + '"}'}, "unreadable"),
)


def for_user(place: int) -> dict[str, object]:
    """What picks the calls of one operation of a job of conversations, by its place."""
    return {"where": {"From_Account": f"user{3 * place}"}}


def test_what_is_no_answer_is_in_doubt_until_a_repeat_settles_it(command: Command, server: OtherServer) -> None:
    """Lost, cut, oversized, unreadable, disagreeing: no success is inferred; each is called so, repeated, and succeeds (4)."""
    job = conversations(100)
    orders = [order for order, _ in _NO_ANSWERS]
    server.order(*({**for_user(10 + place), "attempts": 1, **order} for place, order in enumerate(orders)))

    ended = carried_out(command, job.csv(), 0)

    check_reconciled(ended.json, server.record, job)
    expected = Counter(label for _, label in _NO_ANSWERS) + Counter({"0": 100})
    assert ended.json["apis"]["delete_conversation"]["codes"] == expected
    repeated = [target for target, calls in server.record.of_target.items() if len(calls) == 2]
    assert sorted(repeated) == sorted(job.targets[10 : 10 + len(orders)])


def test_what_never_gets_an_answer_ends_in_doubt(command: Command, server: OtherServer) -> None:
    """Attempts that run out without any answer end as in_doubt, not as failed nor as done: exit 1 (3, 4)."""
    orders: list[dict[str, object]] = [{"reset": "after"}, {"body": "garbage"}, {"http": 503, "body": ""}]
    server.order(*({**for_user(10 + place), **order} for place, order in enumerate(orders)))

    ended = carried_out(command, conversations(100).csv(), 1, "--max-attempts", "3")

    assert ended.json["by_status"]["in_doubt"] == 3
    assert ended.json["by_status"]["succeeded"] == 97
    assert ended.json["calls"] == 97 + 3 * 3


def test_an_answered_failure_after_an_unanswered_one_stays_in_doubt(command: Command, server: OtherServer) -> None:
    """Lost once, then 50004 until attempts run out: one attempt was never answered, so it is in_doubt, not exhausted (3)."""
    where = {"From_Account": "user6"}
    server.order({"where": where, "attempts": 1, "reset": "after"}, {"where": where, "code": 50004})

    ended = carried_out(command, conversations(20).csv(), 1, "--max-attempts", "3")

    assert ended.json["by_status"]["in_doubt"] == 1


_CODES = {
    "failed": (50001, 50002, 51011, 10004, 10015, 60002, 60003, 60015, 10005, 10011, 10012, 12345, 99999),
    "absent": (51009, 10010),
    "exhausted": (50004, 50005, 10002, 60008, 60013, 60014, 70169, 70202, 70500, 51007, 10008),
}


def test_codes_end_an_operation_as_the_table_says(command: Command, server: OtherServer) -> None:
    """Refused, unknown, absent and transient codes, each of one operation among many that succeed (4)."""
    expected = [(code, status) for status, codes in _CODES.items() for code in codes]
    server.order(*({**for_user(10 + place), "code": code, "info": "why"} for place, (code, _) in enumerate(expected)))

    ended = carried_out(command, conversations(200).csv(), 1, "--max-attempts", "2")
    rows = results_of(command.run("results", "job.ledger.db").expect(0).stdout)

    found = [(int(row["_code"]), row["_status"], int(row["_attempts"])) for row in rows[10 : 10 + len(expected)]]
    assert found == [(code, status, 2 if status == "exhausted" else 1) for code, status in expected]
    assert ended.json["by_status"]["succeeded"] == 200 - len(expected)


def test_an_error_code_decides_whatever_the_http_status(command: Command, server: OtherServer) -> None:
    """A readable ErrorCode with HTTP 500 is that code: 50001 is refused at once, not repeated (4)."""
    server.order({"where": {"From_Account": "user6"}, "http": 500, "body": '{"ErrorCode":50001,"ErrorInfo":"no"}'})

    ended = carried_out(command, conversations(20).csv(), 1)

    assert ended.json["by_status"]["failed"] == 1
    assert ended.json["calls"] == 20


@pytest.mark.parametrize(
    "order",
    [
        {"code": 60007},
        {"code": 60011},
        {"http": 429, "body": "slow down"},
        {"http": 429, "body": "", "headers": {"Retry-After": "1"}},
    ],
    ids=["60007", "60011", "429", "429 with Retry-After"],
)
def test_throttling_costs_no_attempt_and_no_operation(order: dict[str, object], command: Command, server: OtherServer) -> None:
    """Throttled calls are repeated without being charged, even with one attempt allowed; the count is reported (4)."""
    job = conversations(60)
    server.order({"skip": 10, "count": 2, **order})

    ended = carried_out(command, job.csv(), 0, "--max-attempts", "1")

    check_reconciled(ended.json, server.record, job)
    assert ended.json["throttled"] == 2
    assert ended.json["by_status"]["succeeded"] == 60


def test_a_connection_closed_without_a_word_costs_nothing(command: Command, server: OtherServer) -> None:
    """A server that closes after each answer without saying so: nothing lost, nothing charged that never left (4; F9)."""
    job = conversations(200)
    server.order({"close": True})

    ended = carried_out(command, job.csv(), 0)

    check_reconciled(ended.json, server.record, job)
    check_limit(server.record)
    assert ended.json["by_status"]["succeeded"] == 200


def test_faults_mixed_at_random_reconcile_to_the_digit(command: Command, server: OtherServer) -> None:
    """A tenth of all calls lost, cut, failing or slow: every operation ends, and the ledger agrees with the server (H1)."""
    job = mixed(400)
    server.set(shape="mixed")
    server.order(
        {"share": 0.02, "reset": "after"},
        {"share": 0.02, "reset": "before"},
        {"share": 0.02, "cut": True, "effect": True},
        {"share": 0.02, "code": 50004},
        {"share": 0.02, "http": 502, "body": "bad gateway"},
        {"share": 0.02, "delay": 0.4},
        {"share": 0.01, "code": 60018},
    )

    ended = carried_out(command, job.csv(), 0)

    record = server.record
    check_reconciled(ended.json, record, job)
    check_limit(record)
    assert set(record.effects) == set(job.targets)
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == 400
    assert ended.json["calls"] == len(record.calls)
    codes = {
        code: sum(api["codes"].get(code, 0) for api in ended.json["apis"].values()) for code in ("50004", "60018", "http_502")
    }
    assert codes == {code: record.labels[code] for code in codes}


@pytest.mark.stress
def test_answers_that_stall_time_out_and_are_repeated(command: Command, server: OtherServer) -> None:
    """A call that is never answered ends as `timeout` after about ten seconds and is sent again (4)."""
    server.order({"skip": 3, "count": 2, "stall": True})

    ended = carried_out(command, conversations(30).csv(), 0)

    assert ended.json["apis"]["delete_conversation"]["codes"] == {"0": 30, "timeout": 2}
    assert 9 < ended.seconds < 25
