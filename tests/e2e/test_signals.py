"""Ctrl-C and SIGTERM at any moment: exit 4, the command that continues, nothing sent twice (contract, 5)."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.support import check_reconciled, check_summary, conversations, seldom
from tests.helpers.command import Command, Running
from tests.helpers.otherserver_handle import SDKAPPID, OtherServer, wait_until

pytestmark = pytest.mark.slow


def under_way(command: Command, server: OtherServer, *flags: str, operations: int = 200, calls: int = 40) -> Running:
    """A run in the middle of its job."""
    command.file("job.csv", conversations(operations).csv())
    run = command.start("run", "job.csv", "--yes", *flags)
    server.wait_for_calls(calls)
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, seldom(signal.SIGHUP)])
def test_a_signal_drains_and_the_printed_command_finishes(
    number: signal.Signals, command: Command, server: OtherServer
) -> None:
    """First signal: what is in flight is finished, nothing is in doubt, exit 4; its last line finishes the job, nothing twice."""
    server.set(latency=0.3)
    run = under_way(command, server, "--json")

    run.signal(number)
    stopped = run.wait().expect(4)
    calls_then = server.count
    status = command.run("status", "job.ledger.db", "--json").expect(0).json

    check_summary(stopped.json)
    assert stopped.json["state"] == "stopped"
    assert number.name in stopped.json["reason"]
    assert stopped.json["exit"] == 4
    assert stopped.json["by_status"]["sending"] == 0
    assert stopped.json["calls"] == calls_then
    assert {**status, "elapsed_s": 0} == {**stopped.json, "elapsed_s": 0}
    ended = command.run(*stopped.continuation, "--json").expect(0)
    check_reconciled(ended.json, server.record, conversations(200))
    assert ended.json["calls"] == 200
    assert set(server.record.effects.values()) == {1}
    assert ended.json["resent_in_doubt"] == 0


def test_after_a_signal_nothing_that_waits_for_a_token_leaves(command: Command, server: OtherServer) -> None:
    """What was not yet sent when the signal came is not sent: at the server the calls stop (5)."""
    server.set(latency=1.0)
    run = under_way(command, server, "--rate", "20", calls=20)

    run.signal(signal.SIGINT)
    signalled = time.time()
    run.wait().expect(4)

    late = [call for call in server.record.calls if call.at > signalled + 0.05]
    assert late == []


def test_the_second_signal_ends_at_once_and_leaves_what_is_unanswered_in_doubt(command: Command, server: OtherServer) -> None:
    """Second Ctrl-C: exit 4 within a second; what was awaited stays `sending` and is announced by the resume (5)."""
    server.order({"skip": 30, "count": 20, "stall": True, "effect": True})
    run = under_way(command, server, "--json", calls=60)

    run.signal(signal.SIGINT)
    time.sleep(0.3)
    asked = time.monotonic()
    run.signal(signal.SIGINT)
    stopped = run.wait().expect(4)

    assert time.monotonic() - asked < 1.5
    check_summary(stopped.json)
    assert stopped.json["by_status"]["sending"] == 20
    assert stopped.json["calls"] == server.count
    ended = command.run(*stopped.continuation, "--json").expect(0)
    assert ended.json["resent_in_doubt"] == 20
    assert max(len(calls) for calls in server.record.of_target.values()) == 2
    check_reconciled(ended.json, server.record, conversations(200))


@pytest.mark.stress
def test_a_drain_waits_ten_seconds_at_most(command: Command, server: OtherServer) -> None:
    """Answers that never come hold a drain up for at most 10 s; what got none is in doubt, not done (5)."""
    server.order({"skip": 30, "count": 5, "stall": True, "effect": True})
    run = under_way(command, server, "--json", calls=60)

    run.signal(signal.SIGTERM)
    asked = time.monotonic()
    stopped = run.wait().expect(4)

    assert time.monotonic() - asked < 11.5
    assert stopped.json["by_status"]["sending"] == 5
    assert stopped.json["by_status"]["succeeded"] == server.count - 5


def test_ctrl_c_while_the_files_are_read_sends_nothing(command: Command, server: OtherServer) -> None:
    """Interrupted while it reads: exit 4, no call, the last line is the command itself, no ledger is left (5)."""
    os.mkfifo(command.folder / "job.csv")
    run = command.start("run", "job.csv", "--yes")
    pipe = os.open(command.folder / "job.csv", os.O_WRONLY)
    try:
        os.write(pipe, conversations(100).csv().encode())
        run.wait_for("ledger: job.ledger.db")
        time.sleep(0.3)

        run.signal(signal.SIGINT)
        stopped = run.wait(15).expect(4)
    finally:
        os.close(pipe)

    assert server.count == 0
    assert stopped.continuation == ("run", "job.csv", "--yes")


def test_ctrl_c_at_the_prompt_is_a_no(command: Command, server: OtherServer) -> None:
    """Ctrl-C where the SDKAppID is asked for: exit 4, nothing sent; the last line continues, and asks again (5)."""
    job = conversations(20)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", terminal=True)
    run.wait_for("Type the SDKAppID")

    run.type("\x03")
    stopped = run.wait().expect(4)

    assert server.count == 0
    assert stopped.continuation == ("resume", "job.ledger.db")
    again = command.start(*stopped.continuation, terminal=True)
    again.wait_for("Type the SDKAppID")
    again.type(f"{SDKAPPID}\n")
    again.wait().expect(0)
    assert set(server.record.effects) == set(job.targets)


@pytest.mark.parametrize("answer", ["y\n", "\x04", seldom("1400000043\n"), seldom("\n")])
def test_another_answer_than_the_sdkappid_is_a_no(answer: str, command: Command, server: OtherServer) -> None:
    """At the prompt only the SDKAppID itself is a yes; anything else is exit 4 and nothing sent (5)."""
    command.file("job.csv", conversations(3).csv())
    run = command.start("run", "job.csv", terminal=True)
    run.wait_for("Type the SDKAppID")

    run.type(answer)
    run.wait().expect(4)

    assert server.count == 0


def test_the_sdkappid_typed_carries_the_job_out(command: Command, server: OtherServer) -> None:
    """The SDKAppID at the prompt is a yes, and nothing was sent before it (5)."""
    job = conversations(10)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", terminal=True)
    run.wait_for("Type the SDKAppID")
    assert server.count == 0

    run.type(f"{SDKAPPID}\n")
    run.wait().expect(0)

    assert set(server.record.effects) == set(job.targets)


def test_ctrl_c_typed_at_the_terminal_drains(command: Command, server: OtherServer) -> None:
    """Ctrl-C at a live terminal: exit 4, and the last line on the screen is the command that continues (5)."""
    server.set(latency=0.2)
    command.file("job.csv", conversations(300).csv())
    run = command.start("run", "job.csv", "--yes", terminal=True)
    server.wait_for_calls(40)

    run.type("\x03")
    stopped = run.wait().expect(4)

    assert stopped.continuation == ("resume", "job.ledger.db")


def test_a_signal_before_anything_begins_ends_the_command(command: Command, server: OtherServer) -> None:
    """A signal during the first moments of the process, whenever it comes: it ends soon, says so, and shows no traceback (5)."""
    command.file("job.csv", conversations(2000).csv())
    for delay in (0.05, 0.12, 0.2, 0.3, 0.4, 0.5):
        run = command.start("run", "job.csv", "--yes")
        time.sleep(delay)
        run.signal(signal.SIGTERM)
        ended = run.wait(15)

        assert ended.code in {4, -signal.SIGTERM}, ended
        assert "Traceback" not in ended.stderr
        if ended.code == 4:
            assert ended.continuation
        wait_until(lambda pid=run.pid: not _exists(pid), "the process's end")  # type: ignore[misc]  # mypy can't type a default


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
