"""A backend that degrades: outages, brown-outs, throttling that lasts. Nothing is given up, little is wasted (contract, 4; F10 to F12)."""

from __future__ import annotations

import time

import pytest

from tests.e2e.support import Job, check_limit, check_reconciled, conversations
from tests.helpers.command import Command, Ended, Running
from tests.helpers.otherserver_handle import Arrival, OtherServer

pytestmark = pytest.mark.stress

_OP = "delete_conversation"


def started(command: Command, job: Job) -> Running:
    """A run of a job, under way."""
    command.file("job.csv", job.csv())
    return command.start("run", "job.csv", "--yes", "--json", "--max-attempts", "3")


def between(calls: list[Arrival], begin: float, end: float) -> list[Arrival]:
    """Calls that arrived within a time."""
    return [call for call in calls if begin <= call.at < end]


def check_complete(ended: Ended, server: OtherServer, job: Job) -> None:
    """See that the job was carried out to the last operation, within the limit."""
    check_reconciled(ended.json, server.record, job)
    check_limit(server.record)
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == len(job.targets)


@pytest.mark.parametrize(
    "order", [{"http": 503, "body": "down"}, {"code": 50004}, {"reset": "before"}], ids=["503", "50004", "reset"]
)
def test_an_outage_costs_few_calls_and_no_operation(order: dict[str, object], command: Command, server: OtherServer) -> None:
    """30 s of nothing but failures: at most 150 calls after the breaker opened, none given up, 180/s again soon (F10)."""
    job = conversations(4000)
    run = started(command, job)
    server.wait_for_calls(800)
    begin = time.time()
    server.order(order)
    time.sleep(30)
    server.order()
    end = time.time()

    ended = run.wait(120).expect(0)

    calls = server.record.by_op[_OP]
    assert len(between(calls, begin, end)) <= 600
    assert len(between(calls, begin + 5, end)) <= 60
    check_complete(ended, server, job)
    best = max(len(between(calls, end + at, end + at + 1)) for at in range(29))
    assert best >= 180, "not back at 180/s within 30 s"


def test_a_backend_of_forty_a_second_is_used_and_not_flooded(command: Command, server: OtherServer) -> None:
    """Throttled at 40/s for 40 s: after 10 s at most 2 % are rejected while 36/s are used; then back to 180/s within 60 s (F11)."""
    job = conversations(12000)
    server.set(enforce=40)
    run = started(command, job)
    server.wait_for_calls(100)
    begin = time.time()
    time.sleep(40)
    server.set(enforce=200, tolerance=0.01)
    end = time.time()

    ended = run.wait(240).expect(0)

    calls = server.record.by_op[_OP]
    settled = between(calls, begin + 10, end)
    rejected = [call for call in settled if call.label == "60007"]
    assert len(rejected) <= 0.02 * len(settled), f"{len(rejected)} of {len(settled)} rejected"
    assert (len(settled) - len(rejected)) / 30 >= 36
    check_complete(ended, server, job)
    assert any(len(between(calls, end + at, end + at + 1)) >= 180 for at in range(59)), "not back at 180/s within 60 s"


def test_a_backend_that_hangs_costs_few_calls(command: Command, server: OtherServer) -> None:
    """40 s in which no call is answered: at most 600 calls, none given up, and the run completes (F12)."""
    job = conversations(3000)
    run = started(command, job)
    server.wait_for_calls(600)
    begin = time.time()
    server.order({"stall": True})
    time.sleep(40)
    server.order()
    end = time.time()

    ended = run.wait(180).expect(0)

    assert len(between(server.record.by_op[_OP], begin, end)) <= 600
    check_complete(ended, server, job)
