"""What a run has to reach under load and when the backend degrades, in virtual time, with the thresholds of the project."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

import pytest

from bulkops.engine.policy import Policy
from bulkops.model import Api, Reply
from bulkops.testing import Script, answered, not_sent, ok, unanswered, worst_window
from tests.helpers.durable import Durable, Scene, durably, every
from tests.helpers.simulation import Ending, Story, check, simulate
from tests.helpers.simworld import Weather

pytestmark = pytest.mark.untraced

WELL: Script = lambda _api, _content, _at: ok()  # noqa: E731 - a script in one line

CALM = dict.fromkeys(
    ("transient", "refused", "lost_before", "lost_after", "not_sent", "stale_before", "stale_after", "throttled", "slow"), 0.0
)


def slowest_minute(departures: list[float]) -> float:
    """The lowest rate of any 60 seconds within the run, in calls per second."""
    lowest = float("inf")
    for earlier, later in zip(departures, itertools.islice(departures, 60 * 198, None), strict=False):
        lowest = min(lowest, 60 * 198 / (later - earlier))
    return lowest


def typical(seed: int) -> Callable[[], float]:
    """Latencies with a median of 80 ms and a long tail."""
    rng = random.Random(seed)
    return lambda: rng.lognormvariate(-2.53, 0.5)


# -- Load ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_minutes_at_the_limit_use_it_and_never_pass_it() -> None:
    began = time.process_time()
    run = durably(24_000, WELL, latency=typical(1))
    assert worst_window(run.departures()) <= 200
    assert slowest_minute(run.departures()[1:]) >= 198.0
    assert time.process_time() - began <= 0.1 * run.seconds, "a tenth of a core"


@pytest.mark.slow
def test_a_loop_that_is_blocked_20_of_every_50_ms_keeps_limit_and_rate() -> None:
    run = durably(
        13_000, WELL, latency=typical(2), during=lambda scene: every(scene.loop, 0.03, lambda: scene.loop.block(0.02))
    )
    assert worst_window(run.departures()) <= 200
    assert slowest_minute(run.departures()[1:]) >= 198.0


@pytest.mark.slow
def test_three_apis_at_once_each_keep_their_own_limit() -> None:
    run = durably({0: 4000, 1: 4000, 2: 4000}, WELL)
    rates = []
    for api in range(3):
        steady = run.departures(api)[200:]
        rates.append((len(steady) - 1) / (steady[-1] - steady[0]))
        assert worst_window(run.departures(api)) <= 200
    assert sum(rates) >= 594.0


def test_a_server_that_freezes_for_three_seconds_gets_no_burst_afterwards() -> None:
    async def late(wait: float) -> Reply:
        await asyncio.sleep(wait)
        return ok()

    def script(_api: Api, _content: str, at: float) -> Reply | Awaitable[Reply]:
        return late(8.0 - at) if 5.0 <= at < 8.0 else ok()

    run = durably(3000, script)
    assert worst_window(run.departures()) <= 200
    assert run.statuses() == {"succeeded": 3000}


def story(endings: list[Ending], *, count: int = 1200, noise: dict[str, float] | None = None) -> Story:
    """A job on one API, with fair weather but for the noise."""
    weather = Weather((), {**CALM, **(noise or {})}, (0.0, 0.0), 0.0, 0.08)
    limits = dict.fromkeys(range(3), 200)
    return Story(7, limits, {1: count}, weather, endings, Policy(), 0.05, hold=False, blocks=[], jumps=[])


@pytest.mark.parametrize("kind", ["kill", "kill_after_commit"])
def test_a_kill_and_a_resume_within_the_second_keep_the_window(kind: str) -> None:
    outcome = simulate(story([Ending(kind, at) for at in (3, 2, 7, 1)]))
    assert outcome.orphans_left > 0
    check(outcome)  # its windows run across all processes


# -- The backend degrades --------------------------------------------------------------------------------------------------

OUTAGE = (5.0, 125.0)


def settles(run: Durable, count: int, *, most_calls: int, back_within: float) -> None:
    """Few calls during the outage, nothing given up, back at 180 a second soon after."""
    start, end = OUTAGE
    assert run.calls(start, end) <= most_calls
    assert run.statuses() == {"succeeded": count}
    assert run.busiest(end, end + back_within) >= 180
    assert worst_window(run.departures()) <= 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "reply", [answered(50004), unanswered("http_503", 503), not_sent("refused")], ids=lambda each: each.label
)
def test_an_outage_of_two_minutes_costs_few_calls_and_no_operation(reply: Reply, seed: int) -> None:
    run = durably(7000, lambda _api, _content, at: reply if OUTAGE[0] <= at < OUTAGE[1] else ok(), seed=seed)
    settles(run, 7000, most_calls=600, back_within=30.0)


@pytest.mark.slow
def test_two_minutes_of_hanging_calls_cost_few_calls_and_no_operation() -> None:
    async def hang() -> Reply:
        await asyncio.sleep(10.0)
        return unanswered("timeout")

    run = durably(7000, lambda _api, _content, at: hang() if OUTAGE[0] <= at < OUTAGE[1] else ok())
    settles(run, 7000, most_calls=600, back_within=60.0)


class Capacity:
    """A server that throttles what is more than `most` calls in any second, from `start` to `end`."""

    def __init__(self, most: int, start: float, end: float) -> None:
        self._most, self._start, self._end = most, start, end
        self._taken: deque[float] = deque()
        self.rejected: list[float] = []

    def __call__(self, _api: Api, _content: str, at: float) -> Reply:
        while self._taken and self._taken[0] <= at - 1.0:
            self._taken.popleft()
        if self._start <= at < self._end and len(self._taken) >= self._most:
            self.rejected.append(at)
            return answered(60007)
        self._taken.append(at)
        return ok()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_capacity_of_a_fifth_is_found_used_and_left_again(seed: int) -> None:
    server = Capacity(40, *OUTAGE)
    run = durably(14_000, server, latency=typical(seed), seed=seed)
    start, end = OUTAGE
    calls = run.calls(start + 10, end)
    rejected = sum(start + 10 <= at < end for at in server.rejected)
    assert rejected <= 0.02 * calls
    assert (calls - rejected) / (end - start - 10) >= 36.0
    assert run.busiest(end, end + 60) >= 180
    assert run.statuses() == {"succeeded": 14_000}


@pytest.mark.parametrize("lost", ["lost_before", "lost_after"])
def test_answers_that_are_lost_are_never_taken_for_success(lost: str) -> None:
    """One in twenty: reset, cut or stalled, before or after the effect."""
    outcome = simulate(story([], count=2000, noise={lost: 0.05}))
    assert sum(outcome.labels[1, label] for label in ("timeout", "lost", "http_502", "http_503", "unreadable")) >= 60
    check(outcome)


# -- Clocks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-1, 1])
def test_a_wall_clock_that_jumps_by_a_day_changes_nothing(days: int) -> None:
    def during(scene: Scene) -> None:
        scene.loop.call_later(3.0, scene.clock.jump, days * 86_400.0)
        scene.loop.call_later(6.0, scene.clock.jump, -days * 86_400.0)

    run = durably(2000, WELL, during=during)
    assert worst_window(run.departures()) <= 200
    assert run.seconds <= 11.0
    assert run.statuses() == {"succeeded": 2000}


@pytest.mark.parametrize("seconds", [0.5, 5.0, 600.0])
def test_a_loop_that_stood_still_makes_no_burst(seconds: float) -> None:
    """A blocked loop, a suspended machine: what waited is not made up for."""

    def during(scene: Scene) -> None:
        for at in (0.05, 3.0, 6.0):
            scene.loop.call_later(at, scene.loop.block, seconds)

    run = durably(2500, WELL, during=during)
    assert worst_window(run.departures()) <= 200
    assert run.statuses() == {"succeeded": 2500}
    assert run.engine.stops == []
