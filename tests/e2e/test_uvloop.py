"""The same promises on the other event loop: what it does below the client is not what asyncio's own does."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.support import LATENESS, OPS, check_limit, check_reconciled, conversations, mixed
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rate")]


@pytest.fixture
def on_uvloop(command: Command) -> Command:
    """The command, on uvloop."""
    command.environ["BULKOPS_LOOP"] = "uvloop"
    return command


def test_three_lanes_use_their_limits_and_keep_them(on_uvloop: Command, server: OtherServer) -> None:
    """1,500 operations: each API at 198 calls/s or more, never over 200 in a second (4)."""
    server.set(enforce=200, tolerance=LATENESS)
    job = mixed(1500)
    on_uvloop.file("job.csv", job.csv())

    ended = on_uvloop.run("run", "job.csv", "--yes", "--json").expect(0)

    record = server.record
    check_reconciled(ended.json, record, job)
    check_limit(record)
    assert record.labels == {"0": 1500}
    assert min(record.rate(op) for op in OPS) >= 198, {op: record.rate(op) for op in OPS}


def test_lost_cut_and_failing_calls_reconcile(on_uvloop: Command, server: OtherServer) -> None:
    """Connections that break at every point of a call: each operation ends, and nothing is done that isn't accounted for (H1)."""
    job = mixed(400)
    server.set(shape="mixed")
    server.order(
        {"share": 0.03, "reset": "after"},
        {"share": 0.03, "reset": "before"},
        {"share": 0.02, "cut": True, "effect": True},
        {"share": 0.02, "code": 50004},
        {"share": 0.05, "close": True},
    )
    on_uvloop.file("job.csv", job.csv())

    ended = on_uvloop.run("run", "job.csv", "--yes", "--json").expect(0)

    record = server.record
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == 400
    assert set(record.effects) == set(job.targets)
    assert not record.violations
    # A request that went to a connection just closed may have left without arriving: it is counted, and in doubt until settled.
    assert (
        0 <= ended.json["calls"] - len(record.calls) <= sum(api["codes"].get("lost", 0) for api in ended.json["apis"].values())
    )


def test_a_signal_drains_and_a_resume_finishes(on_uvloop: Command, server: OtherServer) -> None:
    """Ctrl-C: what is in flight is finished, nothing is in doubt, exit 4; the printed command finishes, nothing twice (5)."""
    server.set(latency=0.3)
    on_uvloop.file("job.csv", conversations(200).csv())
    run = on_uvloop.start("run", "job.csv", "--yes", "--json")
    server.wait_for_calls(40)

    run.signal(signal.SIGINT)
    stopped = run.wait().expect(4)

    assert stopped.seconds < 5
    assert stopped.json["by_status"]["sending"] == 0
    ended = on_uvloop.run(*stopped.continuation, "--json").expect(0)
    check_reconciled(ended.json, server.record, conversations(200))
    assert set(server.record.effects.values()) == {1}


def test_a_kill_loses_nothing(on_uvloop: Command, server: OtherServer) -> None:
    """Killed in full stream: what was under way is announced and sent again, everything ends (3)."""
    server.set(latency=0.2)
    job = conversations(300)
    on_uvloop.file("job.csv", job.csv())
    run = on_uvloop.start("run", "job.csv", "--yes")
    server.wait_for_calls(100)

    run.kill()
    ended = on_uvloop.run("resume", "job.ledger.db", "--json").expect(0)

    check_reconciled(ended.json, server.record, job)
    assert set(server.record.effects) == set(job.targets)
    assert ended.json["resent_in_doubt"] > 0
    assert max(server.record.effects.values()) <= 2


def test_the_second_signal_ends_at_once(on_uvloop: Command, server: OtherServer) -> None:
    """Within a second, with the number of calls that are in doubt, and the command that continues (5)."""
    server.set(latency=8.0)
    on_uvloop.file("job.csv", conversations(100).csv())
    run = on_uvloop.start("run", "job.csv", "--yes", "--json")
    server.wait_for_calls(1)
    run.signal(signal.SIGINT)
    run.wait_for("SIGINT")

    run.signal(signal.SIGINT)
    ended = run.wait(2).expect(4)

    assert ended.json["by_status"]["sending"] == 1
    assert ended.continuation == ("resume", "job.ledger.db")
