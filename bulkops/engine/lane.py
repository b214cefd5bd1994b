"""One API's quota being used: operations are claimed, begun, paced, called and settled, as fast as the lane may.

Theory of operation. A lane is in one of two modes. *Alone*: one call at a time, with pauses; so a process begins, so an
outage and a stale credential are sat out. *Streaming*: the conductor makes intents durable, a fifth of a second of the rate
ahead of the token; workers take them, get a connection, wait at the limiter, send, and settle.

An operation holds a place from its intent to its reply. What waits (backoff, outage, a server's Retry-After) holds nothing:
its intent is taken back. Order within one call: place, durable intent, connection, token, first byte.

Knows no HTTP and no SQL. What concerns more than this lane goes to the `Supervisor`.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Protocol

from bulkops.engine.backoff import CAP, backoff
from bulkops.engine.breaker import Breaker
from bulkops.engine.crew import Crew, Turn
from bulkops.engine.decision import FAILING, STOPPING, THROTTLING, Decision, decide, settled_verdict, speaks_of_backend
from bulkops.engine.limiter import Limiter
from bulkops.engine.pace import Pace
from bulkops.engine.policy import AHEAD, WAITING_LIMIT, Policy
from bulkops.engine.ports import Client, Clock, Judge, Ledger
from bulkops.engine.queue import Queue
from bulkops.errors import LedgerError
from bulkops.model import Api, ApiFigures, Operation, Outcome, Reply, Settlement, Status, Verdict
from bulkops.watching import LaneSnapshot

HELD_SHARE = 0.01
"""Share of throttled answers above which a Retry-After holds the whole lane."""

NOT_THE_API = frozenset({401, 403, 404, 407})
"""HTTP statuses that, with every 3xx, say that something else answers at this address."""

CONNECT_PAUSE = 5.0
"""Seconds between two tries at most while no connection could be made: the 30 s after which a run stops hold several."""

STRANGE_LIMIT = 3
"""First answers of that kind in a row after which the run stops."""


class Supervisor(Protocol):
    """What a lane reports upwards."""

    def fatal(self, lane: Lane, reply: Reply) -> None:
        """Nothing in this run can succeed."""

    def api_fatal(self, lane: Lane, reply: Reply) -> None:
        """Nothing on this lane can succeed."""

    def not_the_api(self, lane: Lane, reply: Reply) -> None:
        """Something else answers at this address."""

    def refused_alike(self, lane: Lane, label: str, info: str) -> None:
        """All of the API's first operations were refused with one code."""

    def outage_too_long(self, lane: Lane) -> None:
        """The lane had no success for too long."""

    def ledger_failed(self, error: LedgerError) -> None:
        """Nothing can be written any more."""

    def stale_credential(self, lane: Lane, reply: Reply, departed_at: float) -> None:
        """A server called the credential stale that a call of `departed_at` had used."""

    def answered(self, lane: Lane, verdict: Verdict) -> None:
        """A call came back; every one does."""

    def not_sent(self, reply: Reply) -> None:
        """No connection could be made."""

    def throttle_app(self) -> None:
        """The whole app is over its limit."""

    def ended(self, status: Status) -> None:
        """An operation ended."""

    def notice(self, op: str, kind: str, text: str) -> None:
        """Something to tell the person who watches."""


