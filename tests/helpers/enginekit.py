"""What the tests of the engine share: a suspicious ledger, and trials that carry out operations in virtual time.

A trial ends with a look for leaks: no place, token, intent or task may be left over, whatever happened in it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.ports import Client
from bulkops.engine.run import Engine
from bulkops.errors import LedgerError
from bulkops.model import Api, ApiFigures, Figures, Intent, Operation, Reply, Settlement, Status, Stop
from bulkops.testing import Script, ScriptedClient, VirtualClock, VirtualTimeLoop, answered, ok, run_virtual


def always(reply: Reply) -> Script:
    """A server that has one answer to everything."""
    return lambda _api, _content, _at: reply


def between(start: float, end: float, reply: Reply, otherwise: Reply | None = None) -> Script:
    """A server that answers `reply` to what leaves from `start` to `end`."""
    well = otherwise or ok()
    return lambda _api, _content, at: reply if start <= at < end else well


def first(count: int, *replies: Reply, then: Reply | None = None) -> Script:
    """A server that gives these replies in turn to its first `count` calls, another one afterwards."""
    asked = 0

    def script(_api: Api, _content: str, _at: float) -> Reply:
        nonlocal asked
        asked += 1
        return replies[(asked - 1) % len(replies)] if asked <= count else then or ok()

    return script


def to(contents: Mapping[str, Reply], otherwise: Reply | None = None) -> Script:
    """A server that answers by what is asked for."""
    well = otherwise or ok()
    return lambda _api, content, _at: contents.get(content, well)


def name(seq: int) -> str:
    """The content of the operation at that place."""
    return f"user{seq}"


class SuspiciousLedger:
    """The engine's ledger at its simplest. A step that no operation may take raises AssertionError.

    Args:
        counts: Operations by the index of their API; each API's places begin at 1.
        clock: For the times in `events`.
        commit: Seconds until an intent is durable.
        before: What is known of an API from earlier processes.
        tried: Operations that earlier processes began, by API: they are handed out first.
        fails_at: From this virtual time on nothing can be written.
        search: Seconds that it takes to find out that there are no more operations.
    """

    def __init__(
        self,
        counts: Mapping[int, int],
        *,
        clock: VirtualClock,
        commit: float = 0.02,
        before: Mapping[int, ApiFigures] | None = None,
        tried: Mapping[int, Sequence[Operation]] | None = None,
        fails_at: float = float("inf"),
        search: float = 0.0,
    ) -> None:
        self._clock = clock
        self._commit = commit
        self._before = before or {}
        self._fails_at = fails_at
        self._search = search
        self._operations = {api: [Operation(seq, name(seq)) for seq in range(1, count + 1)] for api, count in counts.items()}
        for api, operations in (tried or {}).items():
            self._operations[api][: len(operations)] = operations
        self._claimed = dict.fromkeys(counts, 0)
        self.status = {api: dict.fromkeys(range(1, count + 1), Status.PENDING) for api, count in counts.items()}
        self.settlements: dict[tuple[int, int], list[Settlement]] = {}
        self.events: list[tuple[str, int, int, float]] = []
        """(step, API, place, virtual time)."""
        self.failed: LedgerError | None = None

    async def claim(self, api: int, limit: int) -> Sequence[Operation]:
        self._write()
        at = self._claimed[api]
        found = self._operations[api][at : at + limit]
        self._claimed[api] += len(found)
        if not found:
            await asyncio.sleep(self._search)
        return found

    async def begin(self, api: int, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self._step("ask", api, intent.seq, Status.PENDING, Status.SENDING)
            made = self.settlements.get((api, intent.seq), [])
            assert not made or intent.number == made[-1].number + 1, f"attempt {intent.number} after {made[-1].number}"
        await asyncio.sleep(self._commit)
        self._write()
        self.events += [("begun", api, intent.seq, self._clock.monotonic()) for intent in intents]

    def settle(self, api: int, settlement: Settlement) -> None:
        self._step("settled", api, settlement.seq, Status.SENDING, settlement.status)
        self.settlements.setdefault((api, settlement.seq), []).append(settlement)

    def withdraw(self, api: int, operation: Operation) -> None:
        self._step("withdrawn", api, operation.seq, Status.SENDING, Status.PENDING)

    async def flush(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._clock.monotonic() >= self._fails_at:
            self.failed = self.failed or LedgerError("disk full")
        if self.failed is not None:
            raise self.failed

    def _step(self, word: str, api: int, seq: int, before: Status, after: Status) -> None:
        found = self.status[api][seq]
        assert found is before, f"operation {seq} of API {api} is {found.word} before it is {word}"
        self.status[api][seq] = after
        self.events.append((word, api, seq, self._clock.monotonic()))

    @property
    def figures(self) -> Figures:
        apis = {APIS[api].op: self._figures(api) for api in self.status}
        operations = sum(each.operations for each in apis.values())
        return Figures(operations, 0, 0, operations, apis)

    def _figures(self, api: int) -> ApiFigures:
        made = [each for (of, _), attempts in self.settlements.items() if of == api for each in attempts]
        before = self._before.get(api, ApiFigures())
        return ApiFigures(
            operations=len(self.status[api]),
            by_status=Counter(self.status[api].values()) + Counter(before.by_status),
            calls=sum(each.sent for each in made),
            refused=before.refused,
        )


@dataclass
class Stage:
    """A trial that is about to begin, or under way."""

    loop: VirtualTimeLoop
    clock: VirtualClock
    ledger: SuspiciousLedger
    client: Client
    engine: Engine

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something at that virtual time."""
        self.loop.call_at(seconds, act)

    def stop_at(self, seconds: float, stop: Stop, *, now: bool = False) -> None:
        """Stop the run at that virtual time."""
        self.at(seconds, lambda: self.engine.stop(stop, now=now))


