"""The library: plan, open_run and their kin. Wires the folders together; reads no environment, prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from bulkops.app.freezing import JobSource, Plan, default_ledger, fresh_figures, plan_of, read_for_plan
from bulkops.app.opening import open_resume, open_retry, open_run
from bulkops.app.run import Run
from bulkops.app.views import results, status, stored_settings
from bulkops.errors import LedgerMismatch
from bulkops.ledger import SqliteStore
from bulkops.ledger.lock import ledger_lock

__all__ = [
    "Plan",
    "Run",
    "default_ledger",
    "open_resume",
    "open_retry",
    "open_run",
    "plan",
    "results",
    "status",
    "stored_settings",
]


async def plan(
    files: Sequence[str],
    *,
    ledger: Path | None = None,
    op: str | None = None,
    on_invalid: str = "stop",
    rates: Mapping[str, int] | None = None,
    sandbox: bool = False,
    stdin: BinaryIO | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Plan:
    """What a run of these files would do. Sends nothing; leaves no file unless `ledger` is given.

    Bad rows are in the plan (`invalid`, `figures.invalid`): whether they stop the job is the caller's to say.

    Raises:
        JobFileError: A file as a whole can't be read.
        LedgerMismatch: `ledger` is a ledger in which attempts were begun.
        LedgerError: `ledger` can't be written.
    """
    source = JobSource(tuple(files), op=op, on_invalid=on_invalid, stdin=stdin, on_progress=on_progress)
    target = ledger or default_ledger(files[0], sandbox=sandbox)
    if ledger is None:
        reading = await read_for_plan(source, None, sandbox=sandbox)
    else:
        lock = ledger_lock(ledger)
        lock.acquire("bulkops plan")
        try:
            _refuse_touched(ledger)
            reading = await read_for_plan(source, ledger, sandbox=sandbox)
        finally:
            lock.release()
    return plan_of(
        fresh_figures(reading.frozen),
        ledger=target,
        rates=rates or {},
        sandbox=sandbox,
        files=reading.files,
        warnings=reading.warnings,
        invalid=reading.frozen.first_invalid,
        blank_lines=reading.blank_lines,
    )


def _refuse_touched(ledger: Path) -> None:
    """See that a plan does not overwrite what a run has done."""
    if not ledger.exists():
        return
    store = SqliteStore.open(ledger, write=False)
    try:
        if store.touched():
            raise LedgerMismatch(f"{ledger} belongs to a run that was begun: plan with another --ledger")
    finally:
        store.close()
