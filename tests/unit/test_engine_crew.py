"""The calls under way: the order within one call, places, intents ahead of the token, what a lost connection means."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

import pytest

from bulkops.engine.crew import STALE_LIMIT
from bulkops.engine.policy import Policy
from bulkops.engine.ports import Gate, NotDeparting
from bulkops.model import Api, Reply, Status, Stop, StopKind
from bulkops.testing import ScriptedClient, VirtualTimeLoop, answered, not_sent, ok, worst_window
from tests.helpers.enginekit import Stage, always, between, carry_out, name


class StepByStep:
    """A client that notes when each call had a connection, passed the gate, and was answered."""

    def __init__(self, loop: VirtualTimeLoop, *, connect: float, latency: float = 0.1) -> None:
        self._loop = loop
        self._connect = connect
        self._latency = latency
        self.asked: dict[str, float] = {}
        self.connected: dict[str, float] = {}
        self.left: dict[str, float] = {}

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        del api
        self.asked[content] = self._loop.time()
        await asyncio.sleep(self._connect)
        self.connected[content] = self._loop.time()
        await gate(lambda: True)
        self.left[content] = self._loop.time()
        await asyncio.sleep(self._latency)
        return ok()

    def renew(self) -> None:
        raise AssertionError("nothing is stale")


class Flaky(ScriptedClient):
    """A client whose connections turn out to be gone: before the gate lets a call pass, or after it did.

    Args:
        stale: How often in a row for each operation.
        paid: After the token was paid, instead of before.
    """

    def __init__(self, loop: VirtualTimeLoop, *, stale: int, paid: bool) -> None:
        super().__init__(always(ok()), clock=loop.time)
        self._stale = stale
        self._paid = paid
        self.tries: dict[str, int] = {}
        self.tokens: list[float] = []

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        self.tries[content] = self.tries.get(content, 0) + 1
        if self.tries[content] > self._stale:
            return await super().send(api, content, gate)
        await asyncio.sleep(0.01)
        try:
            await gate(lambda: self._paid)
        except NotDeparting as refusal:
            return not_sent(refusal.label)
        self.tokens.append(self._clock())
        return not_sent("stale_connection")


class SlowToWrite(ScriptedClient):
    """A client that loses the processor between its token and its first byte, now and then."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__(always(ok()), clock=loop.time)
        self._loop = loop
        self._dice = random.Random(7)

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        await gate(lambda: True)
        if self._dice.random() < 0.05:
            self._loop.block(self._dice.uniform(0.0, 0.03))
        self.departures.setdefault(api.op, []).append(self._loop.time())
        gate.left()
        await asyncio.sleep(self.latency)
        return ok()


def test_a_departure_counts_from_when_its_request_was_written() -> None:
    trial = carry_out(1500, always(ok()), client=SlowToWrite)
    assert worst_window(trial.departures()) <= 200


def test_within_one_call_intent_connection_and_token_come_in_this_order() -> None:
    """A token that waits for anything turns a pause into a burst; an intent that comes late is lost in a crash."""
    trial = carry_out(60, always(ok()), client=lambda loop: StepByStep(loop, connect=0.15))
    client = trial.stage.client
    assert isinstance(client, StepByStep)
    for seq in range(1, 61):
        durable = trial.happened("begun", seq)[0]
        content = name(seq)
        assert durable <= client.asked[content] < client.connected[content] <= client.left[content]
        assert durable < client.left[content]


def test_slow_connections_make_no_burst() -> None:
    """Every connection takes 0 to 0.9 s: the departures are as even as without."""
    delays = itertools.cycle([0.0, 0.9, 0.3, 0.6, 0.1])

    class Slow(ScriptedClient):
        async def send(self, api: Api, content: str, gate: Gate) -> Reply:
            self.connect = next(delays)
            return await super().send(api, content, gate)

    trial = carry_out(1500, always(ok()), client=lambda loop: Slow(always(ok()), clock=loop.time))
    assert worst_window(trial.departures()) <= 200


