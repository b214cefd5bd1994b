"""A process that is killed in the middle of its commits: what it was told is durable is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bulkops.errors import LedgerHeld
from bulkops.ledger import SqliteStore, held, ledger_lock
from bulkops.model import Status
from tests.helpers.ledger import by_status, everything, freeze_job, reconciles, simple_job

OPERATIONS = 4000

VICTIM = """
import asyncio, sys
from pathlib import Path
from bulkops.engine.clock import SystemClock
from bulkops.ledger import GroupCommit, SqliteStore, ledger_lock
from bulkops.model import Intent
from tests.helpers.ledger import SUCCEEDED, a_process, settled

async def main():
    path = Path(sys.argv[1])
    ledger_lock(path).acquire("victim")
    store = SqliteStore.open(path, write=True)
    clock = SystemClock()
    process = store.start_process(a_process(clock.utc()))
    store.recover(hold=False, at=clock.utc())
    ledger = GroupCommit(store, process=process, clock=clock, interval=0.001)
    await ledger.start()
    print("ready", flush=True)
    out = sys.stdout
    before = []
    while operations := await ledger.claim(0, 7):
        began = clock.utc()
        await ledger.begin(0, [Intent(each.seq, each.number + 1, began) for each in operations])
        out.write("".join(f"B{each.seq}\\n" for each in operations))
        out.write("".join(f"S{seq}\\n" for seq in before))
        out.flush()
        for each in operations:
            ledger.settle(0, settled(each, SUCCEEDED, began, clock.utc())[0])
        before = [each.seq for each in operations]  # durable with the next group, which comes before the next intents
    await ledger.flush()

asyncio.run(main())
"""


def run_and_kill(path: Path, after: float) -> tuple[set[int], set[int]]:
    """Let a process carry operations out and kill it.

    Returns:
        What it was told is begun, and what it was told is settled.
    """
    with subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().decode().split("\n")[:-1]
    begun = {int(line[1:]) for line in lines if line[0] == "B"}
    return begun, {int(line[1:]) for line in lines if line[0] == "S"}


@pytest.mark.slow
def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing that ended is done again, and what is repeated was left sending."""
    path = tmp_path / "job.ledger.db"
    freeze_job(path, simple_job(OPERATIONS))
    rng = random.Random(7)
    ended: set[int] = set()
    left: set[int] = set()
    ever: set[int] = set()
    for _ in range(5):
        begun, acknowledged = run_and_kill(path, rng.uniform(0.01, 0.1))
        assert begun
        assert not begun & ended
        assert begun & ever <= left
        ever |= begun
        with SqliteStore.open(path, write=False) as store:
            rows = {row.line - 1: row.status for row in store.results()}
            now_ended = {seq for seq, status in rows.items() if status == "succeeded"}
            now_left = {seq for seq, status in rows.items() if status == "sending"}
            assert acknowledged | ended <= now_ended
            assert begun <= now_ended | now_left
            assert len(now_left) <= 14
            assert store.orphan_count() == len(now_left)
            assert reconciles(store.figures())
        ended, left = now_ended, now_left
    assert held(ledger_lock(path).path) is None
    with SqliteStore.open(path, write=True) as store:
        figures = store.figures()
        assert len(store.processes()) == 5
        assert figures.apis["delete_conversation"].codes.get("lost", 0) >= len(left)
        assert sum(1 for _ in store.contents()) == OPERATIONS


@pytest.mark.slow
def test_a_ledger_in_use_is_readable_and_refused_to_writers(tmp_path: Path) -> None:
    """Figures of a live run come at once, and always agree with one another."""
    path = tmp_path / "job.ledger.db"
    freeze_job(path, simple_job(OPERATIONS))
    with subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(LedgerHeld, match=f"process {process.pid} "):
            ledger_lock(path).acquire()
        done = []
        for _ in range(10):
            began = time.monotonic()
            with SqliteStore.open(path, write=False) as store:
                figures = store.figures()
            assert time.monotonic() - began < 0.5
            assert reconciles(figures)
            done.append(by_status(figures).get(Status.SUCCEEDED, 0))
        assert done == sorted(done)
        process.stdout.read()
    with SqliteStore.open(path, write=True) as store:
        assert by_status(store.figures()) == {Status.SUCCEEDED: OPERATIONS}
        expected = everything(store)
    with SqliteStore.open(path, write=False) as store:
        assert everything(store) == expected
