"""All lanes of one process of a run, side by side: what stops it, what its guards say, what a watcher is told.

A stop drains: no lane takes new work, nothing that waits for a token leaves, what is in flight is awaited for `DRAIN`
seconds. What is unanswered then stays `sending` in the ledger, and is in doubt.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from bulkops.engine.lane import Lane
from bulkops.engine.policy import DRAIN, Policy
from bulkops.engine.ports import Client, Clock, Judge, Ledger
from bulkops.errors import LedgerError
from bulkops.model import Api, ApiFigures, Reply, Status, Stop, StopKind, Verdict
from bulkops.watching import Notice, Snapshot

RENEWALS: Final = 3
"""Renewals of the credential in a row, without a success between them, after which the clocks must be apart."""

RENEWAL_PAUSE: Final = 1.0
"""Least seconds between renewals."""

LONGEST_INFO: Final = 200
"""Characters of a server's own words that go into a reason; all of them are with the attempt in the ledger."""

_FAILED: Final = frozenset({Status.FAILED, Status.EXHAUSTED, Status.IN_DOUBT})

_PRIORITY: Final = (
    StopKind.LEDGER,
    StopKind.FATAL,
    StopKind.GUARD,
    StopKind.OUTAGE,
    StopKind.SIGNAL,
    StopKind.MAX_DURATION,
    StopKind.CANARY,
    StopKind.DECLINED,
)


