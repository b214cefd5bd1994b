"""The library: plan, open_run and their kin. Wires the folders together; reads no environment, prints nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bulkops.app.freezing import JobSource, Plan, default_ledger, fresh_figures, plan_of, read_for_plan
from bulkops.app.opening import open_resume, open_retry, open_run
from bulkops.app.run import Run
from bulkops.app.views import results, status, stored_settings
from bulkops.errors import LedgerError, LedgerMismatch
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
    """What a run of these files would do, or go on with. Sends nothing; leaves no file unless `ledger` is given.

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
    made = plan_of(
        fresh_figures(reading.frozen),
        ledger=target,
        rates=rates or {},
        sandbox=sandbox,
        files=reading.files,
        warnings=reading.warnings,
        invalid=reading.frozen.first_invalid,
        blank_lines=reading.blank_lines,
    )
    return made if ledger else await asyncio.to_thread(_as_it_stands, made, target, reading.frozen.sha256)


def _as_it_stands(made: Plan, target: Path, sha256: str) -> Plan:
    """A plan that says what a run would find in the job's place: what is left of it, or why it would be refused."""
    if not target.exists():
        return made
    try:
        with contextlib.closing(SqliteStore.open(target, write=False)) as store:
            if not store.touched():  # a run replaces it without a word
                return made
            if store.job().sha256 != sha256:
                return replace(made, notes=(f"{target} belongs to another job: a run of these files needs another --ledger",))
            left = plan_of(store.figures(), ledger=target, rates=made.rates, sandbox=made.sandbox)
            orphans = store.orphan_count()
    except LedgerError as error:
        return replace(made, notes=(f"a run would be refused: {error}",))
    return replace(made, figures=left.figures, seconds=left.seconds, continues=True, orphans=orphans)


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
