"""One process of a run, from an open ledger to its summary: wires ledger, client and engine together.

What opens it is in `opening`. Reads no environment, prints nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from bulkops._version import VERSION
from bulkops.app.freezing import (
    Plan,
)
from bulkops.chat.client import ChatClient
from bulkops.chat.verdicts import REMEDIES, judge
from bulkops.engine.policy import Policy
from bulkops.engine.ports import Client, Clock, Judge
from bulkops.engine.run import Engine
from bulkops.errors import LedgerError
from bulkops.ledger import SqliteStore
from bulkops.ledger.group import GroupCommit
from bulkops.model import Api, Figures, ProcessRecord, Stop, StopKind
from bulkops.report.summary import Summary, exit_code, summarize
from bulkops.settings import Settings
from bulkops.watching import Notice, Snapshot

ClientFactory = Callable[[Settings, int, Clock], "contextlib.AbstractAsyncContextManager[Client]"]
"""(settings, connections, clock) → the client of a run."""


def chat_client(settings: Settings, connections: int, clock: Clock) -> ChatClient:
    """The client for the real API."""
    return ChatClient(
        endpoint=settings.endpoint,
        sdkappid=settings.sdkappid,
        identifier=settings.identifier,
        key=settings.secret_key.reveal,
        connections=connections,
        ca_file=settings.ca_file,
        clock=clock,
    )


class Run:
    """A run whose ledger and lanes this process holds. Made by `open_run`, `open_resume` or `open_retry`.

    Attributes:
        plan: What it would do, or goes on with.
        confirmed: Whether somebody said yes to this ledger before.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        store: SqliteStore,
        settings: Settings,
        stored: Mapping[str, object],
        lanes: Sequence[tuple[int, Api, int, int]],
        not_before: Mapping[str, float],
        clock: Clock,
        client: ClientFactory,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self.plan = plan
        self.confirmed = store.confirmed
        self._store = store
        self._settings = settings
        self._stored = stored
        self._lanes = list(lanes)
        self._not_before = not_before
        self._clock = clock
        self._client = client
        self._before = before
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self._commit: GroupCommit | None = None
        self._process = 0
        self._stop: Stop | None = None
        self._begun = asyncio.Event()
        self._summary: Summary | None = None

    def confirm(self) -> None:
        """Note durably that somebody said yes to this ledger."""
        self._store.confirm(self._clock.utc())
        self.confirmed = True

    async def canary(self) -> Summary | None:
        """Carry out the first `settings.canary` operations of each API, then stand still.

        Returns:
            How they went; `None` where there is nothing to ask about: no canary was wanted, or the run is over.
        """
        if not self._settings.canary or self._stop is not None:
            return None
        engine = await self._start()
        await self._carry_out(engine, self._settings.canary)
        if not engine.has_more:
            return None
        return summarize(
            self._figures, ledger=self.plan.ledger, state="stopped", reason="canary", exit=None, sandbox=self.plan.sandbox
        )

    async def finish(self) -> Summary:
        """Carry out what is left, or what a stop lets finish, and close the process's account in the ledger."""
        if self._summary is None:
            if self._stop is None:
                engine = await self._start()
                await self._carry_out(engine, None)
            self._summary = await self._end()
        return self._summary

    def stop(self, stop: Stop | None = None, *, now: bool = False) -> None:
        """Take no new work and finish what is in flight; `now`: at once. Safe in a signal handler of the loop.

        Args:
            stop: Why, for the ledger and the exit code; by default that the program wanted it.
            now: Give up what is in flight, too: it stays in doubt.
        """
        stop = stop or Stop(StopKind.SIGNAL, "stopped by the program")
        if self._engine is None:
            self._stop = self._stop or stop
        else:
            self._engine.stop(stop, now=now)

    def snapshot(self) -> Snapshot:
        """How the run stands at this moment."""
        if self._engine is None:
            return Snapshot(elapsed=0.0, lanes=())
        return self._engine.snapshot()

    async def events(self) -> AsyncIterator[Notice]:
        """What a person watching should know, as it happens; ends with the run."""
        await self._begun.wait()
        if self._engine is not None:
            async for notice in self._engine.notices():
                yield notice

    @property
    def _figures(self) -> Figures:
        return self._store.figures() if self._commit is None else self._commit.figures

    @property
    def _left(self) -> int:
        apis = self._figures.apis.values()
        return sum(count for api in apis for status, count in api.by_status.items() if not status.ended)

    async def _start(self) -> Engine:
        """Open the process's account, take over what was left in doubt, build the engine."""
        if self._engine is not None:
            return self._engine
        now = self._clock.utc()
        self._before()
        self._process = self._store.start_process(self._record(now), self.plan.files)
        doubtful = self._store.recover(hold=self._settings.hold_in_doubt, at=now)
        self._commit = GroupCommit(self._store, process=self._process, clock=self._clock, on_failed=self._ledger_failed)
        await self._commit.start()
        self._stack.push_async_callback(self._commit.aclose)
        connections = sum(count for _, _, _, count in self._lanes)
        client = await self._stack.enter_async_context(self._client(self._settings, connections, self._clock))
        policy = self._policy()
        self._engine = Engine(
            apis=self._lanes,
            ledger=self._commit,
            client=client,
            judge=_judge(self._settings),
            clock=self._clock,
            policy=policy,
            host=urlsplit(self._settings.endpoint).netloc,
            remedy=lambda code: REMEDIES.get(code, ""),
        )
        for lane in self._engine.lanes:
            if lane.api.op in self._not_before:
                lane.limiter.not_before(self._not_before[lane.api.op])
        if doubtful:
            held = self._settings.hold_in_doubt
            fate = "held as in doubt" if held else "sent again: some of them may be carried out twice"
            self._engine.notice("", "in_doubt", f"{doubtful} operations were left without an answer; they are {fate}")
        for text in self.plan.notes:
            self._engine.notice("", "note", text)
        if self._stop is not None:  # it came while all this was being opened
            self._engine.stop(self._stop)
        self._begun.set()
        return self._engine

    async def _carry_out(self, engine: Engine, allowance: int | None) -> None:
        try:
            await engine.carry_out(allowance)
        except LedgerError as error:
            engine.ledger_failed(error)

    def _ledger_failed(self, error: BaseException) -> None:
        if self._engine is not None and isinstance(error, LedgerError):
            self._engine.ledger_failed(error)

    async def _end(self) -> Summary:
        """Write down how the process ended."""
        stop = self._engine.stopped_by if self._engine is not None else self._stop
        figures = self._figures
        code = exit_code(figures, stop, absent_fails=self._settings.absent_fails)
        finished = not self._left
        reason = None if finished or stop is None else stop.text
        if self._commit is not None and self._commit.failed is None:
            await self._commit.aclose()
            self._store.end_process(self._process, self._clock.utc(), reason or "", code)
            figures = self._store.figures()
        elif self._commit is not None:
            with contextlib.suppress(LedgerError), SqliteStore.open(Path(self.plan.ledger), write=False) as durable:
                figures = durable.figures(live=False)  # as `status` will have them: what was begun counts as a call
        await self.aclose()
        state = "finished" if finished else "stopped"
        return summarize(figures, ledger=self.plan.ledger, state=state, reason=reason, exit=code, sandbox=self.plan.sandbox)

    async def aclose(self) -> None:
        """Give up what the process holds, but for the locks."""
        if self._engine is not None:
            self._engine.close()
        self._begun.set()
        await self._stack.aclose()

    def last_departures(self) -> dict[str, int]:
        """When each lane's newest call left, in microseconds since 1970, UTC; for whoever uses the lane next."""
        if self._engine is None:
            return {}
        now, utc = self._clock.monotonic(), self._clock.utc()
        return {
            lane.api.op: utc - int((now - at) * 1e6)
            for lane in self._engine.lanes
            if (at := lane.limiter.last_departure) is not None
        }

    def _policy(self) -> Policy:
        settings = self._settings
        return Policy(
            max_attempts=settings.max_attempts,
            outage_limit=settings.outage_limit,
            max_failures=settings.max_failures.count,
            max_failure_share=settings.max_failures.percent / 100,
            share_after=settings.max_failures.after,
            max_duration=settings.max_duration,
        )

    def _record(self, now: int) -> ProcessRecord:
        return ProcessRecord(
            number=0,
            operator=_operator(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=VERSION,
            sdkappid=self._settings.sdkappid,
            identifier=self._settings.identifier,
            endpoint=self._settings.endpoint,
            settings={**self._settings.stored(), **self._stored},
            started_at=now,
        )


def _judge(settings: Settings) -> Judge:
    return lambda api, reply: judge(api, reply, settings.absent_codes)


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not from the environment, where anybody can be named
    except KeyError:
        return str(os.getuid())  # a container without a name for its user
