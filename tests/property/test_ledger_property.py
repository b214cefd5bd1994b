"""Whatever happens to a ledger, in whatever order: the file and its twin in memory say the same, and counts reconcile."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops.ledger.memory_rows import fold
from bulkops.model import Batch, Invalid, Operation, Status
from tests.helpers.ledger import (
    CLEAR,
    CONVERSATION,
    FILES,
    GROUP,
    OPS,
    OUTCOMES,
    SECOND,
    START,
    Driver,
    Harness,
    MemoryHarness,
    SqliteHarness,
    everything,
    freeze_job,
    reconciles,
)

ACTIONS = ("claim", "claim", "begin", "begin", "begin", "settle", "settle", "settle", "withdraw", "kill", "hold", "retry")


class History:
    """One course of events, done to one ledger. The same seed does the same to another one."""

    def __init__(self, harness: Harness, seed: int) -> None:
        self._harness = harness
        self._rng = random.Random(seed)
        self._started = START
        self._start()

    def _start(self) -> None:
        self._started += 1000 * SECOND
        self.driver = Driver.start(self._harness.store, self._started)
        self._ready: dict[int, tuple[int, Operation]] = {}

    def step(self, action: str) -> object:
        """Do something; what came of it."""
        return getattr(self, f"_{action}")()

    def _claim(self) -> list[Operation]:
        api = self._rng.randrange(3)
        found = self._harness.store.claim(api, self._rng.randrange(1, 4))
        self._ready.update({each.seq: (api, each) for each in found})
        return found

    def _begin(self) -> None:
        if self._ready:
            seq = self._rng.choice(sorted(self._ready))
            api, operation = self._ready.pop(seq)
            self.driver.begin(api, operation)

    def _settle(self) -> None:
        if self.driver.sending:
            seq = self._rng.choice(sorted(self.driver.sending))
            api = self.driver.sending[seq][0]
            outcome = self._rng.choice(OUTCOMES)
            after = self.driver.settle(seq, outcome)
            if outcome.status is Status.PENDING:
                self._ready[seq] = (api, after)

    def _withdraw(self) -> None:
        if self.driver.sending:
            seq = self._rng.choice(sorted(self.driver.sending))
            api = self.driver.sending[seq][0]
            self._ready[seq] = (api, self.driver.withdraw(seq))

    def _kill(self, *, hold: bool = False) -> tuple[int, int]:
        store = self._harness.restart()
        orphans = store.orphan_count()
        recovered = store.recover(hold=hold, at=self.driver.now + SECOND)
        self._start()
        return orphans, recovered

    def _hold(self) -> tuple[int, int]:
        return self._kill(hold=True)

    def _retry(self) -> int:
        store = self._harness.restart()
        store.recover(hold=False, at=self.driver.now)
        statuses = self._rng.sample([status for status in Status if status.ended and status is not Status.SUCCEEDED], 2)
        codes = self._rng.choice([(), (50002, 50004, "http_502")])
        reopened = store.reopen(statuses, codes)
        self._start()
        return reopened


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), actions=st.lists(st.sampled_from(ACTIONS), min_size=10, max_size=60))
def test_the_file_and_its_twin_never_disagree(seed: int, actions: list[str]) -> None:
    """Claims, figures, results, attempts, orphans: after every step."""
    rows = [(api, f"u{n}.{api}\t", f"ref {n}", n + 2) for n in range(7) for api in (CONVERSATION, GROUP, CLEAR)]
    job = [Batch(0, rows, [Invalid(0, 3, "", "no", "{}")]), Batch(1, rows[3:5], [])]
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SqliteHarness(Path(folder) / "job.db", job)
        file, memory = History(sqlite, seed), History(MemoryHarness(job), seed)
        for action in actions:
            assert file.step(action) == memory.step(action), action
            said, expected = everything(file.driver.store), everything(memory.driver.store)
            assert said[1:] == expected[1:], action  # the job's record has its time of creation
            assert reconciles(file.driver.store.figures()), action
        sqlite.close()


NAMES = st.sampled_from(["u1\t", "u1\t1", "u1\t22", "u1", "u2\t", "1", "12", "", "ü\t3", "u1\t1\tp\t\t0"])
ROWS = st.lists(st.tuples(st.integers(0, 2), NAMES, st.text(max_size=3), st.just(0)), max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.tuples(st.integers(0, 1), ROWS), max_size=5))
def test_folding_in_sql_is_folding_in_python(batches: list[tuple[int, list[tuple[int, str, str, int]]]]) -> None:
    """Duplicates, variants, hash and counts, however the rows are cut into batches and files."""
    line = 0
    job = []
    for file, rows in sorted(batches, key=lambda batch: batch[0]):
        placed = []
        for api, content, ref, _ in rows:
            line += 1
            placed.append((api, content, ref, line))
        job.append(Batch(file, placed, []))
    with tempfile.TemporaryDirectory() as folder:
        frozen = freeze_job(Path(folder) / "job.db", job)
        assert frozen == fold(job, OPS, FILES).frozen
        harness = SqliteHarness(Path(folder) / "again.db", job)
        claimed = [each.seq for api in range(3) for each in harness.store.claim(api, 100)]
        assert len(claimed) == frozen.operations == len(set(claimed))
        assert list(harness.store.rows()) == list(MemoryHarness(job).store.rows())
        harness.close()
