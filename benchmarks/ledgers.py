"""A large ledger that is nearly done, made in a minute instead of by millions of calls.

The job is planned by bulkops itself. What its calls would have written is then written with the ledger's own connection and
counts, in bulk: the same rows, in the same tables, that a run leaves behind. `status` and a resume are asked afterwards
whether they agree.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from benchmarks.contest import APP, ENVIRONMENT
from benchmarks.jobs import Job
from benchmarks.processes import module, run
from bulkops.ledger import SqliteStore
from bulkops.ledger.commit import count
from bulkops.ledger.connection import Database, Mode
from bulkops.ledger.tally import Departures, Tally
from bulkops.model import ProcessRecord, Status, Verdict

CALL: Final = 5_000
"""Microseconds from one departure to the next, and until each answer: 200 calls a second."""

ATTEMPTS: Final = """
INSERT INTO attempt (operation, number, process, begun_at, took, http, code, verdict, sent)
SELECT seq, 1, ?1, ?2 + seq * ?3, ?3, 200, 0, ?4, 1 FROM operation WHERE seq <= ?5 ORDER BY seq
"""


def nearly_done(job: Job, ledger: Path, *, done: int, endpoint: str, scratch: Path) -> None:
    """A ledger of the job whose first `done` operations have succeeded, by a process that ended in order.

    Raises:
        RuntimeError: bulkops does not see it so.
    """
    planned = run(
        module("bulkops", "plan", job.path, "--ledger", ledger, "--json"), scratch=scratch, env=ENVIRONMENT, limit=600
    )
    if planned.exit != 0:
        raise RuntimeError(f"bulkops plan ended with {planned.exit}: {planned.err}")
    began = time.time_ns() // 1000 - job.operations * CALL - 60_000_000
    with SqliteStore.open(ledger, write=True) as store:
        store.confirm(began)
        process = store.start_process(_process(began, endpoint))
    _fill(ledger, process, began, done)
    with SqliteStore.open(ledger, write=True) as store:
        store.end_process(process, began + (done + 1) * CALL, "SIGTERM received", 4)
    status = run(module("bulkops", "status", ledger, "--json"), scratch=scratch, env=ENVIRONMENT, limit=60)
    said = json.loads(status.out)
    if said["by_status"]["succeeded"] != done or said["calls"] != done:
        raise RuntimeError(f"bulkops sees {said['by_status']} and {said['calls']} calls, not {done} successes")


def _process(began: int, endpoint: str) -> ProcessRecord:
    return ProcessRecord(
        number=0,
        operator="bench",
        host="bench",
        pid=1,
        version="0",
        sdkappid=APP,
        identifier=ENVIRONMENT["BULKOPS_IDENTIFIER"],
        endpoint=endpoint,
        settings={"endpoint": endpoint, "sdkappid": APP, "identifier": ENVIRONMENT["BULKOPS_IDENTIFIER"]},
        started_at=began,
    )


def _fill(ledger: Path, process: int, began: int, done: int) -> None:
    """Write what the calls of the first `done` operations leave behind; neither journal nor sync, for nobody else looks."""
    db = Database(ledger, Mode.BUILD)
    try:
        with db.transaction():
            db.run(ATTEMPTS, (process, began, CALL, int(Verdict.SUCCEEDED), done))
            db.run("UPDATE operation SET status = ?1 WHERE seq <= ?2", (int(Status.SUCCEEDED), done))
            tally = Tally()
            for api, ended, first, last in db.all(
                "SELECT api, count(*), min(seq), max(seq) FROM operation WHERE seq <= ? GROUP BY api", (done,)
            ):
                tally.move(api, Status.PENDING.word, Status.SUCCEEDED.word, ended)
                tally.counts[api, "code", "0"] += ended
                tally.departures[api] = Departures(ended, began + first * CALL, began + last * CALL)
                db.run("INSERT INTO lane (api, claimed) VALUES (?, ?)", (api, last))
            count(db, tally, process)
            db.run("UPDATE job SET sdkappid = ?", (APP,))
        db.run("pragma journal_mode=wal")
    finally:
        db.close()
