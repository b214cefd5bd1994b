"""Whatever happens around it, no second holds more departures than the limit, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from bulkops.engine.limiter import Limiter
from bulkops.engine.ports import NotDeparting
from bulkops.testing import VirtualClock, VirtualTimeLoop, run_virtual, worst_window


class Event(NamedTuple):
    """Something that happens: `arrive` (value: so many), `block`, `slow`, `close`, `dead`, `cancel`, `later`."""

    kind: str
    wait: float
    value: float


waits = st.floats(0.0, 1.5, allow_nan=False).map(lambda value: round(value, 4))
events = st.builds(
    Event,
    st.sampled_from(["arrive", "arrive", "arrive", "block", "slow", "close", "dead", "cancel", "later"]),
    waits,
    st.floats(0.0, 1.0),
)


async def happen(loop: VirtualTimeLoop, limit: int, story: list[Event]) -> list[float]:
    """When calls left in a story."""
    limiter = Limiter(limit=limit, clock=VirtualClock(loop))
    left: list[float] = []
    tasks: list[asyncio.Task[None]] = []

    async def one(*, alive: bool = True) -> None:
        try:
            await limiter.acquire(lambda: alive)
        except NotDeparting:
            return
        left.append(loop.time())

    for event in story:
        await asyncio.sleep(event.wait)
        if event.kind == "arrive":
            tasks += [asyncio.create_task(one()) for _ in range(1 + int(event.value * 2 * limit))]
        elif event.kind == "block":
            loop.call_soon(loop.block, event.value)
        elif event.kind == "slow":
            limiter.slow_to(max(0.5, event.value * 2 * limit))
        elif event.kind == "close":
            limiter.close()
            await asyncio.sleep(event.value)
            limiter.open()
        elif event.kind == "dead":
            tasks += [asyncio.create_task(one(alive=False)) for _ in range(5)]
        elif event.kind == "cancel":
            for task in tasks[:: 1 + int(event.value * 5)]:
                task.cancel()
        else:
            limiter.not_before(loop.time() + event.value)
    limiter.slow_to(limit)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.waiting == limiter._granted == 0
    return left


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([1, 2, 5, 20]), st.lists(events, max_size=12))
def test_no_second_holds_more_than_the_limit_and_nobody_waits_for_ever(limit: int, story: list[Event]) -> None:
    left = run_virtual(lambda loop: happen(loop, limit, story))
    assert worst_window(left) <= limit
