"""Calls whose answer doesn't come are given up in time, and only those."""

from __future__ import annotations

import asyncio

import pytest

from bulkops.chat.deadlines import TICKS, Deadlines, Watch
from tests.helpers.chat import HandClock


class Calls:
    """Deadlines of 10 s of silence and 15 s in all over a clock that is turned by hand, and who was given up."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.deadlines = Deadlines(self.clock.monotonic, silence=10.0, total=15.0)
        self.given_up: list[str] = []

    def depart(self, name: str) -> Watch:
        return self.deadlines.departed(lambda: self.given_up.append(name))

    def go_on(self, seconds: float, *, at_once: bool = False) -> None:
        """Let time pass: a tick of the timer every half second, or standing still and one tick at the end."""
        if at_once:
            self.clock.pass_time(seconds)
            self.tick()
            return
        for _ in range(round(seconds * 2)):
            self.clock.pass_time(0.5)
            self.tick()

    def tick(self) -> None:
        if (timer := self.deadlines._timer) is not None:
            timer.cancel()
            self.deadlines._look()


@pytest.fixture
async def calls() -> Calls:
    return Calls()


async def test_silence_ends_a_call(calls: Calls) -> None:
    """Ten seconds without a byte, and not a tick before."""
    watch = calls.depart("a")
    calls.go_on(9.5)
    assert not calls.given_up
    calls.go_on(0.5)
    assert calls.given_up == ["a"]
    assert watch.expired == "nothing came for 10 s"


async def test_a_call_is_given_up_once(calls: Calls) -> None:
    """However long nobody takes notice."""
    calls.depart("a")
    calls.go_on(60)
    assert calls.given_up == ["a"]


async def test_a_slow_drip_ends_too(calls: Calls) -> None:
    """Bytes now and then don't keep a call alive beyond its total."""
    watch = calls.depart("a")
    for _ in range(14):
        calls.go_on(1)
        calls.deadlines.heard(watch)
    assert not calls.given_up
    calls.go_on(1)
    assert watch.expired == "no complete answer 15 s after the call left"


async def test_a_piece_starts_the_silence_anew(calls: Calls) -> None:
    """Headers after 9 s leave the body its own time, within the total."""
    watch = calls.depart("a")
    calls.go_on(9)
    calls.deadlines.heard(watch)
    calls.go_on(5.5)
    assert not calls.given_up


async def test_a_call_that_ended_is_not_given_up(calls: Calls) -> None:
    """Nor is its timer kept once no call is left."""
    watch = calls.depart("a")
    calls.deadlines.ended(watch)
    calls.go_on(0.5)
    assert calls.deadlines._timer is None
    calls.deadlines.ended(watch)  # twice does no harm
    assert not calls.given_up


async def test_time_that_the_loop_stood_still_does_not_count(calls: Calls) -> None:
    """Blocked for ten seconds, the next look ends nothing; whoever is still silent ends later."""
    calls.depart("before")
    calls.go_on(2)
    calls.go_on(10, at_once=True)
    assert not calls.given_up
    calls.depart("after")
    calls.go_on(7)
    assert not calls.given_up
    calls.go_on(0.5)  # 2 + 0.5 until the tick that came late + 7.5
    assert calls.given_up == ["before"]
    calls.go_on(2.5)
    assert calls.given_up == ["before", "after"]


async def test_a_loop_that_is_always_late_still_ends_calls(calls: Calls) -> None:
    """Blocks of a second without end stretch a timeout; they don't abolish it."""
    calls.depart("a")
    for _ in range(30):
        calls.go_on(1.0, at_once=True)
        calls.go_on(0.5)
    assert calls.given_up == ["a"]


async def test_a_loop_that_is_late_at_every_look_still_ends_calls(calls: Calls) -> None:
    """A process that is stopped and let go again, over and over: only what it ran counts, but that does."""
    calls.depart("a")
    for _ in range(19):
        calls.go_on(0.8, at_once=True)
    assert not calls.given_up
    calls.go_on(0.8, at_once=True)
    assert calls.given_up == ["a"]


async def test_closing_gives_nobody_up(calls: Calls) -> None:
    """Whoever closes has drained."""
    calls.depart("a")
    calls.deadlines.close()
    assert calls.deadlines._timer is None
    assert not calls.given_up
    calls.deadlines.close()


async def test_the_timer_runs_on_the_loop() -> None:
    """Without any hand on the clock, a call ends within a fraction of its timeout."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop.time, silence=0.1, total=1.0)
    given_up = loop.create_future()
    begun = loop.time()
    deadlines.departed(lambda: given_up.set_result(loop.time() - begun))
    assert 0.1 <= await given_up < 0.1 + 5 * 0.1 / TICKS + 0.1
