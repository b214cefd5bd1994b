"""From settings and files to a `Run`: locks the ledger and its lanes, checks everything, and sends nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from bulkops.app.freezing import (
    FileName,
    JobSource,
    Reading,
    check_folder,
    default_ledger,
    freeze_new,
    how_many_invalid,
    match,
    plan_of,
    refuse_invalid,
    there_is,
)
from bulkops.app.machine import places
from bulkops.app.run import ClientFactory, Run, chat_client
from bulkops.chat.catalog import APIS
from bulkops.engine.clock import SystemClock
from bulkops.engine.limiter import MARGIN, WINDOW
from bulkops.engine.ports import Clock
from bulkops.engine.run import lanes_of
from bulkops.errors import ConfigError, JobFileError, LedgerHeld, LedgerMismatch, LedgerMissing
from bulkops.ledger import SqliteStore
from bulkops.ledger.lanes import LaneHistory, LaneLock, lane_lock
from bulkops.ledger.lock import is_network_fs, ledger_lock
from bulkops.model import Figures, ProcessRecord, Status
from bulkops.settings import Settings, canonical_endpoint

RETRIED: Final = frozenset({Status.EXHAUSTED, Status.IN_DOUBT})
"""What `retry` reopens when nobody says."""


@asynccontextmanager
async def open_run(
    files: Sequence[FileName],
    *,
    settings: Settings,
    ledger: FileName | None = None,
    op: str | None = None,
    on_invalid: str = "stop",
    stdin: BinaryIO | None = None,
    on_progress: Callable[[int], None] | None = None,
    clock: Clock | None = None,
    client: ClientFactory = chat_client,
) -> AsyncIterator[Run]:
    """A run of job files: on entering, the files are read and frozen, or matched with their ledger. Nothing is sent.

    Raises:
        ConfigError: Settings don't fit, or the job is larger than `max_ops`.
        JobFileError: The files can't be carried out as they are.
        LedgerMismatch: The ledger belongs to another job, app, or to the sandbox.
        LedgerError: The ledger can't be used.
    """
    names = tuple(os.fspath(each) for each in files)
    source = JobSource(names, op=op, on_invalid=on_invalid, stdin=stdin, on_progress=on_progress)
    target = Path(ledger) if ledger else default_ledger(names[0], sandbox=settings.sandbox)
    check_folder(target)
    async with AsyncExitStack() as stack:
        _lock(stack, target)
        reading = await _freeze_or_match(source, target, settings)
        yield await _opened(
            stack,
            target,
            settings,
            reading=reading,
            stored=source.stored(),
            clock=clock,
            client=client,
        )


@asynccontextmanager
async def open_resume(
    ledger: FileName, *, settings: Settings, clock: Clock | None = None, client: ClientFactory = chat_client
) -> AsyncIterator[Run]:
    """What a ledger has pending. Raises like `open_run`, and `LedgerMissing`.

    A job that was refused for its invalid rows is refused here as well: `open_run(…, on_invalid="skip")` passes over them.
    """
    async with AsyncExitStack() as stack:
        yield await _opened(stack, _held(stack, ledger), settings, clock=clock, client=client)


@asynccontextmanager
async def open_retry(
    ledger: FileName,
    *,
    settings: Settings,
    statuses: frozenset[Status] | None = None,
    codes: frozenset[int] = frozenset(),
    clock: Clock | None = None,
    client: ClientFactory = chat_client,
) -> AsyncIterator[Run]:
    """What a ledger has pending, and what ended in one of `statuses` (with one of `codes`), with fresh attempts.

    Reopened are they only once the run begins. Raises like `open_resume`, and:

    Raises:
        ConfigError: A status that can't be reopened.
    """
    wanted = RETRIED if statuses is None else statuses
    if not wanted <= (RETRIED | {Status.FAILED, Status.ABSENT}):
        raise ConfigError("retry reopens failed, exhausted, in_doubt and absent operations only")
    if statuses is None and codes:
        wanted = RETRIED | {Status.FAILED}
    async with AsyncExitStack() as stack:
        yield await _opened(stack, _held(stack, ledger), settings, reopen=(wanted, codes), clock=clock, client=client)


def _held(stack: AsyncExitStack, ledger: FileName) -> Path:
    """A ledger that was there before, locked."""
    path = Path(ledger)
    if not there_is(path):
        raise LedgerMissing(f"there is no ledger {path}; bulkops run JOB makes one")
    _lock(stack, path)
    return path


def _lock(stack: AsyncExitStack, ledger: Path) -> None:
    lock = ledger_lock(ledger)
    lock.acquire("bulkops run")
    stack.callback(lock.release)


async def _freeze_or_match(source: JobSource, target: Path, settings: Settings) -> Reading | None:
    """A ledger for the job at `target`; `None` where an existing one was proved to be of the same bytes."""
    if there_is(target):
        with contextlib.closing(SqliteStore.open(target, write=False)) as store:
            if store.touched():
                _check_sandbox(store, target, settings)
                return await match(source, store, target)
    reading = await freeze_new(source, target, sandbox=settings.sandbox)
    refuse_invalid(reading, source)
    return reading


def _check_sandbox(store: SqliteStore, target: Path, settings: Settings) -> None:
    if store.job().sandbox and not settings.sandbox:
        raise LedgerMismatch(f"{target} belongs to the sandbox: it never continues against a real host")
    if settings.sandbox and not store.job().sandbox:
        raise LedgerMismatch(f"{target} belongs to a real run: it never continues in the sandbox")


async def _opened(
    stack: AsyncExitStack,
    target: Path,
    settings: Settings,
    *,
    reading: Reading | None = None,
    stored: Mapping[str, object] | None = None,
    reopen: tuple[frozenset[Status], frozenset[int]] | None = None,
    clock: Clock | None = None,
    client: ClientFactory,
) -> Run:
    """The run of a ledger whose lock is held."""
    clock = clock or SystemClock()
    store = SqliteStore.open(target, write=True)
    stack.callback(store.close)
    _check_sandbox(store, target, settings)
    _check_app(store, target, settings)
    processes = store.processes()
    figures = store.figures()
    if stored is None:
        told = store.settings()
        stored = {key: told[key] for key in ("files", "op", "on_invalid") if key in told}
        _refuse_passing_over(figures.invalid, stored)
    elif not processes:
        store.intend({**settings.stored(), **stored})  # whoever resumes after a "no" gets what was asked for here
    if settings.max_ops is not None and figures.operations > settings.max_ops:
        raise ConfigError(f"the job has {figures.operations} operations, --max-ops allows {settings.max_ops}")
    by_op = {api.op: (index, api) for index, api in enumerate(APIS)}
    used = list(figures.apis) if reopen else [api.op for _, api in lanes_of(figures.apis, by_op)]
    rates = {op: settings.rate(op) for op in used}
    allowed, few = places(rates)
    unclean = bool(processes) and not processes[-1].ended_at
    not_before, last_departures = _lock_lanes(stack, settings, used, clock, unclean=unclean)
    plan = plan_of(
        figures,
        ledger=target,
        rates=settings.rates,
        sandbox=settings.sandbox,
        files=reading.files if reading else tuple(store.files()),
        warnings=reading.warnings if reading else (),
        invalid=reading.frozen.first_invalid if reading else (),
        blank_lines=reading.blank_lines if reading else 0,
    )
    plan = replace(
        plan,
        continues=store.touched(),
        orphans=store.orphan_count(),
        notes=tuple(text for text in (few, _other_rows(reading, figures), *_notes(target, settings, processes)) if text),
    )
    run = Run(
        plan=plan,
        store=store,
        settings=settings,
        stored=stored,
        lanes=[(*by_op[op], rates[op], allowed[op]) for op in used],
        not_before=not_before,
        clock=clock,
        client=client,
        before=partial(_reopen, store, *reopen) if reopen else lambda: None,
    )
    last_departures.append(run.last_departures)
    stack.push_async_callback(run.aclose)
    return run


def _refuse_passing_over(invalid: int, stored: Mapping[str, object]) -> None:
    """See that somebody allowed to pass over a ledger's invalid rows."""
    if invalid and stored.get("on_invalid", "stop") == "stop":
        raise JobFileError(f"{how_many_invalid(invalid)}: repair the job, or run it with --on-invalid skip", total=invalid)


