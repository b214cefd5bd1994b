"""`kill -9` at any moment, and the resume: what the ledger says afterwards against what the server saw (contract, 3 and 4)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.e2e.support import LATENESS, Job, check_limit, check_reconciled, conversations, mixed, statuses_of
from tests.helpers.command import Command
from tests.helpers.otherserver_handle import OtherServer

_ENDED = ("succeeded", "absent", "failed", "exhausted", "in_doubt")


def statuses(command: Command) -> dict[str, str]:
    """Where each operation stands in the ledger, by target."""
    return dict(statuses_of(command.run("results", "job.ledger.db", "--format", "jsonl").expect(0).stdout))


def kill_again_and_again(command: Command, server: OtherServer, job: Job, *, kills: int, seed: int) -> None:
    """Run a job to its end through so many kills, and check each of the promises at each of them."""
    dice = random.Random(seed)
    share = len(job.targets) // (kills + 2)
    command.file("job.csv", job.csv())
    in_doubt: dict[str, int] = {}
    ended_before: dict[str, int] = {}
    arguments: tuple[str, ...] = ("run", "job.csv", "--yes")
    for _ in range(kills):
        already = server.count
        run = command.start(*arguments)
        server.wait_for_calls(already + dice.randint(1, share))
        run.kill()
        before = statuses(command)
        assert len(before) == len(job.targets), "lost"
        doubtful = [target for target, status in before.items() if status == "sending"]
        in_flight = len([call for call in server.record.calls if before[call.target] == "sending"])
        commit_group = 100  # 50 ms at three times 200 calls/s, and as much again for a busy machine
        assert len(doubtful) <= in_flight + 3 * 0.2 * 200 + commit_group
        for target in doubtful:
            in_doubt[target] = in_doubt.get(target, 0) + 1
        seen = server.record.of_target
        for target, status in before.items():
            if status in _ENDED:
                ended_before.setdefault(target, len(seen[target]))
        arguments = dice.choice([("run", "job.csv", "--yes"), ("resume", "job.ledger.db")])
    ended = command.run(*arguments, "--json", patience=120).expect(0)
    record = server.record

    check_reconciled(ended.json, record, job)
    assert set(record.effects) == set(job.targets), "lost"
    assert ended.json["by_status"]["succeeded"] + ended.json["by_status"]["absent"] == len(job.targets)
    assert {target: len(record.of_target[target]) for target in ended_before} == ended_before, (
        "sent again although it had ended"
    )
    for target, calls in record.of_target.items():
        assert len(calls) <= 1 + in_doubt.get(target, 0), f"sent again without having been in doubt: {target}"
    assert ended.json["resent_in_doubt"] == sum(in_doubt.values())


@pytest.mark.slow
def test_five_kills_lose_nothing_and_repeat_only_what_was_in_doubt(command: Command, server: OtherServer) -> None:
    """Nothing lost, nothing that ended sent again, what was sent twice was in doubt, and few enough of those (3)."""
    server.set(enforce=200, tolerance=LATENESS)

    kill_again_and_again(command, server, mixed(900), kills=5, seed=20)

    check_limit(server.record)
    assert "60007" not in server.record.labels


@pytest.mark.slow
def test_kills_with_slow_answers_lose_nothing(command: Command, server: OtherServer) -> None:
    """The same with answers that take 0.5 s, so that a hundred calls of a lane are in flight at each kill (3)."""
    server.set(latency=0.5)

    kill_again_and_again(command, server, conversations(240), kills=2, seed=21)


@pytest.mark.slow
def test_a_resume_announces_what_is_in_doubt_before_it_sends(command: Command, server: OtherServer) -> None:
    """The plan of the resume says how many operations were left without an answer, and `status` said as many (3)."""
    server.set(latency=0.5)
    command.file("job.csv", conversations(150).csv())
    run = command.start("run", "job.csv", "--yes")
    server.wait_for_calls(60)
    run.kill()

    before = command.run("status", "job.ledger.db", "--json").expect(0)
    ended = command.run("resume", "job.ledger.db", "--json").expect(0)

    orphans = before.json["by_status"]["sending"]
    assert before.json["state"] == "stopped"
    assert before.json["reason"] == "interrupted"
    assert before.json["exit"] == 4
    assert orphans > 0
    assert f"{orphans} operation" in " ".join(ended.screen.split())
    assert "sent again" in " ".join(ended.screen.split())
    assert ended.json["resent_in_doubt"] == orphans


@pytest.mark.slow
def test_in_doubt_hold_sends_none_of_them_again(command: Command, server: OtherServer) -> None:
    """`--in-doubt hold`: what a kill left in doubt ends as in_doubt, is not sent again, and makes the exit code 1 (3)."""
    server.set(latency=0.5)
    job = conversations(150)
    command.file("job.csv", job.csv())
    run = command.start("run", "job.csv", "--yes")
    server.wait_for_calls(60)
    run.kill()
    doubtful = {target for target, status in statuses(command).items() if status == "sending"}

    ended = command.run("resume", "job.ledger.db", "--in-doubt", "hold", "--json").expect(1)

    assert ended.json["by_status"]["in_doubt"] == len(doubtful) > 0
    assert {target for target, status in statuses(command).items() if status == "in_doubt"} == doubtful
    assert max(len(server.record.of_target.get(target, [])) for target in doubtful) == 1
    again = command.run("retry", "job.ledger.db", "--yes", "--json").expect(0)
    assert again.json["by_status"]["succeeded"] == 150
    assert set(server.record.effects) == set(job.targets)


@pytest.mark.slow
def test_killed_while_the_files_are_read_a_run_starts_anew(command: Command, server: OtherServer) -> None:
    """A kill before the first call leaves nothing in the way: the same command runs the whole job (3)."""
    job = conversations(40)
    lines = job.csv().splitlines()
    command.file("job.csv", lines)
    reader = command.start("run", "-", "--ledger", "job.ledger.db", "--yes", feed=None, terminal=True)
    reader.wait_for("ledger: job.ledger.db")
    reader.kill()

    ended = command.run("run", "job.csv", "--yes", "--json").expect(0)

    check_reconciled(ended.json, server.record, job)
    assert ended.json["calls"] == 40
    left = {path.name for path in Path(command.folder).iterdir()} - {"home"}
    assert left == {"job.csv", "job.ledger.db"}


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(5))
def test_five_kills_in_nine_thousand_operations(seed: int, command: Command, server: OtherServer) -> None:
    """9,000 operations, five kills at random, half of the seeds with 3 % of transient errors (3)."""
    server.set(enforce=200, tolerance=LATENESS)

    kill_again_and_again(command, server, mixed(9000), kills=5, seed=seed)

    check_limit(server.record)
    assert json.dumps(server.record.violations) == "[]"