class Engine:
    """Carries out what a ledger has pending.

    Args:
        apis: (index in the ledger, API, calls per second, places) of every lane.
        host: Where calls go, for messages.
        remedy: What to do about an ErrorCode, in words; empty where nothing is known.
    """

    def __init__(
        self,
        *,
        apis: list[tuple[int, Api, int, int]],
        ledger: Ledger,
        client: Client,
        judge: Judge,
        clock: Clock,
        policy: Policy,
        host: str = "the server",
        remedy: Callable[[int], str] = lambda _code: "",
        rng: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._policy = policy
        self._host = host
        self._remedy = remedy
        figures = ledger.figures.apis
        self.lanes = [
            Lane(
                index=index,
                api=api,
                limit=limit,
                places=places,
                figures=figures.get(api.op, ApiFigures()),
                ledger=ledger,
                client=client,
                judge=judge,
                clock=clock,
                policy=policy,
                supervisor=self,
                rng=rng or random.Random(),
            )
            for index, api, limit, places in apis
        ]
        self.stops: list[Stop] = []
        self._lane_stops: dict[str, str] = {}
        self._started_at = clock.monotonic()
        self._connected = False
        self._unreachable = ""  # why the newest call could not be sent
        self._renewed_at = float("-inf")
        self._renewals = 0
        self._ended = 0
        self._failed = 0
        self._notices: deque[Notice] = deque(maxlen=1000)
        self._noticed = asyncio.Event()
        self._finished = False
        self._stopped = asyncio.Event()
        self._at_once = asyncio.Event()

    # -- What a program asks of it -------------------------------------------------------------------------------------

    async def carry_out(self, allowance: int | None = None) -> None:
        """Carry out what is pending (of each lane `allowance` operations), or until it is stopped; then all is written down.

        Raises:
            LedgerError: The ledger could not be written at the end.
        """
        ticking = asyncio.create_task(self._tick())
        lanes = [asyncio.create_task(lane.carry_out(allowance)) for lane in self.lanes]
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await self._until_done(lanes, {ticking, stopped})
        finally:
            for task in (*lanes, ticking, stopped):
                task.cancel()
            await asyncio.gather(*lanes, ticking, stopped, return_exceptions=True)
        for task in (*lanes, ticking):
            if not task.cancelled():
                task.result()  # a defect is raised here, not lost
        if self._ledger.failed is None:
            await self._ledger.flush()

    async def _until_done(self, lanes: list[asyncio.Task[None]], others: set[asyncio.Task[Any]]) -> None:
        """Until all lanes are done, one of them is defective, or one of the others has ended and the lanes are drained."""
        pending: set[asyncio.Task[Any]] = set(lanes)
        while pending and not any(other.done() for other in others):
            await asyncio.wait(pending | others, return_when=asyncio.FIRST_COMPLETED)
            pending = {lane for lane in pending if not lane.done()}
            if any(lane.done() and lane.exception() for lane in lanes):
                return
        if not pending:
            return
        at_once = asyncio.create_task(self._at_once.wait())
        drained = asyncio.create_task(asyncio.wait(pending))
        try:
            await asyncio.wait({at_once, drained}, timeout=DRAIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            at_once.cancel()
            drained.cancel()

    def stop(self, stop: Stop, *, now: bool = False) -> None:
        """Take no new work and finish what is in flight; `now`: give up what is in flight, too."""
        self.stops.append(stop)
        if now:
            self._at_once.set()
        if not self._stopped.is_set():
            self._stopped.set()
            self.notice("", "stopping", f"stopping: {stop.text}")
            for lane in self.lanes:
                lane.halt("stopping")

    @property
    def stopped_by(self) -> Stop | None:
        """The stop that counts, where there are several."""
        return min(self.stops, key=lambda stop: _PRIORITY.index(stop.kind), default=None)

    @property
    def has_more(self) -> bool:
        """Whether operations are left that a lane could still carry out: neither the run nor their lane was stopped."""
        figures = self._ledger.figures.apis
        open_lanes = (lane for lane in self.lanes if not lane.halted)
        return not self._stopped.is_set() and any(_unfinished(figures.get(lane.api.op, ApiFigures())) for lane in open_lanes)

    @property
    def elapsed(self) -> float:
        """Seconds since the engine was made."""
        return self._clock.monotonic() - self._started_at

    def snapshot(self) -> Snapshot:
        """The whole run at this moment; counts are what is durable."""
        figures = self._ledger.figures.apis
        lanes = tuple(lane.snapshot(figures.get(lane.api.op, ApiFigures())) for lane in self.lanes)
        stop = self.stopped_by
        return Snapshot(elapsed=self.elapsed, lanes=lanes, stopping=stop.text if stop else "")

    async def notices(self) -> AsyncIterator[Notice]:
        """What a person watching should know, as it happens; ends with `close`."""
        while True:
            while self._notices:
                yield self._notices.popleft()
            if self._finished:
                return
            self._noticed.clear()
            await self._noticed.wait()

    def close(self) -> None:
        """No more notices come."""
        self._finished = True
        self._noticed.set()

    async def _tick(self) -> None:
        """What time alone changes."""
        limit = self._policy.max_duration
        while True:
            left = float("inf") if limit is None or self._stopped.is_set() else limit - self.elapsed
            pause = min(1.0, max(0.0, left))
            due = self._clock.monotonic() + pause
            await asyncio.sleep(pause)
            late = self._clock.monotonic() - due
            for lane in self.lanes:
                lane.tick(late)
            self._check_connection()
            if limit is not None and self.elapsed >= limit and not self._stopped.is_set():
                self.stop(Stop(StopKind.MAX_DURATION, f"--max-duration of {limit:g} s is over"))

    # -- What lanes report ---------------------------------------------------------------------------------------------

    def fatal(self, lane: Lane, reply: Reply) -> None:
        """Stop: nothing in this run can succeed."""
        self.stop(Stop(StopKind.FATAL, reply.fatal or self._explained(lane, reply)))

    def api_fatal(self, lane: Lane, reply: Reply) -> None:
        """Halt the lane; the others finish."""
        self._halt(lane, Stop(StopKind.FATAL, self._explained(lane, reply)))

    def not_the_api(self, lane: Lane, reply: Reply) -> None:
        """Stop: something else answers."""
        text = f"{self._host} answers HTTP {reply.http} without an ErrorCode: this is not the API; check --endpoint or --region"
        self.stop(Stop(StopKind.FATAL, text))
        del lane

    def refused_alike(self, lane: Lane, label: str, info: str) -> None:
        """Stop: it can't be the operations."""
        alike = self._policy.refused_alike
        text = f"the first {alike} operations of {lane.api.op} were all refused with {label} {info[:LONGEST_INFO]}".rstrip()
        self.stop(Stop(StopKind.GUARD, f"{text}: check the app, the region and the job before going on"))

    def outage_too_long(self, lane: Lane) -> None:
        """Halt the lane; the others finish."""
        text = f"{lane.api.op} had no success for {self._policy.outage_limit:.0f} s (--outage-limit)"
        self._halt(lane, Stop(StopKind.OUTAGE, text))

    def ledger_failed(self, error: LedgerError) -> None:
        """Stop: nothing can be written, so nothing may be sent."""
        if not any(stop.kind is StopKind.LEDGER for stop in self.stops):
            self.stop(Stop(StopKind.LEDGER, str(error)))

    def stale_credential(self, lane: Lane, reply: Reply, departed_at: float) -> None:
        """Renew the credential, once for all calls that had used the old one."""
        now = self._clock.monotonic()
        if departed_at >= self._renewed_at:
            if self._renewals >= RENEWALS:
                self.stop(Stop(StopKind.FATAL, f"renewed {RENEWALS} times in vain: {self._explained(lane, reply)}"))
                return
            if now - self._renewed_at >= RENEWAL_PAUSE:
                self._renewed_at = now
                self._renewals += 1
                self._client.renew()
                self.notice("", "renewed", "the credential is stale: renewed")
        lane.renew()

    def answered(self, lane: Lane, verdict: Verdict) -> None:
        """Note that calls come through."""
        if verdict is not Verdict.NOT_SENT:
            self._connected = True
        if verdict in {Verdict.SUCCEEDED, Verdict.ABSENT, Verdict.REFUSED}:
            self._renewals = 0
        del lane

    def not_sent(self, reply: Reply) -> None:
        """Note why no connection could be made."""
        self._unreachable = reply.info or reply.label

    def _check_connection(self) -> None:
        """Stop where no connection at all could be made since the start."""
        limit = self._policy.connect_limit
        if self._unreachable and not self._connected and self.elapsed >= limit and not self._stopped.is_set():
            text = f"no connection to {self._host} for {limit:.0f} s: {self._unreachable}"
            self.stop(Stop(StopKind.FATAL, f"{text}; check --endpoint or --region and the network"))

    def throttle_app(self) -> None:
        """Slow all lanes down."""
        for lane in self.lanes:
            lane.slow_down()

    def ended(self, status: Status) -> None:
        """Count for the guard on failures."""
        self._ended += 1
        if status not in _FAILED:
            return
        self._failed += 1
        most = self._policy.max_failures
        if self._stopped.is_set():
            return
        if most is not None:
            if self._failed >= max(1, most):
                self.stop(Stop(StopKind.GUARD, f"{self._failed} operations failed (--max-failures)"))
        elif self._ended >= self._policy.share_after and self._failed >= self._policy.max_failure_share * self._ended:
            text = f"{self._failed} of {self._ended} operations failed, at least {self._policy.max_failure_share:.0%}"
            self.stop(Stop(StopKind.GUARD, f"{text} (--max-failures)"))

    def notice(self, op: str, kind: str, text: str) -> None:
        """Keep it for whoever reads `notices`."""
        self._notices.append(Notice(self._clock.utc(), op, kind, text))
        self._noticed.set()

    def _halt(self, lane: Lane, stop: Stop) -> None:
        self.stops.append(stop)
        self.notice(lane.api.op, "stopping", f"{lane.api.op} stops: {stop.text}")
        lane.halt(stop.text)

    def _explained(self, lane: Lane, reply: Reply) -> str:
        """An answer in words: what came, and what to do about it."""
        said = f"{lane.api.op} was answered {reply.label} {reply.info[:LONGEST_INFO]}".rstrip()
        remedy = self._remedy(reply.code) if reply.code is not None else ""
        return f"{said}: {remedy}" if remedy else said


def lanes_of(figures: Mapping[str, ApiFigures], apis: Mapping[str, tuple[int, Api]]) -> list[tuple[int, Api]]:
    """The (index, API) of every lane that has something pending."""
    return [apis[op] for op, each in figures.items() if _unfinished(each)]


def _unfinished(figures: ApiFigures) -> int:
    """Operations that have not ended."""
    return sum(count for status, count in figures.by_status.items() if not status.ended)
