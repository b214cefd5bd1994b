"""What a ledger says, beside a live run or after it: status, results, the settings it was run with. Changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bulkops.app.freezing import FileName, there_is
from bulkops.errors import LedgerMissing
from bulkops.ledger import SqliteStore
from bulkops.ledger.lock import held, ledger_lock
from bulkops.model import Figures, ProcessRecord, ResultRow
from bulkops.report.summary import Summary, exit_code, summarize

INTERRUPTED: Final = "interrupted"
"""The reason of a process that could not write one."""


@contextlib.contextmanager
def _reading(ledger: FileName) -> Iterator[SqliteStore]:
    path = Path(ledger)
    if not there_is(path):
        raise LedgerMissing(f"there is no ledger {path}")
    store = SqliteStore.open(path, write=False)
    try:
        yield store
    finally:
        store.close()


def status(ledger: FileName) -> Summary:
    """Where a run stands, also while another process carries it on.

    Raises:
        LedgerMissing: There is none.
        LedgerError: It can't be read.
    """
    with _reading(ledger) as store:
        running = held(ledger_lock(Path(ledger)).path) is not None
        figures = store.figures()
        processes = store.processes()
        made = partial(summarize, figures, ledger=str(ledger), sandbox=store.job().sandbox)
    if not processes:
        return made(state="planned", reason=None, exit=None if running else 0)
    last = processes[-1]
    if running and not last.ended_at:
        return made(state="running", reason=None, exit=None)
    code = exit_code(figures, None, absent_fails=bool(last.settings.get("absent_fails")))
    if not _left(figures):
        return made(state="finished", reason=None, exit=code)
    ended = code if last.exit is None else last.exit  # a process that was killed could not write one
    return made(state="stopped", reason=_reason(last), exit=ended)


def _reason(process: ProcessRecord) -> str:
    return process.reason or INTERRUPTED


def _left(figures: Figures) -> int:
    return sum(count for api in figures.apis.values() for status, count in api.by_status.items() if not status.ended)


def results(
    ledger: FileName,
    *,
    statuses: frozenset[str] = frozenset(),
    codes: frozenset[str] = frozenset(),
    rows: bool = False,
) -> Iterator[ResultRow]:
    """One row per operation, or per row of the job; safe beside a live run.

    Args:
        statuses: Words of statuses, and `invalid`; empty for all.
        codes: ErrorCodes in digits, or labels, of the newest attempt; empty for all. Both given: both must fit.
        rows: Every row of the job with the outcome of its operation, duplicates too.

    Raises:
        LedgerMissing: There is none.
        LedgerError: It can't be read.
    """
    with _reading(ledger) as store:
        listed = store.rows if rows else store.results
        yield from listed(statuses, codes)


def job_files(ledger: FileName) -> tuple[str, ...]:
    """The names of the files that a ledger's job came from, as they were given.

    Raises:
        LedgerMissing: There is none.
        LedgerError: It can't be read.
    """
    with _reading(ledger) as store:
        return tuple(file.name for file in store.files())


def stored_settings(ledger: FileName) -> dict[str, object]:
    """What the newest process of a ledger was told, or the run that was planned in it; empty where there was neither.

    Raises:
        LedgerMissing: There is none.
        LedgerError: It can't be read.
    """
    with _reading(ledger) as store:
        settings = store.settings()
        settings.setdefault("sandbox", store.job().sandbox)
        return settings
