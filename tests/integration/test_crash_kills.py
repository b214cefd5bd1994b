"""`kill -9` at random in a loop over one job, with every effect counted at the server (F1), and the limit across a kill (L5)."""

from __future__ import annotations

import math
import random
import re
import time
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e.support import Job, check_reconciled, conversations, mixed
from tests.helpers.command import Command, Running
from tests.helpers.crash import Chronicle
from tests.helpers.otherserver_handle import OtherServer, Record

_LATENCY: Final = 0.05
_GROUP: Final = 0.05
"""Seconds that a commit group gathers."""
_AHEAD: Final = 0.2
"""Seconds of departures that may be durable intents."""
_SLACK: Final = 0.25
"""Seconds by which a busy machine may be late with an answer or a commit."""
_USUAL: Final = 0.99
"""Share of the kills for which that slack has to do: one sync in a thousand may take as long as it likes."""
_ANNOUNCED: Final = re.compile(r"([\d,]+) operations? left without an answer by a process that is gone")


@dataclass(frozen=True)
class Loop:
    """A job that is killed again and again.

    Args:
        kills: How often.
        rate: Calls per second of each API.
        early: Share of the kills that come at any moment of a process's first 1.6 s, before or while it begins to send.
        seed: For when they come.
    """

    job: Job
    kills: int
    rate: int
    early: float
    seed: int


def killed_again_and_again(command: Command, server: OtherServer, loop: Loop) -> Chronicle:
    """Run a job to its end through the kills, checking what each of them leaves, and announces, as it comes."""
    ledger = command.folder / "job.ledger.db"
    command.file("job.csv", loop.job.csv())
    chronicle = Chronicle(loop.job.targets)
    dice = random.Random(loop.seed)
    flags = ("--yes", "--progress", "none", "--rate", str(loop.rate), "--allow-over-limit")
    arguments: tuple[str, ...] = ("run", "job.csv", *flags)
    total = len(loop.job.targets)
    for number in range(loop.kills):
        seen = server.count
        run = command.start(*arguments)
        if dice.random() < loop.early and number:
            time.sleep(dice.uniform(0, 1.6))
        else:
            share = max(1, (total - seen) // (loop.kills - number + 1))
            wait_for_calls_of(run, server, seen + dice.randint(1, 2 * share))
        said = run.kill().screen
        at = time.time()
        if number and server.count > seen:
            check_announced(said, len(chronicle.kills[-1].sending))
        if not ledger.exists():
            continue  # killed while the job was frozen: the same command again
        chronicle.killed(ledger, at)
        arguments = ("resume", "job.ledger.db", "--progress", "none")
    ended = command.run(*arguments, "--json", patience=120 + total / loop.rate).expect(0)
    check_announced(ended.screen, len(chronicle.kills[-1].sending))
    record = server.record

    check_reconciled(ended.json, record, loop.job)
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == total
    assert ended.json["calls"] - chronicle.never_left(record) == len(record.calls), "calls are not counted to the digit"
    assert ended.json["resent_in_doubt"] == sum(chronicle.hits.values())
    chronicle.check_effects(record)
    return chronicle


def wait_for_calls_of(run: Running, server: OtherServer, number: int) -> None:
    """Wait for so many calls, or for the end of the process, whichever comes first."""
    end = time.monotonic() + 60
    while server.count < number and run.alive:
        assert time.monotonic() < end, run.so_far()
        time.sleep(0.005)


def check_announced(said: str, in_doubt: int) -> None:
    """See that a resume that sent anything had said before how many operations were in doubt."""
    found = _ANNOUNCED.search(" ".join(said.split()))
    announced = int(found[1].replace(",", "")) if found else 0
    assert announced == in_doubt, f"{in_doubt} in doubt, {announced} announced: {said}"


def check_bounds(chronicle: Chronicle, record: Record, rate: int, lanes: int = 3) -> dict[str, float]:
    """See that no kill left more in doubt than was in flight, 0.2 s of departures and one commit group.

    Returns:
        The largest figures met.
    """
    most_waiting = most_called = 0
    oldest: list[float] = []
    for number, kill in enumerate(chronicle.kills):
        called = chronicle.in_flight(record, kill)
        waiting = len(kill.hit) - len(called)
        most_waiting, most_called = max(most_waiting, waiting), max(most_called, len(called))
        oldest.append(max((kill.at - call.at for call in called), default=0.0))
        assert waiting <= _AHEAD * rate * lanes, f"kill {number}: {waiting} intents had not left"
    oldest.sort()
    usual = oldest[math.ceil(_USUAL * len(oldest)) - 1]
    assert usual <= _LATENCY + 2 * _GROUP + _SLACK, f"answers {usual:.3f} s old were not durable"
    return {"waiting": most_waiting, "called": most_called, "usually oldest": usual, "oldest": oldest[-1]}


@pytest.mark.slow
def test_f1_kills_at_random_lose_nothing_and_repeat_only_what_was_in_doubt(command: Command, server: OtherServer) -> None:
    """F1: six kills over 3,000 operations: 0 lost, 0 repeated but what was announced as in doubt, counts equal to the digit."""
    server.set(latency=_LATENCY)
    loop = Loop(mixed(3000), kills=6, rate=1000, early=0.2, seed=1)

    chronicle = killed_again_and_again(command, server, loop)

    record = server.record
    chronicle.check_calls(record)
    print(check_bounds(chronicle, record, loop.rate))


@pytest.mark.slow
def test_l5_no_window_across_a_kill_and_its_resume_exceeds_the_limit(command: Command, server: OtherServer) -> None:
    """L5: killed in full stream and resumed within 0.2 s, killed again before it sends, resumed: every 1.000 s window <= 200."""
    job = conversations(300)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", "--yes")
    server.wait_for_calls(150)
    for pause in (0.0, 0.4):
        time.sleep(pause)
        run.kill()
        killed = time.monotonic()
        run = command.start("resume", "job.ledger.db")
        assert time.monotonic() - killed <= 0.2
    run.wait().expect(0)

    record = server.record
    gap = max(after.at - before.at for before, after in zip(record.calls, record.calls[1:], strict=False))
    assert record.worst_second("delete_conversation") <= 200
    assert gap < 3.0, "the window is kept by waiting it out, no longer"


@pytest.mark.stress
def test_f1_a_thousand_kills_over_two_hundred_thousand_operations(command: Command, server: OtherServer) -> None:
    """F1 in full: 1,000 kills in one loop over 200,000 operations, half an hour."""
    server.set(latency=_LATENCY)
    loop = Loop(mixed(200_000), kills=1000, rate=1000, early=0.3, seed=2)

    chronicle = killed_again_and_again(command, server, loop)

    record = server.record
    repeats = chronicle.check_calls(record)
    print(
        f"{len(chronicle.kills)} kills, {len(record.calls)} calls, {repeats} repeats, {check_bounds(chronicle, record, loop.rate)}"
    )