class Lane:
    """One (SDKAppID, API) with its own bucket, places and breaker.

    Args:
        index: The API's place in the catalog, as the ledger knows it.
        api: What is called.
        limit: Calls per second.
        places: Calls that may be under way at once.
        figures: What the ledger knows of the API at the start.
        supervisor: Whom to tell what concerns more than the lane.
        rng: For the jitter of probes.
    """

    def __init__(
        self,
        *,
        index: int,
        api: Api,
        limit: int,
        places: int,
        figures: ApiFigures,
        ledger: Ledger,
        client: Client,
        judge: Judge,
        clock: Clock,
        policy: Policy,
        supervisor: Supervisor,
        rng: random.Random,
    ) -> None:
        self.index = index
        self.api = api
        self.limit = limit
        self.clock = clock
        self.limiter = Limiter(limit=limit, clock=clock)
        self.alone = True
        self.halted = ""  # why it takes no more work, once it doesn't
        self.reason = "starting"  # why it is alone
        self._ledger = ledger
        self._judge = judge
        self._policy = policy
        self._supervisor = supervisor
        self._rng = rng
        self._crew = Crew(
            index=index,
            api=api,
            places=places,
            ahead=int(limit * AHEAD),
            limiter=self.limiter,
            client=client,
            ledger=ledger,
            clock=clock,
            owner=self,
        )
        self._crew.standing = True
        self._queue = Queue(lambda limit: ledger.claim(index, limit), waiting_limit=max(1000, int(limit * WAITING_LIMIT)))
        self._breaker = Breaker()
        self._pace = Pace(float(limit))
        self._awake = asyncio.Event()
        self._paused_until = 0.0
        self._working = False
        self._started = False  # a readable answer has come
        self._starts = 0  # calls alone without a readable answer, since the last that had one
        self._strange = 0  # first calls in a row that something else answered
        self._accepted_left = float("-inf")  # departure of the newest call whose credential was accepted
        self._throttles: deque[bool] = deque(maxlen=200)
        self._progress_at = clock.monotonic()
        self._throttled_last = False
        self._succeeded = figures.by_status.get(Status.SUCCEEDED, 0) > 0
        self._ended = sum(count for status, count in figures.by_status.items() if status.ended)
        self._refused = dict(figures.refused)

    # -- What the run asks of a lane ---------------------------------------------------------------------------------

    async def carry_out(self, allowance: int | None = None) -> None:
        """Carry out what is pending, or `allowance` operations of it; return when all of those ended, or the lane is halted.

        Cancelled, it gives up what is in flight: those stay in doubt.
        """
        self._queue.reopen(allowance)
        self._progress_at = self.clock.monotonic()
        self._working = True
        try:
            while not self.halted and not await self._done():
                await (self._probe() if self.alone else self._stream())
            self._crew.take_back()
            while self._crew.busy:
                await self._wait()
        finally:
            self._working = False
            await self._crew.dismiss()

    def halt(self, reason: str) -> None:
        """Take no new work: what waits for a token does not leave any more, what is in flight is awaited."""
        if not self.halted:
            self.halted = reason
            self._crew.halted = True
            self.limiter.close()
            self.wake()

    def slow_down(self, retry_after: float | None = None) -> None:
        """The backend throttles: go slower at once; with a Retry-After for the lane, stand still until then."""
        now = self.clock.monotonic()
        reduced = self._pace.reduced
        if self._pace.throttled(now):
            self._follow_pace()
            if not reduced:
                text = f"throttled: slowing down to {self._pace.allowed:.0f} calls/s"
                self._supervisor.notice(self.api.op, "throttled", text)
        if retry_after:
            self._pause(now + retry_after, f"the server asked to wait {retry_after:.0f} s")

    def renew(self) -> None:
        """The credential is stale: go on alone until a call with a new one succeeds."""
        now = self.clock.monotonic()
        if not self.alone or now >= self._paused_until:  # else it is a late answer to a call with the old one
            self._go_alone("renewing the credential", now + 1.0)

    def tick(self, late: float) -> None:
        """What time alone changes; called about once a second.

        Args:
            late: Seconds by which the event loop is late.
        """
        now = self.clock.monotonic()
        self._crew.tick(late)
        if not self.halted and self._pace.tick(now):
            self._follow_pace()
            if not self._pace.reduced:
                self._supervisor.notice(self.api.op, "recovered", f"back to {self.limit} calls/s")
        stuck = self.alone or self._throttled_last or self._breaker.outage
        if stuck and now - self._progress_at >= self._policy.outage_limit and self._working and not self.halted:
            self._supervisor.outage_too_long(self)

    def snapshot(self, figures: ApiFigures) -> LaneSnapshot:
        """How the lane stands, with what the ledger has counted."""
        rate = self.limiter.rate()
        ended = sum(count for status, count in figures.by_status.items() if status.ended)
        left = figures.operations - ended
        return LaneSnapshot(
            op=self.api.op,
            operations=figures.operations,
            ended=ended,
            by_status=figures.by_status,
            calls=figures.calls,
            retried=figures.retried,
            throttled=figures.throttled,
            rate=rate,
            limit=self.limit,
            allowed=self._pace.allowed,
            in_flight=self._crew.in_flight,
            waiting=self._queue.waiting,
            reason=self._why(left),
            eta=left / rate if rate > 0 and left > 0 else None,
        )

    def _why(self, left: int) -> str:
        if not left:
            return ""
        if self.halted:
            return self.halted
        pause = self._paused_until - self.clock.monotonic()
        if self.alone:
            return f"{self.reason}, next try in {pause:.0f} s" if pause >= 1 else self.reason
        if pause >= 1:
            return f"waits {pause:.0f} s as the server asked"
        return f"throttled to {self._pace.allowed:.0f}/s" if self._pace.reduced else ""

    # -- Modes ---------------------------------------------------------------------------------------------------------

    async def _done(self) -> bool:
        """Whether nothing is left to send and nothing is under way."""
        await self._refill(1)
        return self._queue.empty and not self._crew.busy

    def _streams(self) -> bool:
        return not (self.alone or self.halted)

    async def _stream(self) -> None:
        """Keep durable intents ahead of the token until the mode changes or nothing is left."""
        while self._streams():
            now = self.clock.monotonic()
            if now < self._paused_until:
                await self._wait(self._paused_until)
                continue
            self.limiter.open()
            room = self._crew.room
            if not room:
                await self._wait()
                continue
            await self._refill(self._crew.ahead)
            if not self._streams():
                return  # while it waited for the ledger
            operations = self._queue.take(room, self.clock.monotonic())
            if operations:
                await self._crew.begin(operations)
            elif self._queue.empty and not self._crew.busy:
                return
            else:
                await self._wait(self._queue.next_at())

    async def _probe(self) -> None:
        """One call alone, once the pause is over."""
        self._crew.take_back()
        now = self.clock.monotonic()
        if now < self._paused_until:
            await self._wait(self._paused_until)
            return
        await self._refill(1)
        if self.halted:
            return  # while it waited for the ledger
        operation = self._queue.take_probe()
        if operation is None:
            await self._wait()
            return
        self.limiter.open()
        await self._crew.call_alone(operation)

    def _go_alone(self, reason: str, until: float) -> None:
        self.alone = self._crew.standing = True
        self.reason = reason
        self._paused_until = max(self._paused_until, until)
        self.limiter.close()
        self.wake()

    def _go_on(self) -> None:
        """Stream (again)."""
        now = self.clock.monotonic()
        if self._breaker.is_open:
            self._pace.ramp(now)
            self._follow_pace()
            self._supervisor.notice(self.api.op, "outage_over", "the backend answers again: speeding up")
        if self._breaker.is_open or not self._started:
            self._breaker.close()  # after a renewal what it knows of the backend still holds
        self._started = True
        self._starts = 0
        self.alone = self._crew.standing = False
        self.reason = ""
        self.wake()

    def _follow_pace(self) -> None:
        """Space the departures, and begin no more than what leaves soon."""
        self.limiter.slow_to(self._pace.allowed)
        self._crew.keep_ahead(int(self._pace.allowed * AHEAD))

    def _pause(self, until: float, reason: str) -> None:
        """Stand still for a while: what waits at the limiter holds no place meanwhile."""
        if until > self._paused_until:
            if self._paused_until <= self.clock.monotonic():
                self._supervisor.notice(self.api.op, "waiting", reason)
            self._paused_until = until
            self.limiter.close()

    async def _wait(self, until: float | None = None) -> None:
        """Until something changes, or the monotonic clock says `until`."""
        self._awake.clear()
        timer = None
        if until is not None:
            delay = max(0.0, until - self.clock.monotonic())
            timer = asyncio.get_running_loop().call_later(delay, self._awake.set)
        try:
            await self._awake.wait()
        finally:
            if timer is not None:
                timer.cancel()
        if self._crew.defect is not None:
            raise self._crew.defect

    async def _refill(self, wanted: int) -> None:
        try:
            await self._queue.refill(wanted)
        except LedgerError as error:
            self._supervisor.ledger_failed(error)

    # -- What the crew reports -----------------------------------------------------------------------------------------

    def put_back(self, operation: Operation) -> None:
        """Its call never left: it goes before all others."""
        self._queue.put_back(operation)

    def ledger_failed(self, error: LedgerError) -> None:
        """Nothing can be written any more."""
        self._supervisor.ledger_failed(error)

    def wake(self) -> None:
        """Something changed."""
        self._awake.set()

    def replied(self, operation: Operation, turn: Turn, reply: Reply) -> None:
        """Write down what became of an attempt, and do what follows from it."""
        verdict = settled_verdict(self._judge(self.api, reply), succeeded_before=self._succeeded)
        rest = self._breaker.knows_enough and not self._queue.untried_left
        if speaks_of_backend(operation, verdict, rest=rest):
            self._breaker.record(operation.seq, failing=verdict in FAILING)
        decision = decide(
            operation,
            verdict,
            outage=self._breaker.outage,
            untried_left=self._queue.untried_left,
            max_attempts=self._policy.max_attempts,
        )
        sent = reply.outcome is not Outcome.NOT_SENT
        answered_at = self.clock.utc()
        operation = Operation(
            operation.seq,
            operation.content,
            operation.number + 1,
            decision.charged,
            operation.calls + sent,
            decision.in_doubt,
        )
        if self._ledger.failed is None:  # else it stays `sending`: in doubt
            self._ledger.settle(
                self.index,
                Settlement(
                    operation.seq,
                    operation.number,
                    turn.departed_at if turn.departed else answered_at,
                    answered_at,
                    verdict,
                    decision.status,
                    reply.http,
                    reply.code,
                    reply.label,
                    reply.info,
                    sent,
                    operation.charged,
                    operation.calls,
                    operation.in_doubt,
                ),
            )
        self._supervisor.answered(self, verdict)
        if decision.status is Status.PENDING:
            self._again(operation, verdict, reply, turn.left_at)
        else:
            self._end(verdict, decision, reply)
        self._change_mode(verdict, reply, turn)

    def _again(self, operation: Operation, verdict: Verdict, reply: Reply, left_at: float) -> None:
        """Queue an operation for its next attempt, and pass on what its reply means for others."""
        now = self.clock.monotonic()
        wait = 0.0
        if verdict in THROTTLING:
            wait = backoff(1)  # the lane slows down; the operation itself did nothing wrong
            self._throttled_last = True
            self._throttles.append(True)
            held = sum(self._throttles) > HELD_SHARE * len(self._throttles)
            if verdict is Verdict.THROTTLED_APP:
                self._supervisor.throttle_app()
            self.slow_down(reply.retry_after if held else None)
            wait = max(wait, reply.retry_after or 0.0)
        elif verdict is Verdict.STALE_CREDENTIAL:
            if left_at > self._accepted_left:  # else a call that left later was accepted: the new one is in use already
                self._supervisor.stale_credential(self, reply, left_at)
        elif verdict not in STOPPING:
            wait = backoff(operation.number)
        self._queue.wait(operation, now + wait)
        self.wake()
        if verdict is Verdict.FATAL:
            self._supervisor.fatal(self, reply)
        elif verdict is Verdict.FATAL_API:
            self._supervisor.api_fatal(self, reply)
        elif verdict is Verdict.NOT_SENT:
            self._supervisor.not_sent(reply)

    def _end(self, verdict: Verdict, decision: Decision, reply: Reply) -> None:
        """Count an operation that ended."""
        self._ended += 1
        if verdict is Verdict.REFUSED:
            self._refused[reply.label] = self._refused.get(reply.label, 0) + 1
            alike = self._policy.refused_alike
            if self._ended == alike == self._refused[reply.label]:
                self._supervisor.refused_alike(self, reply.label, reply.info)
        elif verdict is Verdict.SUCCEEDED:
            self._succeeded = True
        self._supervisor.ended(decision.status)

    def _change_mode(self, verdict: Verdict, reply: Reply, turn: Turn) -> None:
        """Between alone and streaming, by what came back. What the stream left behind changes nothing once it is alone."""
        now = self.clock.monotonic()
        if verdict not in FAILING and verdict not in THROTTLING and verdict is not Verdict.STALE_CREDENTIAL:
            self._progress_at = now
        if verdict not in THROTTLING and reply.outcome is Outcome.ANSWERED:
            self._throttled_last = False
            self._throttles.append(False)
            self._pace.accepted(now)
            if verdict is not Verdict.STALE_CREDENTIAL:
                self._accepted_left = max(self._accepted_left, turn.left_at)
        if self.halted or verdict in STOPPING or verdict is Verdict.STALE_CREDENTIAL:
            return
        if not self.alone:
            if self._breaker.should_open:
                self._breaker.open()
                self._supervisor.notice(self.api.op, "outage", "the backend fails: one call at a time until it is back")
                self._go_alone("outage", now + self._breaker.pause(self._rng.random()))
        elif not turn.alone:
            return
        elif self._breaker.is_open:
            if verdict in FAILING:
                self._paused_until = now + self._breaker.pause(self._rng.random())
            else:
                self._go_on()
        elif reply.outcome is Outcome.ANSWERED and reply.code is not None:
            self._go_on()  # any readable answer that stops nothing: this is the API, and it can be reached
        else:
            self._starts += 1
            longest = CONNECT_PAUSE if verdict is Verdict.NOT_SENT else CAP
            self._paused_until = max(self._paused_until, now + min(longest, backoff(self._starts)))
            strange = reply.http is not None and (300 <= reply.http < 400 or reply.http in NOT_THE_API)
            self._strange = self._strange + 1 if strange and not self._started else 0
            if self._strange >= STRANGE_LIMIT:
                self._supervisor.not_the_api(self, reply)