def test_a_slow_commit_makes_no_burst_and_costs_no_rate() -> None:
    trial = carry_out(3000, always(ok()), commit=0.1)
    steady = trial.departures()[200:]
    assert worst_window(trial.departures()) <= 200
    assert (len(steady) - 1) / (steady[-1] - steady[0]) >= 198.0


@pytest.mark.parametrize("latency", [0.005, 0.08, 0.4, 1.0])
def test_slow_answers_do_not_lower_the_rate(latency: float) -> None:
    trial = carry_out(3000, always(ok()), latency=latency)
    steady = trial.departures()[200:]
    assert (len(steady) - 1) / (steady[-1] - steady[0]) >= 198.0


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10, 25, 100, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_limit_is_used_to_its_hundredth_and_kept(limit: int) -> None:
    trial = carry_out(limit * 15, always(ok()), limit=limit)
    steady = trial.departures()[limit:]
    assert worst_window(trial.departures()) <= limit
    assert (len(steady) - 1) / (steady[-1] - steady[0]) >= 0.99 * limit


@pytest.mark.slow
def test_workers_grow_in_number_where_a_high_rate_meets_slow_answers() -> None:
    """A lane of 1000 calls/s whose answers take 0.8 s begins with 300 workers; the rate must not stay with them."""
    trial = carry_out(12_000, always(ok()), limit=1000, latency=0.8)
    assert trial.calls(trial.seconds - 4.0, trial.seconds - 3.0) >= 990


@pytest.mark.slow
def test_workers_stay_as_they_are_where_the_machine_is_what_limits() -> None:
    """A loop that is late would be later still with more connections."""

    def during(stage: Stage) -> None:
        crew = stage.engine.lanes[0]._crew
        tick = crew.tick

        def always_late(late: float) -> None:
            tick(late + 0.2)

        crew.tick = always_late  # type: ignore[method-assign]  # a loop that is always late

    trial = carry_out(12_000, always(ok()), limit=1000, latency=0.8, during=during)
    assert trial.calls(4.0, 12.0) <= 8 * 400


