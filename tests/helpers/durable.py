"""Runs in virtual time on the ledger's in-memory twin, behind the real group commit: for scenarios with thresholds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.ports import Gate
from bulkops.engine.run import Engine
from bulkops.errors import LedgerError
from bulkops.ledger import GroupCommit, MemoryStore
from bulkops.model import Api, Figures, ProcessRecord, Reply
from bulkops.testing import Script, ScriptedClient, VirtualClock, VirtualTimeLoop, run_virtual
from tests.helpers.enginekit import assert_idle

RECORD = ProcessRecord(0, "op", "host", 1, "1", 1400000000, "admin", "https://test.invalid", {}, 0)


@dataclass
class Scene:
    """A run that is about to begin."""

    loop: VirtualTimeLoop
    clock: VirtualClock
    engine: Engine
    client: ScriptedClient


@dataclass
class Durable:
    """What a run came to."""

    engine: Engine
    client: ScriptedClient
    figures: Figures
    seconds: float

    def statuses(self, api: int = 0) -> dict[str, int]:
        """Operations of one API by status, those that none has left out."""
        return {status.word: count for status, count in self.figures.apis[APIS[api].op].by_status.items() if count}

    def departures(self, api: int = 0) -> list[float]:
        """When the calls of one API left."""
        return self.client.departures.get(APIS[api].op, [])

    def calls(self, start: float, end: float, api: int = 0) -> int:
        """How many calls of one API left from `start` to `end`."""
        return sum(start <= at < end for at in self.departures(api))

    def busiest(self, start: float, end: float) -> int:
        """The most calls of the first API in any of the seconds from `start` to `end`."""
        return max(self.calls(start + second, start + second + 1) for second in range(int(end - start)))


def durably(
    counts: Mapping[int, int] | int,
    script: Script,
    *,
    latency: Callable[[], float] | float = 0.08,
    limit: int = 200,
    policy: Policy | None = None,
    during: Callable[[Scene], object] = lambda _scene: None,
    seed: int = 1,
) -> Durable:
    """Carry operations out on a lean ledger in memory.

    Args:
        counts: Operations by the index of their API; a number means the first API.
        script: What the server does.
        latency: Seconds until an answer, or what draws them.
        during: Called before the run, to set what happens when.
        seed: Of all random numbers.
    """
    counts = {0: counts} if isinstance(counts, int) else counts
    random.seed(seed)

    async def main(loop: VirtualTimeLoop) -> Durable:
        clock = VirtualClock(loop)
        table = [counts.get(api, 0) for api in range(len(APIS))]
        store = MemoryStore.generated(table, lambda _api, place: f"user{place + 1}", [api.op for api in APIS])
        process = store.start_process(RECORD)

        def ledger_failed(error: LedgerError) -> None:
            engine.ledger_failed(error)

        commit = GroupCommit(store, process=process, clock=clock, inline=True, on_failed=ledger_failed)
        client = Varied(script, clock=loop.time)
        if callable(latency):
            client.draw = latency
        else:
            client.latency = latency
        engine = Engine(
            apis=[(api, APIS[api], limit, round(limit * PLACES)) for api in counts],
            ledger=commit,
            client=client,
            judge=judge,
            clock=clock,
            policy=policy or Policy(),
            rng=random.Random(seed),
        )
        during(Scene(loop, clock, engine, client))
        await engine.carry_out()
        assert_idle(engine)
        await commit.aclose()
        return Durable(engine, client, store.figures(), loop.time())

    return run_virtual(main)


class Varied(ScriptedClient):
    """A scripted client whose answers take differently long."""

    draw: Callable[[], float] | None = None

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        if self.draw is not None:
            self.latency = self.draw()
        return await super().send(api, content, gate)


def every(loop: asyncio.AbstractEventLoop, seconds: float, act: Callable[[], object]) -> None:
    """Do something again and again."""

    def again() -> None:
        act()
        loop.call_later(seconds, again)

    loop.call_later(seconds, again)
