"""A loss of power at any moment: what was taken for durable is there, whatever else the disk kept (F6)."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bulkops.errors import LedgerMissing
from bulkops.ledger import SqliteStore
from tests.e2e.support import Job, mixed
from tests.helpers import strace
from tests.helpers.command import clean_environment, credentials
from tests.helpers.crash import Snapshot
from tests.helpers.crash_forks import Forks
from tests.helpers.crash_power import Disk, Event, losses, read
from tests.helpers.ledger import reconciles
from tests.helpers.otherserver_handle import OtherServer, Record

pytestmark = pytest.mark.xdist_group("losses of power")  # they share what takes seconds to make

_FLAGS: Final = ("--yes", "--progress", "none", "--json")


@dataclass(frozen=True)
class Recording:
    """A whole run: its events, its job, and what the server saw."""

    events: list[Event]
    job: Job
    record: Record
    folder: Path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """A run in three processes: the first is killed, the second is stopped, the third comes to the end."""
    folder = tmp_path_factory.mktemp("power")
    job = mixed(120)
    (folder / "job.csv").write_text(job.csv())
    log = folder / "recording"
    with OtherServer() as server, Forks({**clean_environment(folder / "home"), **credentials(server)}) as forks:
        server.set(latency=0.03)
        server.order({"share": 0.05, "attempts": 1, "code": 50004})
        for arguments, calls, end in (
            (("run", "job.csv"), 40, signal.SIGKILL),
            (("resume", "job.ledger.db"), 80, signal.SIGTERM),
            (("resume", "job.ledger.db"), 0, None),
        ):
            fork = forks.start(folder, *arguments, *_FLAGS, record=log)
            if end is not None:
                server.wait_for_calls(calls)
                os.kill(fork.pid, end)
            assert forks.wait(fork).code in {-9, 4, 0}
        yield Recording(read(log), job, server.record, folder)


def check_after_loss(recording: Recording, disk: Disk, moment: int, known: dict[int, bool], seed: int) -> str:
    """Take the power away at a moment, and see what the ledger knows when it is back.

    Returns:
        What came of it: none, frozen, or begun.

    Raises:
        AssertionError: Something that was durable is gone, or had left without being known.
    """
    dice = random.Random(seed)
    folder = recording.folder / f"loss-{moment}-{seed}"
    folder.mkdir()
    disk.after_loss(dice, folder)
    ledger = folder / "job.ledger.db"
    at = recording.events[moment - 1].at
    left = {call.target for call in recording.record.calls if call.at <= at}
    try:
        with SqliteStore.open(ledger, write=True) as store:
            assert reconciles(store.figures())
    except LedgerMissing:
        assert not known
        assert not left
        return "none"
    found = Snapshot.of(ledger)
    assert found.operations == len(recording.job.targets)
    for seq, ended in known.items():
        assert seq - 1 in (found.ended if ended else found.known), f"operation {seq} at event {moment}, seed {seed}"
    assert left <= {recording.job.targets[place] for place in found.known}
    return "begun" if known else "frozen"


def lose_power(recording: Recording, number: int, seed: int) -> Counter[str]:
    """Take the power away at so many random moments.

    Returns:
        How often what came of it.
    """
    dice = random.Random(seed)
    moments = [dice.randrange(1, len(recording.events) + 1) for _ in range(number)]
    results: Counter[str] = Counter()
    for moment, disk, known in losses(recording.events, moments):
        results[check_after_loss(recording, disk, moment, known, dice.randrange(1 << 30))] += 1
    return results


@pytest.mark.slow
def test_f6_a_loss_of_power_takes_nothing_away_that_was_durable(recording: Recording) -> None:
    """F6: at 40 random moments of a run, unsynced writes dropped, kept or torn by sectors: the ledger opens with all it promised."""
    kinds = Counter(event.kind for event in recording.events)
    assert kinds["write"] > 100
    assert kinds["sync"] > 10
    assert kinds["known"] > 5
    assert kinds["rename"] == 1

    results = lose_power(recording, 40, seed=1)

    assert results["begun"] > 20


@pytest.mark.skipif(bool(strace.missing()), reason=strace.missing() or "strace is here")
@pytest.mark.slow
def test_f6_the_names_of_ledger_and_log_are_durable_before_the_first_call_leaves(
    tmp_path: Path, forks: Forks, server: OtherServer
) -> None:
    """F6: the folder is synced once the log is there, and the log once the first intent is in it; only then a call leaves."""
    (tmp_path / "job.csv").write_text(mixed(3).csv())
    fork = forks.start(tmp_path, "run", "job.csv", *_FLAGS, hold=True)
    tracer = strace.Strace(fork.pid, tmp_path / "strace", calls=(*strace.CALLS, "sendto", "sendmsg"), options=("-s", "8"))
    fork.release()
    forks.wait(fork).expect(0)
    calls = tracer.wait()

    log = str(tmp_path / "job.ledger.db-wal")
    first = next(place for place, call in enumerate(calls) if call.name.startswith("send") and "POST" in call.arguments)
    created = next(
        place
        for place, call in enumerate(calls)
        if call.name == "openat" and "O_CREAT" in call.arguments and log in call.arguments
    )
    between = calls[created:first]
    assert any(call.name == "fsync" and call.path == str(tmp_path) and call.result == "0" for call in between)
    written = max(place for place, call in enumerate(between) if call.name == "pwrite64" and call.path == log)
    assert any(call.name == "fdatasync" and call.path == log and call.result == "0" for call in between[written:])
    assert server.count == 3


@pytest.mark.stress
def test_f6_a_loss_of_power_at_a_thousand_moments_takes_nothing_away(recording: Recording) -> None:
    """F6 in full, five times over: 1,000 random moments."""
    results = lose_power(recording, 1000, seed=2)

    print(f"\n1,000 losses of power in {len(recording.events)} events: {dict(results)}")
    assert results["none"] > 10
    assert results["begun"] > 500
