"""Very large jobs in virtual time: memory that does not grow with the job, and the window kept to the end."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import sys
import time

import pytest

from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.limiter import WINDOW
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.ports import Gate
from bulkops.engine.run import Engine
from bulkops.ledger import GroupCommit, MemoryStore
from bulkops.model import Api, Figures, Reply
from bulkops.testing import VirtualClock, VirtualTimeLoop, answered, ok, run_virtual
from tests.helpers.durable import RECORD
from tests.helpers.enginekit import assert_idle

pytestmark = pytest.mark.untraced

LIMIT = 200

RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class LeanClient:
    """A client that keeps nothing but the last departures, and looks at the window with each of them.

    Args:
        loop: Gives the time.
        failing: Share of calls that are answered with a transient code.
        marks: Numbers of departures at which the memory in use is looked at.
    """

    def __init__(self, loop: VirtualTimeLoop, *, failing: float, marks: tuple[int, ...]) -> None:
        self._loop = loop
        self._failing = failing
        self._draws = random.Random(1)
        self._marks = marks
        self._last = [float("-inf")] * LIMIT
        self.departed = 0
        self.blocks: list[int] = []
        self.peaks: list[int] = []

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        del api, content
        await gate(lambda: True)
        gate.left()
        at = self._loop.time()
        place = self.departed % LIMIT
        assert at - self._last[place] >= WINDOW, f"{LIMIT + 1} departures within {at - self._last[place]} s"
        self._last[place] = at
        self.departed += 1
        if self.departed in self._marks:
            gc.collect()
            self.blocks.append(sys.getallocatedblocks())
            self.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT)
        await asyncio.sleep(0.08)
        return answered(50004) if self._draws.random() < self._failing else ok()

    def renew(self) -> None:
        raise AssertionError("nothing is stale")


def carried_out(count: int, marks: tuple[int, ...]) -> tuple[LeanClient, Figures]:
    """A run of so many operations, 3 % of whose calls fail at first."""
    random.seed(1)

    async def main(loop: VirtualTimeLoop) -> tuple[LeanClient, Figures]:
        clock = VirtualClock(loop)
        store = MemoryStore.generated([count], lambda _api, place: f"user{place}", [api.op for api in APIS])
        commit = GroupCommit(store, process=store.start_process(RECORD), clock=clock, inline=True)
        client = LeanClient(loop, failing=0.03, marks=marks)
        engine = Engine(
            apis=[(0, APIS[0], LIMIT, round(LIMIT * PLACES))],
            ledger=commit,
            client=client,
            judge=judge,
            clock=clock,
            policy=Policy(),
        )
        await engine.carry_out()
        assert_idle(engine)
        await commit.aclose()
        return client, store.figures()

    return run_virtual(main)


def all_well(client: LeanClient, figures: Figures, count: int) -> None:
    """Every operation succeeded, and the ledger counted every call."""
    api = figures.apis[APIS[0].op]
    assert {status.word: number for status, number in api.by_status.items() if number} == {"succeeded": count}
    assert api.calls == client.departed > count


@pytest.mark.slow
def test_forty_thousand_operations_keep_window_and_memory() -> None:
    """Not one object is left over for every tenth operation."""
    began = time.process_time()
    client, figures = carried_out(40_000, marks=(4_000, 40_000))
    all_well(client, figures, 40_000)
    assert client.blocks[1] - client.blocks[0] <= 3_600
    assert time.process_time() - began <= 20.0


@pytest.mark.stress
def test_memory_grows_by_less_than_20_mb_between_the_first_and_the_tenth_million() -> None:
    began = time.monotonic()
    client, figures = carried_out(10_000_000, marks=(1_000_000, 10_000_000))
    all_well(client, figures, 10_000_000)
    assert client.peaks[1] - client.peaks[0] <= 20_000_000
    assert client.blocks[1] - client.blocks[0] <= 100_000
    assert time.monotonic() - began <= 1200.0
