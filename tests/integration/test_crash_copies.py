"""Copies of a ledger that is in use: refused, or consistent; what is resumed from one claims nothing false."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bulkops.errors import LedgerError
from bulkops.ledger import SqliteStore
from bulkops.ledger.connection import PAGE_SIZE
from bulkops.model import Status
from tests.e2e.support import Job, mixed
from tests.helpers.command import Ended
from tests.helpers.crash import Snapshot
from tests.helpers.crash_forks import Fork, Forks
from tests.helpers.ledger import CONVERSATION, SUCCEEDED, Driver, by_status, copied, freeze_job, settled, simple_job
from tests.helpers.otherserver_handle import OtherServer

_FLAGS: Final = ("--yes", "--progress", "none", "--json", "--allow-shared-quota", "--rate", "1000", "--allow-over-limit")

_GROUP: Final = 40
"""Operations that are begun, and settled, together."""


_APART: Final = 3
"""Commits that may lie between the beginning and the end of a copy."""


@dataclass(frozen=True)
class Live:
    """A run under way, with its ledger."""

    forks: Forks
    server: OtherServer
    run: Fork
    job: Job
    ledger: Path

    def copy(self, name: str) -> Path:
        """Where a copy goes: a folder of its own."""
        folder = self.ledger.parent / name
        folder.mkdir()
        return folder / self.ledger.name

    def finish(self) -> None:
        """End the run in order."""
        os.kill(self.run.pid, signal.SIGTERM)
        assert self.forks.wait(self.run).code in {0, 4}

    def look_at(self, copy: Path) -> bool:
        """See that a copy is refused, or all that it calls ended took effect. Whether it was accepted."""
        looked = self.forks.run(copy.parent, "status", copy.name, "--json")
        if looked.code == 5:
            return False
        looked.expect(0)
        found = Snapshot.of(copy)
        assert {self.job.targets[place] for place in found.ended} <= set(self.server.record.effects)
        by_status = looked.json["by_status"]
        assert by_status["succeeded"] + by_status["absent"] == len(found.ended)
        assert by_status["sending"] == len(found.sending)
        return True

    def resume(self, *copies: Path) -> list[Ended]:
        """Resume copies, side by side."""
        forks = [self.forks.start(copy.parent, "resume", copy.name, *_FLAGS) for copy in copies]
        return [self.forks.wait(fork) for fork in forks]


@pytest.fixture
def live(tmp_path: Path, server: OtherServer, forks: Forks) -> Live:
    """A run that takes its time, in a folder of its own."""
    job = mixed(450)
    folder = tmp_path / "live"
    folder.mkdir()
    (folder / "job.csv").write_text(job.csv())
    run = forks.start(folder, "run", "job.csv", "--yes", "--progress", "none", "--json", "--rate", "100")
    server.wait_for_calls(60)
    return Live(forks, server, run, job, folder / "job.ledger.db")


def cp(source: Path, target: Path, *suffixes: str) -> None:
    """Copy a ledger's files one after the other, as `cp` does."""
    for suffix in suffixes:
        shutil.copyfile(f"{source}{suffix}", f"{target}{suffix}")


@pytest.mark.slow
def test_a_copy_of_a_live_ledger_is_refused_or_true(live: Live) -> None:
    """`cp` beside a run: without the log it is refused; with the log it is true; the backup API and VACUUM INTO are true."""
    alone, together = live.copy("alone"), live.copy("together")
    cp(live.ledger, alone, "")
    cp(live.ledger, together, "", "-wal")
    backup, vacuumed = live.copy("backup"), live.copy("vacuumed")
    with closing(sqlite3.connect(f"file:{live.ledger}?mode=ro", uri=True)) as source:
        with closing(sqlite3.connect(backup)) as target:
            source.backup(target)
        source.execute("VACUUM INTO ?", (str(vacuumed),))
    live.finish()
    sent = live.server.count

    assert not live.look_at(alone)
    assert "its log is gone" in live.resume(alone)[0].expect(5).screen
    assert live.server.count == sent
    accepted = [together, backup, vacuumed]
    assert all(live.look_at(copy) for copy in accepted)
    for done in live.resume(*accepted):
        by_status = done.expect(0).json["by_status"]
        assert by_status["succeeded"] + by_status["absent"] == len(live.job.targets)
    assert set(live.server.record.effects) == set(live.job.targets)


@pytest.mark.slow
def test_a_copy_whose_file_and_log_are_of_different_moments_is_refused_or_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cp` of a large ledger takes time, and the log is moved into the file meanwhile: no such mixture passes for the truth."""
    monkeypatch.setattr("bulkops.ledger.store.LOG_LIMIT", 25)
    monkeypatch.setattr("bulkops.ledger.opening.VERIFIED_WHOLE", 0)  # as with a large ledger
    moments = list(moments_of(tmp_path / "live", 60))
    dice = random.Random(1)
    results: Counter[str] = Counter()
    for number in range(120):
        early = dice.randrange(len(moments) - 2 * _APART)
        middle = early + dice.randrange(_APART)
        late = middle + dice.randrange(_APART)
        begin, end = moments[early].file, moments[dice.choice((early, middle))].file
        cut = dice.randrange(1, len(begin) // PAGE_SIZE) * PAGE_SIZE
        copy = tmp_path / f"copy-{number}" / "job.ledger.db"
        copy.parent.mkdir()
        copy.write_bytes(begin[:cut] + end[cut:])
        Path(f"{copy}-wal").write_bytes(moments[late].log)
        results[seen_in(copy, moments[late].ended)] += 1
    assert results["refused"] > 30, results
    assert results["true"] > 10, results


@dataclass(frozen=True)
class Moment:
    """A live ledger's bytes after a commit, and how many operations had ended by then."""

    file: bytes
    log: bytes
    ended: int


def moments_of(folder: Path, number: int) -> Iterator[Moment]:
    """What `cp` would have found after each of so many commits."""
    folder.mkdir()
    path = folder / "job.ledger.db"
    freeze_job(path, simple_job(_GROUP * (number + 1)))
    with SqliteStore.open(path, write=True) as store:
        driver = Driver.start(store)
        for ended in range(_GROUP, _GROUP * (number + 1), _GROUP):
            operations = store.claim(CONVERSATION, _GROUP)
            driver.begin(CONVERSATION, *operations)
            changes = driver.changes()
            outcomes = [settled(operation, SUCCEEDED, driver.now, driver.now) for operation in operations]
            changes.settlements = [(CONVERSATION, settlement) for settlement, _ in outcomes]
            store.apply(changes)
            copy = copied(path, folder / "copy", "-wal")
            yield Moment(copy.read_bytes(), Path(f"{copy}-wal").read_bytes(), ended)


def seen_in(copy: Path, ended: int) -> str:
    """What somebody sees who opens a copy: refused, or true.

    Raises:
        AssertionError: It says something that never was.
    """
    try:
        with SqliteStore.open(copy, write=True) as store:
            rows = [row.status for row in store.results()]
            figures = store.figures()
    except LedgerError:
        return "refused"
    assert rows.count("succeeded") <= ended
    assert rows == sorted(rows, key=("succeeded", "sending", "pending").index), "operations were carried out in their order"
    assert rows.count("succeeded") == by_status(figures)[Status.SUCCEEDED]
    return "true"
