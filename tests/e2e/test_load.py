"""Load: what a long run costs, and whether it stays flat (contract 4; acceptance L1, L3, L7, L8). Minutes each."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.support import OPS, check_limit, check_reconciled, conversations, mixed
from tests.helpers.command import Command, Ended, Running
from tests.helpers.otherserver_handle import OtherServer, Record

pytestmark = pytest.mark.stress

MEGABYTE: Final = 1_000_000
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
_LATENCY: Final = 0.08
"""Seconds until an answer."""


def processor_seconds() -> float:
    """What the processes that ended so far used of a core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_of_the_ended() -> int:
    """Bytes that the largest of the processes that ended so far had in memory."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT


def bytes_in_memory(process: int) -> int:
    """What a process has in memory now; 0 once it is gone."""
    said = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=False).stdout
    return int(said or 0) * 1024


def watched(run: Running, patience: float, look: Callable[[], None]) -> Ended:
    """Look every second until a command has ended."""
    while run.alive:
        look()
        time.sleep(1.0)
    return run.wait(patience)


def busiest_minute(record: Record, op: str) -> float:
    """Calls per second over 60 s from the middle of a run: half before, half after."""
    calls = [call.at for call in record.by_op[op]]
    middle = (calls[0] + calls[-1]) / 2
    return sum(middle - 30 <= at < middle + 30 for at in calls) / 60


def test_l1_two_minutes_at_the_limit_cost_a_tenth_of_a_core(command: Command, server: OtherServer) -> None:
    """L1: 24,000 operations of one API, answers after 80 ms: every second <= 200, a minute's mean >= 198/s, CPU <= 10 %."""
    server.set(latency=_LATENCY)
    job = conversations(24_000)
    command.file("job.csv", job.csv())
    before = processor_seconds()

    ended = command.run("run", "job.csv", "--yes", "--json", patience=200).expect(0)

    used = processor_seconds() - before
    record = server.record
    check_reconciled(ended.json, record, job)
    check_limit(record)
    mean = busiest_minute(record, "delete_conversation")
    print(f"\n{mean:.1f}/s, {used / ended.seconds:.1%} of a core, worst second {record.worst_second('delete_conversation')}")
    assert mean >= 198.0
    assert used / ended.seconds <= 0.10


def test_l3_three_apis_at_once_make_594_calls_a_second(command: Command, server: OtherServer) -> None:
    """L3: a minute of all three: each <= 200 in every second of its own, together >= 594/s."""
    server.set(latency=_LATENCY)
    job = mixed(42_000)
    command.file("job.csv", job.csv())

    ended = command.run("run", "job.csv", "--yes", "--json", patience=200).expect(0)

    record = server.record
    check_reconciled(ended.json, record, job)
    check_limit(record)
    together = sum(busiest_minute(record, op) for op in OPS)
    print(f"\n{together:.1f}/s together")
    assert together >= 594.0


def test_l7_a_million_operations_at_two_thousand_a_second_stay_flat(command: Command, server: OtherServer) -> None:
    """L7: memory <= 200 MB and flat from the first tenth on, at most 250 bytes of ledger for each operation."""
    job = mixed(1_000_000)
    total = len(job.operations)
    command.file("job.csv", job.csv())
    grown: list[int] = []
    run = command.start("run", "job.csv", "--yes", "--json", "--rate", "667", "--allow-over-limit", "--progress", "none")

    def look() -> None:
        if server.count > total / 10:
            grown.append(bytes_in_memory(run.pid))

    ended = watched(run, 1200, look).expect(0)

    check_summary_of(ended, total)
    largest = max(grown)
    size = (command.folder / "job.ledger.db").stat().st_size / total
    spread = max(grown) - min(each for each in grown if each)
    print(f"\n{ended.seconds:.0f} s, {largest / MEGABYTE:.0f} MB, {spread / MEGABYTE:+.1f} MB, {size:.0f} bytes an operation")
    assert largest <= 200 * MEGABYTE
    assert spread <= 20 * MEGABYTE
    assert size <= 250
    assert set(server.record.effects) == set(job.targets)


def check_summary_of(ended: Ended, total: int) -> None:
    """See that all of a job was carried out."""
    assert ended.json["operations"] == ended.json["by_status"]["succeeded"] == total
    assert ended.json["calls"] == total


def test_l8_ten_million_lines_are_planned_in_100_seconds(bare: Command) -> None:
    """L8: <= 100 s, <= 250 MB, and every row counted."""
    lines(bare.folder / "job.csv", 10_000_000)

    ended = bare.run("plan", "job.csv", "--json", patience=600).expect(0)

    print(f"\n{ended.seconds:.1f} s, {peak_of_the_ended() / MEGABYTE:.0f} MB")
    assert ended.json["rows"] == ended.json["operations"] == 10_000_000
    assert ended.seconds <= 100
    assert peak_of_the_ended() <= 250 * MEGABYTE


def lines(path: Path, number: int) -> None:
    """A job of so many deletions, written as it is made."""
    with path.open("w", encoding="utf-8") as file:
        file.write("op,From_Account,Type,To_Account,ClearRamble\n")
        for start in range(0, number, 100_000):
            file.write("".join(f"delete_conversation,user{n},1,peer{n},1\n" for n in range(start, start + 100_000)))
