"""The library's application layer as the command line sees it, scripted: no ledger, no network, no waiting.

`FakeApp` stands in for the module `bulkops.app`. What its functions answer is set on it beforehand; what they were asked is
kept on it for the test to look at.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import bulkops
from bulkops.errors import LedgerMissing
from bulkops.model import Figures, ResultRow, Status, Stop, StopKind
from bulkops.report.summary import Summary, exit_code, summarize
from bulkops.settings import Settings
from bulkops.watching import Notice, Snapshot
from tests.helpers.report import FakePlan, figures, snapshot

_LONGEST = 10.0
"""Seconds after which a run that was never stopped gives up, so that a test fails and does not hang."""

STOP = "stop"
CONFIRM = "confirm"
CANARY = "canary"
FINISH = "finish"


class FakeRun:
    """A run that does what its app was told; `calls` lists what was asked of it, in order."""

    def __init__(self, app: FakeApp, plan: FakePlan, settings: Settings) -> None:
        self.plan = plan
        self.confirmed = app.confirmed
        self.calls: list[str] = []
        self.stops: list[tuple[Stop, bool]] = []
        self._app = app
        self._settings = settings
        self._stopped = asyncio.Event()
        self._over = asyncio.Event()

    def confirm(self) -> None:
        self.calls.append(CONFIRM)

    async def canary(self) -> Summary | None:
        self.calls.append(CANARY)
        if not self._settings.canary:
            return None
        return summarize(self._app.figures, ledger=self.plan.ledger, state="stopped", reason="canary", exit=None)

    async def finish(self) -> Summary:
        self.calls.append(FINISH)
        try:
            return await self._finish()
        finally:
            self._over.set()

    async def _finish(self) -> Summary:
        self._app.during()
        if self._app.waits:
            async with asyncio.timeout(_LONGEST):
                await self._stopped.wait()
        if self._app.finish_error is not None:
            raise self._app.finish_error
        stop = self.stops[0][0] if self.stops else self._app.stop
        made = self.plan.figures if self.stops else self._app.outcome
        code = exit_code(made, stop, absent_fails=self._settings.absent_fails)
        left = any(not status.ended and number for api in made.apis.values() for status, number in api.by_status.items())
        return summarize(
            made,
            ledger=self.plan.ledger,
            state="stopped" if left else "finished",
            reason=stop.text if stop and left else None,
            exit=code,
        )

    def stop(self, stop: Stop, *, now: bool = False) -> None:
        self.calls.append(STOP)
        self.stops.append((stop, now))
        if now or not self._app.stubborn:
            self._stopped.set()

    def snapshot(self) -> Snapshot:
        if self._app.snapshot_error is not None:
            raise self._app.snapshot_error
        return snapshot()

    async def events(self) -> AsyncIterator[Notice]:
        for notice in self._app.notices:
            yield notice
        await self._over.wait()


@dataclass
class FakeApp:
    """Stands in for `bulkops.app`.

    Args:
        figures: What plans and `status` say.
        outcome: What a run that isn't stopped comes to.
        stop: Why it ended, where something is left.
        plan_changes: Fields of plans that differ.
        open_error: Raised when a run is opened.
        finish_error: Raised when it is carried out.
        plan_error: Raised by `plan`.
        status_error: Raised by `status`, `results` and `stored_settings`.
        state: State that `status` says.
        stored: What `stored_settings` gives.
        confirmed: Somebody said yes to the ledger before.
        waits: A run carries on until it is stopped.
        stubborn: And then until it is stopped at once.
        during: Called while a run is carried out.
        rows: What `results` gives.
        notices: What a run has to say.
        snapshot_error: Raised when the run is looked at.
    """

    figures: Figures = field(default_factory=lambda: figures(pending=10))
    outcome: Figures = field(default_factory=lambda: figures(succeeded=10))
    stop: Stop | None = None
    plan_changes: dict[str, Any] = field(default_factory=dict)
    open_error: BaseException | None = None
    finish_error: BaseException | None = None
    plan_error: BaseException | None = None
    status_error: BaseException | None = None
    state: str = "stopped"
    stored: dict[str, object] = field(default_factory=dict)
    confirmed: bool = False
    waits: bool = False
    stubborn: bool = False
    during: Callable[[], None] = lambda: None
    rows: Sequence[ResultRow] = ()
    notices: Sequence[Notice] = ()
    snapshot_error: Exception | None = None

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    runs: list[FakeRun] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """What the newest run was opened with."""
        settings = self.asked[-1][1]["settings"]
        assert isinstance(settings, Settings)
        return settings

    @property
    def run(self) -> FakeRun:
        """The newest run."""
        return self.runs[-1]

    async def plan(
        self,
        files: Sequence[str],
        *,
        ledger: Path | None = None,
        op: str | None = None,
        on_invalid: str = "stop",
        rates: Mapping[str, int] | None = None,
        sandbox: bool = False,
        stdin: BinaryIO | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> FakePlan:
        self.asked.append(("plan", {"files": files, "ledger": ledger, "op": op, "on_invalid": on_invalid, "rates": rates}))
        self.asked[-1][1].update(sandbox=sandbox, stdin=stdin)
        if on_progress is not None:
            on_progress(5)
        if self.plan_error is not None:
            raise self.plan_error
        return self._made(ledger or self.default_ledger(files[0], sandbox=sandbox), rates=rates or {}, sandbox=sandbox)

    def open_run(
        self,
        files: Sequence[str],
        *,
        settings: Settings,
        ledger: Path | None = None,
        op: str | None = None,
        on_invalid: str = "stop",
        stdin: BinaryIO | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Any:
        given = {"files": files, "settings": settings, "ledger": ledger, "op": op, "on_invalid": on_invalid, "stdin": stdin}
        path = ledger or self.default_ledger(files[0], sandbox=settings.sandbox)
        return self._open("run", path, settings, given)

    def open_resume(self, ledger: Path, *, settings: Settings) -> Any:
        return self._open("resume", ledger, settings, {"settings": settings})

    def open_retry(
        self, ledger: Path, *, settings: Settings, statuses: frozenset[Status] | None, codes: frozenset[int] = frozenset()
    ) -> Any:
        return self._open("retry", ledger, settings, {"settings": settings, "statuses": statuses, "codes": codes})

    @asynccontextmanager
    async def _open(self, how: str, path: Path, settings: Settings, given: dict[str, Any]) -> AsyncIterator[FakeRun]:
        self.asked.append((how, given))
        if self.open_error is not None:
            raise self.open_error
        run = FakeRun(self, self._made(path, rates=settings.rates, sandbox=settings.sandbox), settings)
        self.runs.append(run)
        yield run

    def stored_settings(self, ledger: Path) -> dict[str, object]:
        self._check(ledger)
        return dict(self.stored)

    def job_files(self, ledger: Path) -> tuple[str, ...]:
        self._check(ledger)
        return ("job.csv",)

    def status(self, ledger: Path) -> Summary:
        self._check(ledger)
        return summarize(self.figures, ledger=str(ledger), state=self.state, reason=None, exit=None)

    def results(
        self,
        ledger: Path,
        *,
        statuses: Collection[str] = frozenset(),
        codes: Collection[str] = frozenset(),
        rows: bool = False,
    ) -> Iterator[ResultRow]:
        self.asked.append(("results", {"statuses": statuses, "codes": codes, "rows": rows}))
        self._check(ledger)
        yield from self.rows

    @staticmethod
    def default_ledger(first_file: str, *, sandbox: bool) -> Path:
        return Path(first_file).with_suffix(".sandbox.ledger.db" if sandbox else ".ledger.db")

    def _made(self, ledger: Path, **values: Any) -> FakePlan:
        return replace(FakePlan(figures=self.figures, ledger=str(ledger), **values), **self.plan_changes)

    def _check(self, ledger: Path) -> None:
        if self.status_error is not None:
            raise self.status_error
        if not ledger.exists():
            raise LedgerMissing(f"there is no ledger {ledger}")


FATAL = Stop(StopKind.FATAL, "70009: the secret key belongs to another SDKAppID")


def install(monkeypatch: pytest.MonkeyPatch, app: FakeApp) -> FakeApp:
    """Put the fake in the place of `bulkops.app`, for the length of a test."""
    monkeypatch.setattr(bulkops, "app", app, raising=False)
    monkeypatch.setitem(sys.modules, "bulkops.app", app)
    return app