@dataclass
class Trial:
    """What a trial came to."""

    stage: Stage
    seconds: float
    after_acts: list[dict[str, int]] = field(default_factory=list)
    """Operations by status, over all APIs, after each act."""

    @property
    def engine(self) -> Engine:
        return self.stage.engine

    @property
    def client(self) -> ScriptedClient:
        assert isinstance(self.stage.client, ScriptedClient)
        return self.stage.client

    @property
    def stopped_by(self) -> Stop:
        assert self.engine.stopped_by is not None, "nothing stopped the run"
        return self.engine.stopped_by

    def statuses(self, api: int = 0) -> dict[str, int]:
        """Operations of one API by status, those that none has left out."""
        return counted(self.stage.ledger.status[api].values())

    def departures(self, api: int = 0) -> list[float]:
        """When the calls of one API left."""
        return self.client.departures.get(APIS[api].op, [])

    def calls(self, start: float, end: float, api: int = 0) -> int:
        """How many calls of one API left from `start` to `end`."""
        return sum(start <= at < end for at in self.departures(api))

    def attempts(self, seq: int, api: int = 0) -> list[Settlement]:
        """What became of each attempt of an operation."""
        return self.stage.ledger.settlements.get((api, seq), [])

    def happened(self, word: str, seq: int, api: int = 0) -> list[float]:
        """When the ledger was told so of an operation."""
        return [at for step, of, place, at in self.stage.ledger.events if (step, of, place) == (word, api, seq)]

    def notices(self) -> list[str]:
        """Kinds of what a watcher was told, in order."""
        return [notice.kind for notice in self.engine._notices]


def counted(statuses: object) -> dict[str, int]:
    """How often each status is among them, by its word."""
    return {status.word: count for status, count in Counter(statuses).items()}  # type: ignore[call-overload]  # any iterable


def carry_out(
    counts: Mapping[int, int] | int,
    script: Script,
    *,
    policy: Policy | None = None,
    limit: int = 200,
    latency: float = 0.08,
    connect: float = 0.0,
    commit: float = 0.02,
    before: Mapping[int, ApiFigures] | None = None,
    tried: Mapping[int, Sequence[Operation]] | None = None,
    fails_at: float = float("inf"),
    search: float = 0.0,
    client: Callable[[VirtualTimeLoop], Client] | None = None,
    during: Callable[[Stage], object] = lambda _stage: None,
    acts: Sequence[int | None] = (None,),
    remedy: Callable[[int], str] = lambda _code: "",
    seed: int = 1,
) -> Trial:
    """Carry operations out in virtual time.

    Args:
        counts: Operations by the index of their API; a number means the first API.
        script: What the server does.
        limit: Calls per second of each lane.
        latency, connect: Seconds until an answer, and until a connection.
        commit: Seconds until an intent is durable.
        search: Seconds until the ledger knows that there are no more operations.
        client: Makes another client than the scripted one.
        during: Called before the first act, to set what happens when.
        acts: Allowance of each `carry_out`, one after another.
        seed: Of all random numbers.
    """
    counts = {0: counts} if isinstance(counts, int) else counts
    random.seed(seed)  # tenacity draws its jitter here

    async def main(loop: VirtualTimeLoop) -> Trial:
        clock = VirtualClock(loop)
        ledger = SuspiciousLedger(
            counts, clock=clock, commit=commit, before=before, tried=tried, fails_at=fails_at, search=search
        )
        scripted = ScriptedClient(script, clock=loop.time, latency=latency, connect=connect)
        driven = client(loop) if client is not None else scripted
        engine = Engine(
            apis=[(api, APIS[api], limit, round(limit * PLACES)) for api in counts],
            ledger=ledger,
            client=driven,
            judge=judge,
            clock=clock,
            policy=policy or Policy(),
            host="test.invalid",
            remedy=remedy,
            rng=random.Random(seed),
        )
        stage = Stage(loop, clock, ledger, driven, engine)
        during(stage)
        trial = Trial(stage, 0.0)
        for allowance in acts:
            await engine.carry_out(allowance)
            trial.after_acts.append(counted([status for api in counts for status in ledger.status[api].values()]))
        trial.seconds = loop.time()
        assert_idle(engine)
        return trial

    return run_virtual(main)


def assert_idle(engine: Engine) -> None:
    """Nothing of the engine is left over: no place, no token, no intent, no task."""
    for lane in engine.lanes:
        crew = lane._crew
        left = {"in flight": crew.in_flight, "begun": crew._begun, "ready": len(crew._ready), "workers": len(crew._workers)}
        assert not any(left.values()), (lane.api.op, left)
        assert lane.limiter.waiting == 0
        assert lane.limiter._granted == 0
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, others


def share_failing(share: float, code: int = 50004, *, seed: int = 1) -> Script:
    """A server that answers a share of all calls with an ErrorCode, at random."""
    draws = random.Random(seed)
    return lambda _api, _content, _at: answered(code) if draws.random() < share else ok()
