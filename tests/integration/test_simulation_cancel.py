"""A run cancelled at any turn of the loop: nothing is left over, and the ledger knows exactly what had left."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from bulkops.chat.catalog import APIS
from bulkops.chat.verdicts import judge
from bulkops.engine.policy import PLACES, Policy
from bulkops.engine.run import Engine
from bulkops.ledger import GroupCommit, MemoryStore
from bulkops.model import Status, Stop, StopKind
from bulkops.testing import VirtualClock, VirtualTimeLoop
from tests.helpers.durable import RECORD
from tests.helpers.enginekit import assert_idle
from tests.helpers.simworld import Server, SimClient, draw_weather

pytestmark = pytest.mark.untraced

T = TypeVar("T")

SOON = 12
"""Turns of the loop within which a cancellation reaches the top: one for every task that waits for another, twice over."""


class CountingLoop(VirtualTimeLoop):
    """A virtual loop that counts its turns, and cancels a task at one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.cancel_at = -1
        self.victim: asyncio.Task[None] | None = None

    def _run_once(self) -> None:
        self.turns += 1
        if self.turns == self.cancel_at and self.victim is not None:
            self.victim.cancel()
        super()._run_once()  # type: ignore[misc]  # asyncio's own, not in its stubs


def run_counting(main: Coroutine[Any, Any, T], loop: CountingLoop) -> T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)


async def cancelled_at(seed: int, turn: int, loop: CountingLoop) -> int:
    """Cancel a run in foul weather at one turn of its loop; the turns that it had, or 0 once it was cancelled."""
    rng = random.Random(seed)
    random.seed(seed)
    limit = rng.choice((5, 50, 200))
    counts = {api: rng.choice((1, 40, 120)) for api in rng.sample(range(3), 2)}
    clock = VirtualClock(loop)
    store = MemoryStore.of(
        {api: [f"{api}-{place}" for place in range(counts[api])] for api in sorted(counts)}, [a.op for a in APIS]
    )
    process = store.start_process(RECORD)
    commit = GroupCommit(store, process=process, clock=clock, interval=rng.choice((0.0, 0.05)), inline=True)
    client = SimClient(Server(draw_weather(rng, 5.0), rng), now=loop.time, durable=lambda _api, _content: True)
    engine = Engine(
        apis=[(api, APIS[api], limit, max(1, round(limit * PLACES))) for api in sorted(counts)],
        ledger=commit,
        client=client,
        judge=judge,
        clock=clock,
        policy=Policy(),
        rng=rng,
    )
    loop.victim = asyncio.create_task(engine.carry_out())
    loop.cancel_at = turn
    if rng.random() < 0.3:
        loop.call_at(rng.uniform(0.0, 2.0), engine.stop, Stop(StopKind.SIGNAL, "SIGINT"))
    try:
        await loop.victim
    except asyncio.CancelledError:
        assert loop.turns - turn <= SOON
    else:
        return loop.turns
    assert_idle(engine)
    for lane in engine.lanes:
        assert not lane.limiter._bucket._waiters
    await commit.aclose()
    answered = sum(len(store.attempts(seq)) for seq in range(1, sum(counts.values()) + 1))
    not_left = sum(not each.sent for seq in range(1, sum(counts.values()) + 1) for each in store.attempts(seq))
    sending = sum(each.by_status[Status.SENDING] for each in store.tally().figures(store.job(), 0.0).apis.values())
    assert sending == client.left.total() - (answered - not_left), (
        "in doubt is what left and was not answered, and nothing else"
    )
    return 0


def cancel_somewhere(seed: int) -> None:
    """Cancel a seed's run at a turn that is drawn over its whole length."""
    measured = CountingLoop()
    turns = run_counting(cancelled_at(seed, -1, measured), measured)
    loop = CountingLoop()
    turn = random.Random(f"turn {seed}").randrange(2, turns)
    try:
        run_counting(cancelled_at(seed, turn, loop), loop)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, cancelled at turn {turn} of {turns}: {error}") from error


@pytest.mark.slow
def test_cancelled_at_any_turn_nothing_is_left_over() -> None:
    for seed in range(120):
        cancel_somewhere(seed)


@pytest.mark.stress
def test_cancelled_at_any_turn_nothing_is_left_over_for_thousands_of_seeds() -> None:
    for seed in range(120, 10_120):
        cancel_somewhere(seed)


def test_cancelled_at_each_of_its_first_turns_nothing_is_left_over() -> None:
    """Every await of the start, and of the first stretch of the stream, one after the other."""
    for turn in range(2, 150):
        loop = CountingLoop()
        run_counting(cancelled_at(7, turn, loop), loop)
