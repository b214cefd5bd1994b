"""The rate of the installed command, counted at a server that shares no code with it and rejects what is over the limit."""

from __future__ import annotations

import pytest

from tests.e2e.support import LATENESS, OPS, Job, check_limit, check_reconciled, conversations, mixed
from tests.helpers.command import Command, Ended
from tests.helpers.otherserver_handle import OtherServer, Record

pytestmark = pytest.mark.xdist_group("rate")  # two of these at once would measure each other

_MANY = 9000
_LIMIT = 200


def carried_out(command: Command, server: OtherServer, job: Job, *flags: str) -> tuple[Ended, Record]:
    """A whole run of a job at a server that enforces the limit, reconciled."""
    server.set(enforce=_LIMIT, tolerance=LATENESS)
    command.file("job.csv", job.csv())
    ended = command.run("run", "job.csv", "--yes", "--json", *flags, patience=120).expect(0)
    record = server.record
    check_reconciled(ended.json, record, job)
    return ended, record


@pytest.mark.slow
@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_three_lanes_run_side_by_side_up_to_the_limit_and_never_over(order: str, command: Command, server: OtherServer) -> None:
    """1,500 operations, mixed or sorted by op: each API at 198 calls/s or more, never over 200 in a second, nothing rejected (4)."""
    job = mixed(1500)

    ended, record = carried_out(command, server, job if order == "mixed" else job.ordered)

    check_limit(record)
    assert record.labels == {"0": 1500}
    assert min(record.rate(op) for op in OPS) >= 198, {op: record.rate(op) for op in OPS}
    assert ended.seconds < 6, "lanes waited for each other: one after the other they take 7.5 s"


@pytest.mark.slow
def test_answers_of_one_second_do_not_lower_the_rate(command: Command, server: OtherServer) -> None:
    """With answers that take 1 s each, a lane still makes 198 calls/s: waiting holds nothing back (4)."""
    server.set(latency=1.0)

    _, record = carried_out(command, server, conversations(500))

    check_limit(record)
    assert record.rate("delete_conversation") >= 198


@pytest.mark.slow
def test_retries_do_not_lower_the_rate(command: Command, server: OtherServer) -> None:
    """With a tenth of the calls to be repeated the lane stays at its limit, repeats included, and never above (4)."""
    server.order({"share": 0.1, "attempts": 1, "code": 50004})

    ended, record = carried_out(command, server, conversations(500))

    check_limit(record)
    assert 25 <= ended.json["retried"] == record.labels["50004"] <= 90
    first = record.calls[1:500]  # as long as there is work waiting; afterwards the last backoffs run out
    assert (len(first) - 1) / (first[-1].at - first[0].at) >= 198


@pytest.mark.slow
def test_a_lower_rate_is_kept_for_one_api_and_for_the_others(command: Command, server: OtherServer) -> None:
    """`--rate N --rate OP=M`: N for each API, M for one of them, none above its own (4)."""
    _, record = carried_out(command, server, mixed(240), "--rate", "60", "--rate", "clear_group_messages=30")

    for op, rate in zip(OPS, (60, 60, 30), strict=True):
        assert record.worst_second(op, lateness=LATENESS) <= rate
        assert record.rate(op) >= 0.98 * rate


@pytest.mark.slow
def test_a_resume_keeps_the_limit_across_both_processes(command: Command, server: OtherServer) -> None:
    """Killed and resumed at once, no second holds more than 200 calls of an API, whichever process made them (4)."""
    server.set(enforce=_LIMIT, tolerance=LATENESS)
    job = conversations(450)
    command.file("job.csv", job.csv())

    run = command.start("run", "job.csv", "--yes")
    server.wait_for_calls(150)
    run.kill()
    ended = command.run("resume", "job.ledger.db", "--json").expect(0)

    check_limit(server.record)
    check_reconciled(ended.json, server.record, job)
    assert "60007" not in server.record.labels


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1, 7])
def test_a_small_rate_is_kept_too(rate: int, command: Command, server: OtherServer) -> None:
    """At a handful of calls a second there is no burst at the start either (4)."""
    _, record = carried_out(command, server, conversations(3 * rate), "--rate", str(rate))

    assert record.worst_second("delete_conversation", lateness=LATENESS) <= rate


@pytest.mark.stress
@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_nine_thousand_operations_take_fifteen_seconds(order: str, command: Command, server: OtherServer) -> None:
    """9,000 operations, mixed or sorted by op: about 15 s, each API at 198/s or more, never over 200, nothing rejected (4)."""
    job = mixed(_MANY)

    ended, record = carried_out(command, server, job if order == "mixed" else job.ordered)

    check_limit(record)
    assert record.labels == {"0": _MANY}
    assert min(record.rate(op) for op in OPS) >= 198, {op: record.rate(op) for op in OPS}
    assert ended.seconds < 18


@pytest.mark.stress
def test_nine_thousand_operations_take_as_long_with_answers_of_one_second(command: Command, server: OtherServer) -> None:
    """9,000 operations with answers of 1 s each: the same rate, never over 200 (4)."""
    server.set(latency=1.0)

    ended, record = carried_out(command, server, mixed(_MANY))

    check_limit(record)
    assert min(record.rate(op) for op in OPS) >= 198, {op: record.rate(op) for op in OPS}
    assert ended.seconds < 20


@pytest.mark.stress
def test_a_frozen_server_gets_no_burst_afterwards(command: Command, server: OtherServer) -> None:
    """After 3 s in which nothing was answered, what catches up keeps the limit, and nothing is lost (4; L4)."""
    job = mixed(3000)
    server.order({"skip": 600, "count": 1800, "delay": 3.0})

    _, record = carried_out(command, server, job)

    check_limit(record)
    assert set(record.effects) == set(job.targets)
