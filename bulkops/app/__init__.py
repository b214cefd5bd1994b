"""The library: plan, open_run and their kin. Wires the folders together; reads no environment, prints nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bulkops.app.freezing import (
    FileName,
    JobSource,
    Plan,
    check_folder,
    default_ledger,
    fresh_figures,
    plan_of,
    read_for_plan,
    there_is,
)
from bulkops.app.opening import open_resume, open_retry, open_run
from bulkops.app.run import Run
from bulkops.app.views import job_files, results, status, stored_settings
from bulkops.errors import LedgerError, LedgerMismatch
from bulkops.ledger import SqliteStore
from bulkops.ledger.lock import ledger_lock

__all__ = [
    "Plan",
    "Run",
    "default_ledger",
    "job_files",
    "open_resume",
    "open_retry",
    "open_run",
    "plan",
    "results",
    "status",
    "stored_settings",
]


async def plan(
    files: Sequence[FileName],
    *,
    ledger: FileName | None = None,
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
        LedgerMismatch: In `ledger` attempts of another job were begun.
        LedgerHeld: Another process is at work on `ledger`.
        LedgerError: `ledger` can't be used.
    """
    names = tuple(os.fspath(each) for each in files)
    source = JobSource(names, op=op, on_invalid=on_invalid, stdin=stdin, on_progress=on_progress)
    target = Path(ledger) if ledger else default_ledger(names[0], sandbox=sandbox)
    check_folder(target)
    with contextlib.ExitStack() as stack:
        if ledger is not None:
            lock = ledger_lock(target)
            lock.acquire("bulkops plan")
            stack.callback(lock.release)
        into = None if ledger is None or _begun(target) else target
        reading = await read_for_plan(source, into, sandbox=sandbox)
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
    if into is not None:
        return made
    try:
        return await asyncio.to_thread(_as_it_stands, made, target, reading.frozen.sha256)
    except LedgerError as error:
        if ledger is not None:
            raise
        return replace(made, notes=(f"a run would be refused: {error}",))


def _begun(ledger: Path) -> bool:
    """Whether there is a ledger in which an attempt was begun; one without is replaced without a word."""
    if not there_is(ledger):
        return False
    with contextlib.closing(SqliteStore.open(ledger, write=False)) as store:
        return store.touched()


def _as_it_stands(made: Plan, target: Path, sha256: str) -> Plan:
    """A plan that says what a run would find in the job's place: what is left of it.

    Raises:
        LedgerMismatch: Another job was begun there.
        LedgerError: It can't be read.
    """
    if not _begun(target):
        return made
    with contextlib.closing(SqliteStore.open(target, write=False)) as store:
        if store.job().sha256 != sha256:
            raise LedgerMismatch(f"{target} belongs to another job: a run of these files needs another --ledger")
        left = plan_of(store.figures(), ledger=target, rates=made.rates, sandbox=made.sandbox)
        orphans = store.orphan_count()
    return replace(made, figures=left.figures, seconds=left.seconds, continues=True, orphans=orphans)
