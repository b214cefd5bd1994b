"""The limiter's promise: never more than the limit in any second, and nearly all of it used."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from bulkops.engine.limiter import Limiter
from bulkops.engine.ports import NotDeparting
from bulkops.testing import VirtualClock, VirtualTimeLoop, run_virtual, worst_window

YES: Callable[[], bool] = lambda: True  # noqa: E731


def admitted(limit: int, calls: int, *, disturb: Callable[[VirtualTimeLoop, Limiter], None] = lambda *_: None) -> list[float]:
    """When each of `calls` waiting calls leaves a fresh limiter."""

    async def main(loop: VirtualTimeLoop) -> list[float]:
        limiter = Limiter(limit=limit, clock=VirtualClock(loop))
        left: list[float] = []

        async def one() -> None:
            await limiter.acquire(YES)
            left.append(loop.time())

        disturb(loop, limiter)
        await asyncio.gather(*(one() for _ in range(calls)))
        return left

    return run_virtual(main)


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 200, 1000])
def test_no_second_holds_more_than_the_limit_and_nearly_all_of_it_is_used(limit: int) -> None:
    left = admitted(limit, limit * 12)
    assert worst_window(left) <= limit
    assert (len(left) - 1) / (left[-1] - left[0]) >= 0.99 * limit


@pytest.mark.parametrize("free", [0.03, 0.05])
def test_a_loop_blocked_for_20_ms_again_and_again_keeps_limit_and_rate(free: float) -> None:
    rng = random.Random(7)

    def disturb(loop: VirtualTimeLoop, _: Limiter) -> None:
        def block() -> None:
            loop.block(0.02)
            loop.call_later(free * rng.uniform(0.8, 1.2), block)  # even spells would beat against the window

        block()

    left = admitted(200, 6000, disturb=disturb)
    assert worst_window(left) <= 200
    assert (len(left) - 1) / (left[-1] - left[0]) >= 198.0


def test_a_call_that_is_late_on_its_way_out_counts_from_when_it_left() -> None:
    """Between token and first byte another thread has the processor, now and then for longer than the margin."""
    rng = random.Random(7)
    left: list[float] = []

    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=200, clock=VirtualClock(loop))

        async def one() -> None:
            await limiter.acquire(YES)
            if rng.random() < 0.05:
                loop.block(rng.uniform(0.0, 0.03))
            left.append(loop.time())
            limiter.left()

        await asyncio.gather(*(one() for _ in range(3000)))

    run_virtual(main)
    assert worst_window(left) <= 200
    assert (len(left) - 1) / (left[-1] - left[0]) >= 198.0


def test_a_pause_is_not_made_up_for_with_a_burst() -> None:
    """Five seconds of a blocked loop earn no more than the bucket holds."""

    def disturb(loop: VirtualTimeLoop, _: Limiter) -> None:
        loop.call_later(2.0, loop.block, 5.0)

    left = admitted(200, 2000, disturb=disturb)
    assert worst_window(left) <= 200


def test_slowed_down_it_spaces_the_calls() -> None:
    left = admitted(200, 41, disturb=lambda _, limiter: limiter.slow_to(10.0))
    assert left[-1] - left[0] == pytest.approx(4.0, abs=0.1)


def test_nothing_leaves_before_the_time_another_process_left_open() -> None:
    left = admitted(200, 3, disturb=lambda loop, limiter: limiter.not_before(loop.time() + 1.005))
    assert left[0] >= 1.005


def test_closing_turns_everybody_away_and_opening_lets_in() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=1, clock=VirtualClock(loop))
        await limiter.acquire(YES)
        waiting = [asyncio.ensure_future(limiter.acquire(YES)) for _ in range(3)]
        await asyncio.sleep(0)
        assert limiter.waiting == 3
        limiter.close()
        refusals = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(refusal) for refusal in refusals] == ["withdrawn"] * 3
        assert limiter.waiting == 0
        with pytest.raises(NotDeparting, match="withdrawn"):
            await limiter.acquire(YES)
        limiter.open()
        await limiter.acquire(YES)
        assert loop.time() >= 1.0

    run_virtual(main)


def test_a_dead_connection_gives_its_turn_to_the_next_and_pays_nothing() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=2, clock=VirtualClock(loop))
        with pytest.raises(NotDeparting, match="stale_connection"):
            await limiter.acquire(lambda: False)
        started = loop.time()
        await limiter.acquire(YES)
        assert loop.time() == started

    run_virtual(main)


def test_cancelled_waiters_leave_no_trace() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=5, clock=VirtualClock(loop))
        tasks = [asyncio.ensure_future(limiter.acquire(YES)) for _ in range(50)]
        await asyncio.sleep(1.5)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(20)
        assert all(task.done() for task in tasks)
        assert limiter.waiting == 0
        await limiter.acquire(YES)

    run_virtual(main)


def test_a_call_that_is_cancelled_the_moment_it_is_granted_gives_its_turn_to_the_next() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=1, clock=VirtualClock(loop))
        await limiter.acquire(YES)
        granted, next_one = (asyncio.create_task(limiter.acquire(YES)) for _ in range(2))
        await asyncio.sleep(0)
        loop.block(1.5)
        limiter._schedule()  # what the timer does once the loop comes back
        assert limiter._granted == 1
        granted.cancel()
        await asyncio.gather(granted, next_one, return_exceptions=True)
        assert loop.time() == 1.5
        assert limiter.waiting == 0

    run_virtual(main)


def test_a_lane_that_closes_the_moment_a_call_is_granted_turns_it_away() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=1, clock=VirtualClock(loop))
        await limiter.acquire(YES)
        granted = asyncio.create_task(limiter.acquire(YES))
        await asyncio.sleep(0)
        loop.block(1.5)
        limiter._schedule()  # what the timer does once the loop comes back
        limiter.close()
        with pytest.raises(NotDeparting, match="withdrawn"):
            await granted
        assert limiter.waiting == 0

    run_virtual(main)


def test_a_dead_connection_does_not_cost_the_next_call_its_turn() -> None:
    """At one call a second, a turn that is lost is a second that is lost."""

    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=1, clock=VirtualClock(loop))
        await limiter.acquire(YES)
        tasks = [asyncio.create_task(limiter.acquire(alive)) for alive in (lambda: False, lambda: False, YES)]
        refused = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in refused] == ["stale_connection", "stale_connection", "None"]
        assert loop.time() == pytest.approx(1.025, abs=0.01)

    run_virtual(main)


def test_the_rate_is_what_left_in_the_last_second() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        limiter = Limiter(limit=50, clock=VirtualClock(loop))
        assert (limiter.rate(), limiter.last_departure) == (0.0, None)
        for _ in range(10):
            await limiter.acquire(YES)
        assert limiter.rate() == 10.0
        assert limiter.last_departure == loop.time()
        await asyncio.sleep(1.1)
        assert limiter.rate() == 0.0

    run_virtual(main)