def _check_app(store: SqliteStore, target: Path, settings: Settings) -> None:
    app = store.app()
    if app is not None and app != settings.sdkappid:
        raise LedgerMismatch(
            f"operations of {target} were carried out for SDKAppID {app}: it does not continue for {settings.sdkappid}"
        )


def _lock_lanes(
    stack: AsyncExitStack, settings: Settings, ops: Sequence[str], clock: Clock, *, unclean: bool
) -> tuple[dict[str, float], list[Callable[[], dict[str, int]]]]:
    """Take the lanes, and see when their first calls may leave.

    Returns:
        Earliest departures by op (monotonic), and a list whose entries are asked at the release for the last departures.
    """
    host = urlsplit(canonical_endpoint(settings.endpoint)).netloc
    not_before: dict[str, float] = {}
    ask: list[Callable[[], dict[str, int]]] = []

    def last(op: str) -> int:
        return max((each().get(op, 0) for each in ask), default=0)

    for op in ops:
        lock = lane_lock(settings.sdkappid, host, op)
        try:
            history = lock.acquire_lane("bulkops run", shared=settings.allow_shared_quota)
        except LedgerHeld as held:
            raise LedgerHeld(f"{held}: wait for its end, or share the quota with --allow-shared-quota") from None
        stack.callback(_release, lock, last, op)
        wait = _window_left(history, clock, unclean=unclean)
        if wait > 0:
            not_before[op] = clock.monotonic() + wait
    return not_before, ask


def _release(lock: LaneLock, last: Callable[[str], int], op: str) -> None:
    lock.release_lane(last(op))


def _reopen(store: SqliteStore, statuses: frozenset[Status], codes: frozenset[int]) -> int:
    return store.reopen(statuses, codes)


def _window_left(history: LaneHistory, clock: Clock, *, unclean: bool) -> float:
    """Seconds until the window in which another process made calls is surely over."""
    whole = WINDOW + MARGIN
    if unclean or not history.clean:
        return whole
    since = (clock.utc() - history.last_departure) / 1e6
    return min(whole, max(0.0, whole - since)) if history.last_departure else 0.0


def _other_rows(reading: Reading | None, figures: Figures) -> str:
    """What to say where the files ask for the ledger's operations, and have other bad rows than it knows of."""
    if reading is None or reading.frozen.invalid == figures.invalid:
        return ""
    found = f"{how_many_invalid(reading.frozen.invalid)} in the files" if reading.frozen.invalid else "no row is invalid now"
    return f"{found}; the ledger counts and lists those that it was made with: {figures.invalid}"


def _notes(target: Path, settings: Settings, processes: Sequence[ProcessRecord]) -> list[str]:
    notes = []
    if processes and processes[-1].endpoint != settings.endpoint and not settings.sandbox:
        notes.append(f"the endpoint changes from {processes[-1].endpoint} to {settings.endpoint}")
    if is_network_fs(target):
        notes.append(f"{target} lies on a network file system, whose locks and syncs may not hold: prefer a local disk")
    return notes