def watched(look: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Look every 17 ms of the first ten seconds."""

    def during(stage: Stage) -> None:
        for step in range(600):
            stage.at(step * 0.017, lambda: look(stage))

    return during


@pytest.mark.parametrize(("latency", "commit"), [(0.08, 0.02), (1.0, 0.02), (0.08, 0.15)])
@pytest.mark.slow
def test_durable_intents_stay_within_a_fifth_of_a_second_of_the_rate(latency: float, commit: float) -> None:
    worst: list[int] = []

    def look(stage: Stage) -> None:
        crew = stage.engine.lanes[0]._crew
        sending = sum(status is Status.SENDING for status in stage.ledger.status[0].values())
        assert sending - crew.in_flight <= 40
        assert sending <= 300
        worst.append(sending)

    carry_out(2500, always(ok()), latency=latency, commit=commit, during=watched(look))
    assert max(worst) > 20


def test_a_lane_that_was_slowed_down_begins_no_more_than_what_leaves_soon() -> None:
    """At one call a second, forty durable intents would be forty operations in doubt after a crash."""
    worst: list[int] = []

    def look(stage: Stage) -> None:
        crew = stage.engine.lanes[0]._crew
        if stage.loop.time() >= 8.0:
            worst.append(sum(status is Status.SENDING for status in stage.ledger.status[0].values()) - crew.in_flight)

    def during(stage: Stage) -> None:
        watched(look)(stage)
        stage.stop_at(10.0, Stop(StopKind.SIGNAL, "enough"))

    carry_out(3000, between(2.0, 1e9, answered(60007)), during=during)
    assert max(worst) <= 1


def test_a_call_that_is_held_up_takes_no_more_than_its_place() -> None:
    """Three hundred answers that never come leave no place: nothing is begun beyond them."""

    class Silent(ScriptedClient):
        async def send(self, api: Api, content: str, gate: Gate) -> Reply:
            reply = await super().send(api, content, gate)
            if int(content.removeprefix("user")) > 1:
                await asyncio.sleep(3600.0)
            return reply

    def during(stage: Stage) -> None:
        stage.stop_at(60.0, Stop(StopKind.SIGNAL, "enough"), now=True)

    trial = carry_out(3000, always(ok()), client=lambda loop: Silent(always(ok()), clock=loop.time), during=during)
    counts = trial.statuses()
    assert counts["succeeded"] == 1
    assert 290 <= counts["sending"] <= 300


@pytest.mark.parametrize("paid", [False, True])
def test_a_connection_that_is_gone_is_no_attempt(paid: bool) -> None:
    """The intent stands, another connection is taken; where the token was paid, another one is paid."""
    trial = carry_out(100, always(ok()), client=lambda loop: Flaky(loop, stale=3, paid=paid))
    client = trial.stage.client
    assert isinstance(client, Flaky)
    assert trial.statuses() == {"succeeded": 100}
    assert all(len(trial.attempts(seq)) == 1 and len(trial.happened("begun", seq)) == 1 for seq in range(1, 101))
    assert len(client.tokens) == (300 if paid else 0)
    assert worst_window(sorted(client.tokens + trial.departures())) <= 200


def test_whoever_accepts_and_closes_for_ever_counts_as_unreachable() -> None:
    """A balancer without a backend must not be asked in a circle."""
    trial = carry_out(
        100, always(ok()), client=lambda loop: Flaky(loop, stale=10**9, paid=False), policy=Policy(connect_limit=30.0)
    )
    client = trial.stage.client
    assert isinstance(client, Flaky)
    assert trial.stopped_by.kind is StopKind.FATAL
    assert "stale_connection" in trial.stopped_by.text
    assert sum(client.tries.values()) <= 60 * (STALE_LIMIT + 1)
    assert trial.statuses() == {"pending": 100}


@pytest.mark.parametrize("paid", [False, True])
def test_a_stop_ends_the_search_for_a_connection(paid: bool) -> None:
    """Whether its token was paid or not: what did not leave is pending again."""

    def during(stage: Stage) -> None:
        stage.stop_at(0.1, Stop(StopKind.SIGNAL, "enough"))

    trial = carry_out(100, always(ok()), client=lambda loop: Flaky(loop, stale=10**9, paid=paid), during=during)
    assert trial.statuses() == {"pending": 100}
    assert not any(trial.attempts(seq) for seq in range(1, 101)), "what never left is no attempt"
    assert trial.seconds <= 1.5


class Broken(ScriptedClient):
    """A client with a defect: it raises for one operation.

    Args:
        late: Only after the call has left.
    """

    def __init__(self, loop: VirtualTimeLoop, content: str, *, late: bool) -> None:
        super().__init__(always(ok()), clock=loop.time)
        self._broken = content
        self._late = late

    async def send(self, api: Api, content: str, gate: Gate) -> Reply:
        if content == self._broken and not self._late:
            raise ZeroDivisionError("defect")
        reply = await super().send(api, content, gate)
        if content == self._broken:
            raise ZeroDivisionError("defect")
        return reply


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seq", [1, 2, 500, 2999])
def test_a_defect_of_the_client_surfaces_instead_of_hanging(seq: int, late: bool) -> None:
    """Alone or in the stream, before or after the call left."""
    with pytest.raises(ZeroDivisionError, match="defect"):
        carry_out(3000, always(ok()), client=lambda loop: Broken(loop, name(seq), late=late))


def test_a_defect_in_one_lane_ends_the_others_too() -> None:
    seen: list[float] = []

    class Watched(Broken):
        async def send(self, api: Api, content: str, gate: Gate) -> Reply:
            seen.append(self._clock())
            return await super().send(api, content + api.op[-5:], gate)

    with pytest.raises(ZeroDivisionError):
        carry_out({0: 3000, 1: 3000}, always(ok()), client=lambda loop: Watched(loop, name(500) + "group", late=True))
    assert max(seen) <= 4.0
